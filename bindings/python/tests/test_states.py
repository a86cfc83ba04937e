# SPDX-License-Identifier: Apache-2.0
"""AdamS(states=...): what is stored of moments and bfloat16 parameters. Bounds of accuracy: the C tests."""
import pytest
import torch

from masters import master_of
from states_model import CASES, bits, model, run, same
from swd.torch import AdamS, adamw_state_dict

# How far a parameter and the mean of exp_avg_sq may be after 30 steps of 1e-3.
LIMITS = {"fp32": (0.0, 0.0), "mixed16": (2e-3, 5e-3), "compact8": (4e-3, 2e-2), "tiny8": (6e-2, 2e-2)}


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
