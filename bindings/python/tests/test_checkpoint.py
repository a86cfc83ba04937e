# SPDX-License-Identifier: Apache-2.0
"""Our own checkpoints: a resume to the bit by every way there is, keys, damage. Others': test_migration."""
import copy
import pickle

import pytest
import torch

from resume import parameters, run, through_file
from swd.torch import AdamS, flatten

CONFIGS = [dict(), dict(amsgrad=True), dict(decay="decoupled"), dict(decay="l2"), dict(max_grad_norm=1.0),
           dict(betas=(0.3, 0.4)), dict(decay="relative", weight_decay=0.1, reference_step=4)]


@pytest.mark.parametrize("way", ["state_dict", "file", "pickle", "deepcopy"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_resume_is_bit_for_bit(config, dtype, way):
    params = parameters(dtype)
    optimizer = AdamS(params, lr=0.01, **config)
    run(params, [optimizer], 1, 6)
    if way in ("state_dict", "file"):
        others = [torch.nn.Parameter(p.detach().clone()) for p in params]
        resumed = AdamS(others, lr=0.5)  # what a checkpoint brings replaces this
        state_dict = optimizer.state_dict()
        resumed.load_state_dict(through_file(state_dict) if way == "file" else state_dict)
        resumed.max_grad_norm, resumed.reference_step = optimizer.max_grad_norm, optimizer.reference_step
    elif way == "pickle":
        resumed = pickle.loads(pickle.dumps(optimizer))
        others = resumed.param_groups[0]["params"]
    else:
        resumed = copy.deepcopy(optimizer)
        others = resumed.param_groups[0]["params"]
    run(params, [optimizer], 7, 6)
    run(others, [resumed], 7, 6)
    assert all(torch.equal(a, b) for a, b in zip(params, others))
    for a, b in zip(params, others):
        ours, theirs = optimizer.state[a], resumed.state[b]
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert optimizer.stats() == resumed.stats()


def test_resume_between_list_and_flat_is_bit_for_bit():
    params, others = parameters(), parameters()
    flatten(others)
    one, two = AdamS(params), AdamS(others)
    run(params, [one], 1, 4)
    two.load_state_dict(one.state_dict())
    with torch.no_grad():
        for a, b in zip(params, others):
            b.copy_(a)
    run(params, [one], 5, 4)
    run(others, [two], 5, 4)
    assert all(torch.equal(a, b) for a, b in zip(params, others))
    assert all(torch.equal(one.state[a][key], two.state[b][key]) for a, b in zip(params, others) for key in one.state[a])


def test_resume_through_the_distributed_checkpoint_functions(network):
    """torch.distributed.checkpoint makes a step with lr 0 to get a state to load into; the resume is to the bit."""
    from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict

    def train(model, optimizer, steps):
        for step in steps:
            optimizer.zero_grad()
            x = torch.randn(4, 7, generator=torch.Generator().manual_seed(step))
            model(x).square().mean().backward()
            optimizer.step()

    model, twin = network(), network()
    one = AdamS(model.parameters(), lr=0.01)
    train(model, one, range(3))
    two = AdamS(twin.parameters(), lr=0.5)
    set_optimizer_state_dict(twin, two, get_optimizer_state_dict(model, one))
    twin.load_state_dict(model.state_dict())
    train(model, one, range(3, 6))
    train(twin, two, range(3, 6))
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), twin.parameters()))
    assert two.param_groups[0]["lr"] == 0.01


def test_state_dict_has_the_keys_of_adamw_and_the_sum():
    params = parameters()
    optimizer = AdamS(params, amsgrad=True)
    run(params, [optimizer], 2, 3)
    state = optimizer.state_dict()["state"][0]
    assert {"step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq", "exp_avg_sq_sum"} <= state.keys()
    assert state["step"].dtype == torch.float32 and state["step"].dim() == 0 and state["step"].device.type == "cpu"
    assert state["exp_avg_sq_sum"] == pytest.approx(state["exp_avg_sq"].double().sum().item(), rel=1e-6)
    assert state["exp_avg"].shape == params[0].shape
    again = optimizer.state_dict()
    assert list(again) == list(optimizer.state_dict()) and again["param_groups"] == optimizer.state_dict()["param_groups"]


def test_loaded_tensors_are_not_shared():
    params = parameters()
    ours = AdamS(params)
    run(params, [ours], 1, 3)
    state_dict = ours.state_dict()
    others = parameters()
    two = AdamS(others)
    two.load_state_dict(state_dict)
    kept = state_dict["state"][0]["exp_avg"].clone()
    run(others, [two], 9, 2)
    assert torch.equal(kept, state_dict["state"][0]["exp_avg"])


