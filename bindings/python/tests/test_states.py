# SPDX-License-Identifier: Apache-2.0
"""AdamS(states=...): what is stored of moments and bfloat16 parameters. Bounds of accuracy: the C tests."""
import copy
import io
import pickle
import warnings

import pytest
import torch

from masters import master_of
from swd.torch import AdamS, adamw_state_dict, flatten

SHAPES = [(3, 50), (7,), (70, 64), (1,)]
CASES = [(states, dtype) for states in ("fp32", "mixed16", "compact8", "tiny8")
         for dtype in (torch.bfloat16, torch.float32) if not (states == "tiny8" and dtype == torch.float32)]
NARROW = [case for case in CASES if case[0] != "fp32"]
# How far a parameter and the mean of exp_avg_sq may be after 30 steps of 1e-3.
LIMITS = {"fp32": (0.0, 0.0), "mixed16": (2e-3, 5e-3), "compact8": (4e-3, 2e-2), "tiny8": (6e-2, 2e-2)}


def model(dtype, flat=False, seed=0):
    torch.manual_seed(seed)
    params = [torch.nn.Parameter(torch.randn(shape).bfloat16().to(dtype)) for shape in SHAPES]
    if flat:
        flatten(params)
    return params


def run(params, optimizers, first, steps):
    for number in range(first, first + steps):
        torch.manual_seed(1000 + number)
        for param in params:
            param.grad = (torch.randn(param.shape) * 1e-2).bfloat16().to(param.dtype)
        for optimizer in optimizers:
            optimizer.step()


def bits(params, optimizer):
    state = [optimizer.state[param] for param in params]
    return [param.detach().view(torch.uint8).clone() for param in params] + [
        torch.as_tensor(one[key]).reshape(-1).view(torch.uint8).clone() for one in state for key in sorted(one)]


def same(a, b):
    return len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b))


