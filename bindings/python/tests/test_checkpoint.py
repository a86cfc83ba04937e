# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: our own resume to the bit; those of Adam, AdamW and the authors' AdamS, in both directions."""
import copy
import io
import pickle
import warnings

import pytest
import torch

from authors import EagerAdamS
from swd.torch import AdamS, adamw_state_dict, flatten

SHAPES = [(6, 4), (300,), (2, 3, 4)]


def parameters(dtype=torch.float32):
    generator = torch.Generator().manual_seed(11)
    return [torch.nn.Parameter(torch.randn(shape, generator=generator).to(dtype)) for shape in SHAPES]


def run(params, optimizers, first, steps):
    """The same gradients for a given step, whoever asks."""
    for step in range(first, first + steps):
        for k, p in enumerate(params):
            generator = torch.Generator().manual_seed(1000 * step + k)
            p.grad = torch.randn(p.shape, generator=generator).to(p.dtype) if (step + k) % 4 else None
        for optimizer in optimizers:
            optimizer.step()


def close(a, b, bound=2e-6):
    return all((x.detach().double() - y.detach().double()).abs().max() <= bound * y.detach().double().abs().max()
               for x, y in zip(a, b))


def through_file(state_dict):
    file = io.BytesIO()
    torch.save(state_dict, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


CONFIGS = [dict(), dict(amsgrad=True), dict(decay="decoupled"), dict(decay="l2"), dict(max_grad_norm=1.0),
           dict(betas=(0.3, 0.4))]


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
        resumed.max_grad_norm = optimizer.max_grad_norm
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


@pytest.mark.parametrize("amsgrad", [False, True])
@pytest.mark.parametrize("torch_class, decay", [(torch.optim.AdamW, "decoupled"), (torch.optim.Adam, "l2")])
def test_takes_over_from_torch_and_hands_back(torch_class, decay, amsgrad):
    """torch for 5 steps, ours for 5, torch for 5 again: as torch for 15."""
    straight = parameters()
    whole = torch_class(straight, lr=0.01, weight_decay=0.02, amsgrad=amsgrad)
    run(straight, [whole], 1, 15)
    params = parameters()
    theirs = torch_class(params, lr=0.01, weight_decay=0.02, amsgrad=amsgrad)
    run(params, [theirs], 1, 5)
    ours = AdamS(params, decay=decay)
    ours.load_state_dict(through_file(theirs.state_dict()))
    assert ours.param_groups[0]["weight_decay"] == 0.02 and ours.param_groups[0]["decay"] == decay
    run(params, [ours], 6, 5)
    back = torch_class(params)
    back.load_state_dict(through_file(ours.state_dict()))
    assert all(int(back.state[p]["step"]) == int(ours.state[p]["step"]) for p in params)
    run(params, [back], 11, 5)
    assert close(params, straight)
    assert back.param_groups[0]["lr"] == 0.01


@pytest.mark.parametrize("foreach", [False, True])
def test_every_implementation_of_adamw_loads_our_checkpoint(foreach):
    params = parameters()
    ours = AdamS(params, decay="decoupled")
    run(params, [ours], 1, 3)
    state_dict = ours.state_dict()
    state_dict["param_groups"][0]["foreach"] = foreach
    back = torch.optim.AdamW(params)
    back.load_state_dict(state_dict)
    run(params, [back], 4, 2)


@pytest.mark.parametrize("amsgrad", [False, True])
def test_takes_over_from_the_authors_adams_and_hands_back(amsgrad):
    options = dict(lr=0.01, weight_decay=0.02, amsgrad=amsgrad)
    straight = [torch.nn.Parameter(p.detach().double()) for p in parameters()]
    whole = EagerAdamS(straight, **options)
    run(straight, [whole], 1, 15)
    params = parameters()
    theirs = EagerAdamS(params, **options)
    run(params, [theirs], 1, 5)
    ours = AdamS(params)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours.load_state_dict(through_file(theirs.state_dict()))
    assert ours.param_groups[0]["weight_decay"] == 0.02  # the same unit
    run(params, [ours], 6, 5)
    for p in params:
        state = ours.state[p]
        assert state["exp_avg_sq_sum"].item() == pytest.approx(state["exp_avg_sq"].double().sum().item(), rel=1e-6)
    back = EagerAdamS(params)
    back.load_state_dict(through_file(ours.state_dict()))
    for state in back.state.values():
        state["step"] = int(state["step"])
    run(params, [back], 11, 5)
    assert close(params, straight, 1e-5)


def test_adamw_weight_decay_is_not_taken_for_swd():
    params = parameters()
    theirs = torch.optim.AdamW(params, weight_decay=0.5)
    run(params, [theirs], 1, 5)
    ours = AdamS(params, weight_decay=3e-4)
    with pytest.warns(UserWarning, match="weight_decay 0.5 has the unit of Adam or AdamW"):
        ours.load_state_dict(theirs.state_dict())
    assert ours.param_groups[0]["weight_decay"] == 3e-4
    assert ours.param_groups[0]["lr"] == 1e-3
    total = sum(theirs.state[p]["exp_avg_sq"].double().sum().item() / (1 - 0.999 ** int(theirs.state[p]["step"]))
                for p in params)
    assert ours.vbar() == pytest.approx(total / sum(p.numel() for p in params), rel=1e-6)
    assert ours.weight_decay_from_adamw(0.5) == pytest.approx(0.5 * ours.vbar() ** 0.5)


def test_adamw_state_dict_converts_back():
    params = parameters()
    ours = AdamS(params, weight_decay=3e-3)
    run(params, [ours], 1, 5)
    back = torch.optim.AdamW(params)
    back.load_state_dict(adamw_state_dict(ours))
    assert back.param_groups[0]["weight_decay"] == pytest.approx(3e-3 / ours.vbar() ** 0.5)
    assert set(back.state[params[0]]) == {"step", "exp_avg", "exp_avg_sq"}
    run(params, [back], 6, 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_sum_and_master_that_another_optimizer_carried_along_are_not_believed(dtype):
    params = parameters(dtype)
    ours = AdamS(params, decay="decoupled")
    run(params, [ours], 1, 5)
    between = torch.optim.AdamW(params)
    between.load_state_dict(ours.state_dict())
    run(params, [between], 6, 5)
    after = AdamS(params)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        after.load_state_dict(between.state_dict())
    moved = [p.detach().clone() for p in params]
    after.vbar()  # builds the state
    for p, was in zip(params, moved):
        state = after.state[p]
        assert state["exp_avg_sq_sum"].item() == pytest.approx(state["exp_avg_sq"].double().sum().item(), rel=1e-6)
        if dtype != torch.float32:
            assert torch.equal(state["master_param"].to(dtype), was)


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
        broken.load_state_dict(state_dict)
        with pytest.raises(ValueError, match=message):
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