def test_steps_beyond_float32_are_kept():
    params = parameters()
    ours = AdamS(params)
    run(params, [ours], 1, 2)
    ours.state[params[0]]["step"].fill_(2 ** 24 + 1)
    again = AdamS(params)
    again.load_state_dict(ours.state_dict())
    assert again.state_dict()["state"][0]["step"].item() == 2 ** 24 + 1


def test_damaged_states_are_refused_by_name():
    params = parameters()
    ours = AdamS(params)
    run(params, [ours], 1, 2)
    for key, value, message in (("step", torch.tensor(-1.0), "step"), ("step", torch.tensor(1.5), "step"),
                                ("exp_avg", torch.zeros(3), "exp_avg: the state has shape")):
        state_dict = copy.deepcopy(ours.state_dict())
        state_dict["state"][1][key] = value
        broken = AdamS(params)
        with pytest.raises(ValueError, match=message):  # numbers as they are loaded, shapes by the first step
            broken.load_state_dict(state_dict)
            run(params, [broken], 3, 1)


def test_state_that_users_change_is_taken_over():
    params, twins = parameters(), parameters()
    one, two = AdamS(params, decay="decoupled"), AdamS(twins, decay="decoupled")
    run(params, [one], 1, 3)
    run(twins, [two], 1, 3)
    one.state[params[1]] = {"step": torch.tensor(0.0), "exp_avg": torch.zeros(300), "exp_avg_sq": torch.zeros(300)}
    two.state.pop(twins[1])
    run(params, [one], 5, 3)
    run(twins, [two], 5, 3)
    assert all(torch.equal(a, b) for a, b in zip(params, twins))
    assert int(one.state[params[1]]["step"]) < int(one.state[params[0]]["step"])


def test_sums_that_are_there_keep_their_bits_when_another_is_rebuilt():
    params = parameters()
    one = AdamS(params)
    run(params, [one], 1, 30)
    state_dict = one.state_dict()
    saved = [state_dict["state"][k].pop("exp_avg_sq_sum") for k in (0,)] + [
        state_dict["state"][k]["exp_avg_sq_sum"] for k in (1, 2)]
    two = AdamS(params)
    two.load_state_dict(state_dict)
    two.vbar()
    sums = [two.state[p]["exp_avg_sq_sum"].item() for p in params]
    assert sums[1:] == saved[1:] and sums[0] == pytest.approx(saved[0], rel=1e-6)
    # Not a vacuous equality: what a rebuild gives has other bits.
    for state in state_dict["state"].values():
        state.pop("exp_avg_sq_sum", None)
    two.load_state_dict(state_dict)
    two.vbar()
    assert [two.state[p]["exp_avg_sq_sum"].item() for p in params[1:]] != saved[1:]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_damaged_second_moment_is_said(value):
    """Without the running sums, as in a checkpoint of AdamW."""
    params = parameters()
    ours = AdamS(params)
    run(params, [ours], 1, 3)
    state_dict = copy.deepcopy(ours.state_dict())
    for state in state_dict["state"].values():
        del state["exp_avg_sq_sum"]
    state_dict["state"][1]["exp_avg_sq"][3] = value
    for options, mended in ((dict(), True), (dict(decay="relative"), True), (dict(decay="decoupled"), False)):
        others = parameters()
        broken = AdamS(others, **options)
        state_dict["param_groups"][0].update(options)
        broken.load_state_dict(state_dict)
        if not mended:
            run(others, [broken], 4, 2)
            assert broken.stats()["result"] == "applied" and broken.stats()["damaged_parameter"] == 1
            continue
        for _ in range(2):
            with pytest.raises(ValueError, match=r"exp_avg_sq: that of a parameter of shape \(300,\) in group 0"):
                run(others, [broken], 4, 1)
        assert all(torch.equal(a, b) for a, b in zip(others, parameters()))
        broken.state[others[1]]["exp_avg_sq"].nan_to_num_(0.0, 0.0)
        run(others, [broken], 4, 2)
        assert broken.stats()["result"] == "applied" and broken.stats()["steps_applied"] == 5


def test_the_sum_of_a_part_is_saved_as_unknown():
    from torch.distributed.tensor import DTensor, Shard, init_device_mesh
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        param = torch.nn.Parameter(DTensor.from_local(torch.ones(8), init_device_mesh("cpu", (1,)), [Shard(0)]))
        optimizer = AdamS([param])
        param.grad = torch.ones_like(param)
        optimizer.step()
        state = optimizer.state_dict()["state"][0]
        assert (state["exp_avg_sq_sum"], state["exp_avg_sq_sum_step"]) == (-1.0, 1)  # -1 is the library's word for it
        foreign = optimizer.state_dict()
        foreign["state"][0]["exp_avg_sq_sum"] = 99.0  # the whole tensor's, of a checkpoint of one process
        resumed = AdamS([param])
        resumed.load_state_dict(foreign)
        assert resumed.state[param].get("exp_avg_sq_sum", -1.0) == -1.0
    finally:
        torch.distributed.destroy_process_group()