def through_file(state_dict):
    file = io.BytesIO()
    torch.save(state_dict, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("states, dtype", CASES)
def test_a_run_stays_near_float32(states, dtype, flat):
    exact, narrow = model(torch.float32), model(dtype, flat)
    one, two = AdamS(exact), AdamS(narrow, states=states)
    run(exact, [one], 0, 30)
    run(narrow, [two], 0, 30)
    near, mean = LIMITS[states]
    moments = adamw_state_dict(two)["state"]
    for k, (a, b) in enumerate(zip(exact, narrow)):
        full = master_of(two, b) if states in ("fp32", "mixed16") and dtype == torch.bfloat16 else b.float()
        slack = 2 ** -9 * a.abs().max() if states == "compact8" and dtype == torch.bfloat16 else 0.0  # the visible half
        assert (a - full).abs().max() <= near + slack
        ratio = moments[k]["exp_avg_sq"].mean() / one.state[a]["exp_avg_sq"].mean()
        assert abs(ratio - 1) <= (mean if a.numel() > 1000 else 30 * mean)
    assert two.vbar() == one.vbar()  # the running sums are not rounded


@pytest.mark.parametrize("states, dtype", CASES)
def test_flat_is_list_to_the_bit(states, dtype):
    one, two = model(dtype), model(dtype, flat=True)
    a, b = AdamS(one, states=states), AdamS(two, states=states)
    run(one, [a], 0, 5)
    run(two, [b], 0, 5)
    assert same(bits(one, a), bits(two, b))


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("states, dtype", CASES)
def test_a_resumed_run_is_the_uninterrupted_one(states, dtype, flat):
    params, other = model(dtype, flat), model(dtype, flat)
    whole = AdamS(params, states=states, rounding_seed=5)
    run(params, [whole], 0, 4)
    saved = through_file(whole.state_dict())
    with torch.no_grad():
        for to, p in zip(other, params):
            to.copy_(p)
    resumed = AdamS(other, states=states)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        resumed.load_state_dict(saved)
        run(params, [whole], 4, 4)
        run(other, [resumed], 4, 4)
    assert same(bits(params, whole), bits(other, resumed))


@pytest.mark.parametrize("copier", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_go_on_alike(copier):
    params = model(torch.bfloat16)
    optimizer = AdamS(params, states="compact8", rounding_seed=3)
    run(params, [optimizer], 0, 3)
    other_params, other = copier((params, optimizer))
    run(params, [optimizer], 3, 3)
    run(other_params, [other], 3, 3)
    assert same(bits(params, optimizer), bits(other_params, other))


@pytest.mark.parametrize("states, dtype", NARROW)
def test_the_checkpoint_of_an_adamw_is_rounded_and_that_is_said(states, dtype):
    params = model(dtype)
    adamw = torch.optim.AdamW(params)
    run(params, [adamw], 0, 4)
    ours = AdamS(params, states=states, decay="decoupled")
    ours.load_state_dict(adamw.state_dict())
    with pytest.warns(UserWarning, match="exp_avg.*are rounded"):
        assert ours.vbar() > 0
    back = adamw_state_dict(ours)["state"]
    for k, p in enumerate(params):
        was = adamw.state[p]["exp_avg_sq"].float()
        assert (back[k]["exp_avg_sq"] - was).abs().max() <= was.max() * 0.03
        assert ((back[k]["exp_avg_sq"] > 0) == (was > 0)).all()
    run(params, [ours], 4, 2)
    assert ours.stats()["result"] == "applied"


def test_what_is_exported_goes_on_in_adamw():
    params = model(torch.float32)
    ours = AdamS(params, states="mixed16", decay="decoupled")
    run(params, [ours], 0, 4)
    adamw = torch.optim.AdamW(params)
    adamw.load_state_dict(adamw_state_dict(ours))
    run(params, [adamw], 4, 2)
    assert float(adamw.state[params[0]]["step"]) == 6
    assert not {"exp_avg", "exp_avg_sq"} & set(ours.state_dict()["state"][0])  # no name that AdamW would misread


@pytest.mark.parametrize("flat", [False, True])
def test_other_presets_load(flat):
    params = model(torch.bfloat16, flat)
    optimizer = AdamS(params, states="compact8")
    run(params, [optimizer], 0, 4)
    for states in ("fp32", "mixed16", "tiny8", "compact8"):
        exported, vbar = adamw_state_dict(optimizer)["state"], optimizer.vbar()
        other = AdamS(params, states=states)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            other.load_state_dict(through_file(optimizer.state_dict()))
            assert other.vbar() == pytest.approx(vbar, rel=0.05)
        for k in range(len(params)):
            was = exported[k]["exp_avg"]
            assert (adamw_state_dict(other)["state"][k]["exp_avg"] - was).abs().max() <= was.abs().max() * 0.07
        run(params, [other], 4, 2)
        assert other.stats()["result"] == "applied"
        optimizer = other


def test_a_master_of_an_earlier_version_becomes_the_remainder():
    params, exact = model(torch.bfloat16), model(torch.float32)
    old = AdamS(exact)
    run(exact, [old], 0, 4)
    saved = old.state_dict()
    for k, p in enumerate(exact):
        saved["state"][k]["master_param"] = p.detach().clone()
    with torch.no_grad():
        for p, master in zip(params, exact):
            p.copy_(master)  # to even, as 0.1 rounded its copies
        params[1][2] = 9.0
    new = AdamS(params)
    new.load_state_dict(saved)
    new.vbar()
    for k, (p, master) in enumerate(zip(params, exact)):
        want = master.detach().clone()
        if k == 1:
            want[2] = 9.0
        assert torch.equal(master_of(new, p), want)


def test_a_skipped_step_changes_no_bit():
    params = model(torch.bfloat16)
    optimizer = AdamS(params, states="compact8")
    run(params, [optimizer], 0, 3)
    before = bits(params, optimizer)
    params[2].grad[5, 5] = float("nan")
    optimizer.step()
    assert optimizer.stats()["result"] == "skipped_nonfinite" and same(before, bits(params, optimizer))


def test_the_seed_decides_how_is_rounded_and_survives():
    results = []
    for seed in (0, 7, 7):
        params = model(torch.bfloat16)
        optimizer = AdamS(params, states="mixed16", rounding_seed=seed)
        run(params, [optimizer], 0, 3)
        results.append(bits(params, optimizer))
    assert same(results[1], results[2]) and not same(results[0], results[1])
    assert optimizer.state_dict()["param_groups"][0]["swd"]["rounding_seed"] == 7


def test_memory_is_what_the_presets_promise():
    for states, dtype, wanted in (("mixed16", torch.bfloat16, 8), ("compact8", torch.bfloat16, 5.0157),
                                  ("tiny8", torch.bfloat16, 4.0157), ("fp32", torch.bfloat16, 12),
                                  ("mixed16", torch.float32, 8), ("compact8", torch.float32, 6.0157),
                                  ("fp32", torch.float32, 12)):
        param = torch.nn.Parameter(torch.zeros(4096 * 16, dtype=dtype))
        optimizer = AdamS([param], states=states)
        assert optimizer.memory() == {}
        param.grad = torch.ones_like(param)
        optimizer.step()
        found = optimizer.memory()
        assert found["parameters"] + found["states"] == pytest.approx(wanted, abs=1e-3), states
        assert found["gradients"] == dtype.itemsize and found["workspace"] < 0.1


def test_bfloat16_parameters_have_amsgrad():
    low, high = model(torch.bfloat16), model(torch.float32)
    one, two = AdamS(low, amsgrad=True), AdamS(high, amsgrad=True)
    run(low, [one], 0, 6)
    run(high, [two], 0, 6)
    for a, b in zip(low, high):
        assert torch.equal(master_of(one, a), b)
        assert torch.equal(one.state[a]["max_exp_avg_sq"], two.state[b]["max_exp_avg_sq"])


@pytest.mark.parametrize("options, dtype, match", [
    (dict(states="int4"), torch.float32, "states: 'int4' is none of fp32, mixed16"),
    (dict(states="tiny8"), torch.float32, "states: 'tiny8' is bfloat16 parameters"),
    (dict(states="mixed16"), torch.float16, "states: 'mixed16' with float16"),
    (dict(states="compact8", amsgrad=True), torch.float32, "states: 'compact8' with amsgrad"),
    (dict(rounding_seed=-1), torch.float32, "rounding_seed: -1"),
    (dict(rounding_seed=1.5), torch.float32, "rounding_seed: 1.5"),
])
def test_what_does_not_go_together_is_refused_at_construction(options, dtype, match):
    with pytest.raises(ValueError, match=match):
        AdamS([torch.nn.Parameter(torch.zeros(3, dtype=dtype))], **options)
