# SPDX-License-Identifier: Apache-2.0
"""Tensors of another form that users put into the state of a parameter, live or in a state_dict, and parameters that change
their places among narrow ones: taken at the next step, as a resume takes them."""
import copy

import pytest
import torch

from states_model import CASES, NARROW, bits, model, run, same
from swd.torch import AdamS, adamw_state_dict

WIDE = ("exp_avg", "exp_avg_sq")
pytestmark = pytest.mark.filterwarnings("ignore:states. ")


def trained(states, dtype, steps=3, flat=False):
    params = model(dtype, flat)
    optimizer = AdamS(params, states=states, lr=1e-3)
    run(params, [optimizer], 0, steps)
    return params, optimizer


def moments(optimizer):
    return [{name: state[name].double() for name in WIDE} for state in adamw_state_dict(optimizer)["state"].values()]


@pytest.mark.parametrize("flat", [False, True], ids=["list", "flat"])
@pytest.mark.parametrize("name", WIDE)
@pytest.mark.parametrize("live", [True, False], ids=["live", "loaded"])
@pytest.mark.parametrize("states, dtype", NARROW)
def test_one_moment_beside_the_stored_ones_is_taken_and_the_other_kept(states, dtype, live, name, flat):
    params, optimizer = trained(states, dtype, flat=flat)
    before, (kept,) = moments(optimizer), set(WIDE) - {name}
    value = 0.01 if name == "exp_avg" else 1e-4
    put = torch.full(params[2].shape, value)
    if live:
        optimizer.state[params[2]][name] = put
    else:
        saved = optimizer.state_dict()
        saved["state"][2][name] = put
        optimizer.load_state_dict(saved)
    for p in params:
        p.grad = torch.zeros_like(p)
    optimizer.step()
    after, decay = moments(optimizer), dict(exp_avg=0.9, exp_avg_sq=0.999)
    assert optimizer.stats()["result"] == "applied" and all(bool(p.isfinite().all()) for p in params)
    assert after[2][name].mean().item() == pytest.approx(value * decay[name], rel=0.05)
    assert after[2][kept].norm().item() == pytest.approx(before[2][kept].norm().item() * decay[kept], rel=0.05)
    total = sum(one["exp_avg_sq"].sum().item() for one in after) / sum(p.numel() for p in params)
    assert optimizer.vbar() == pytest.approx(total / (1 - 0.999 ** 4), rel=0.05)


@pytest.mark.parametrize("states, dtype", [case for case in CASES if case != ("fp32", torch.float32)])
def test_what_is_put_there_acts_at_the_next_step(states, dtype):
    """Not at some later one, when something else has the engine made anew."""
    (params, optimizer), (its, other) = trained(states, dtype), trained(states, dtype)
    name = "exp_avg_sq" if states != "fp32" else "master_param"
    put = torch.full(params[2].shape, 1e-4) if states != "fp32" else params[2].detach().float() * 1.0001
    optimizer.state[params[2]][name] = put.clone()
    saved = other.state_dict()
    saved["state"][2][name] = put.clone()
    other.load_state_dict(saved)
    for p, its_own in zip(params, its):
        p.grad = torch.full_like(p, 1e-3)
        its_own.grad = p.grad.clone()
    optimizer.step(), other.step()
    assert same(bits(params, optimizer), bits(its, other)) and name not in optimizer.state[params[2]]


def test_a_part_of_another_form_is_refused_at_once():
    params, optimizer = trained("fp32", torch.float32)
    optimizer.state[params[0]]["exp_avg_bf16"] = torch.zeros(params[0].shape, dtype=torch.bfloat16)
    before = [p.detach().clone() for p in params]
    with pytest.raises(ValueError, match="^exp_avg_sq_bf16_over_unit: the state has none"):
        run(params, [optimizer], 5, 1)
    assert all(map(torch.equal, before, [p.detach() for p in params]))
    del optimizer.state[params[0]]["exp_avg_bf16"]
    run(params, [optimizer], 5, 1)


def removed(groups, frozen):
    groups[0]["params"].remove(frozen)


def appended(groups, frozen):
    groups[0]["params"].remove(frozen)
    groups[1]["params"].append(frozen)


def rotated(groups, frozen):
    groups[0]["params"].append(groups[0]["params"].pop(0))


def groups_turned(groups, frozen):
    groups.reverse()


@pytest.mark.parametrize("how", [removed, appended, rotated, groups_turned])
@pytest.mark.parametrize("states, dtype", NARROW)
def test_rounding_follows_the_order_of_parameters_as_a_resume_does(states, dtype, how):
    params = model(dtype)
    params[0].requires_grad_(False)
    groups = [dict(params=params[:2]), dict(params=params[2:])]
    optimizer = AdamS(groups, states=states, lr=1e-3)

    def step(optimizer, number):
        found = [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]
        for p in sorted(found, key=torch.Tensor.numel):
            torch.manual_seed(number + p.numel())
            p.grad = (torch.randn(p.shape) * 1e-2).bfloat16().to(dtype)
        optimizer.step()
        return [t for p in sorted(found, key=torch.Tensor.numel) for t in bits([p], optimizer)]
    for number in range(3):
        step(optimizer, number)
    how(optimizer.param_groups, next(p for p in optimizer.param_groups[0]["params"] if p is params[0]))
    resumed = copy.deepcopy(optimizer)
    for number in range(3, 5):
        assert same(step(optimizer, number), step(resumed, number))
