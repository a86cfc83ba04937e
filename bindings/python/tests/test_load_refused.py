# SPDX-License-Identifier: Apache-2.0
"""What load_state_dict refuses: with the cause, and with nothing changed."""
import copy

import pytest
import torch
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_optimizer_state_dict, set_optimizer_state_dict

from states_model import bits, model, run, same
from swd.torch import AdamS, flatten

FLATTENED = StateDictOptions(flatten_optimizer_state_dict=True)


def net_of(flat):
    torch.manual_seed(0)
    net = torch.nn.Linear(4, 4)
    if flat:
        flatten(net.parameters())
    return net, AdamS(net.parameters())


def backward(net):
    net(torch.ones(1, 4)).square().sum().backward()


@pytest.mark.parametrize("flat", [False, True])
def test_a_flattened_state_dict_where_gradients_exist(flat):
    """torch makes no states there, and hands over empty ones."""
    net, optimizer = net_of(flat)
    for _ in range(5):
        backward(net)
        optimizer.step()
    saved = get_optimizer_state_dict(net, optimizer, options=FLATTENED)
    other_net, other = net_of(flat)
    backward(other_net)
    for _ in range(2):
        with pytest.raises(ValueError, match="is of 5 steps, and has a state of no parameter"):
            set_optimizer_state_dict(other_net, other, saved, options=FLATTENED)
        assert other.stats()["steps_applied"] == 0 and not other.state
    for param in other_net.parameters():  # as the error says
        param.grad = None
    set_optimizer_state_dict(other_net, other, saved, options=FLATTENED)
    assert other.vbar() == optimizer.vbar() > 0


def test_a_parameter_that_never_had_a_gradient():
    """A flattened state_dict does not tell its state, which is none, from one that is missing."""
    net = torch.nn.ModuleDict({"used": torch.nn.Linear(4, 4), "unused": torch.nn.Linear(4, 4)})
    optimizer, other = AdamS(net.parameters()), AdamS(net.parameters())
    backward(net["used"])
    optimizer.step()
    saved = get_optimizer_state_dict(net, optimizer, options=FLATTENED)
    optimizer.zero_grad()
    with pytest.raises(ValueError, match="no state of parameter 'unused.weight': it had no gradient yet"):
        set_optimizer_state_dict(net, other, saved, options=FLATTENED)
    other.load_state_dict(optimizer.state_dict())  # not flattened, as the error says
    assert net["unused"].weight not in other.state and other.vbar() == optimizer.vbar()


WRONG = [("remainder_bytes: .* two for each element", "fp32", lambda saved: saved["state"][2].update(
             remainder_bytes=saved["state"][2]["remainder_bytes"][..., :1])),
         ("swd: .* is no pair of counters", "fp32", lambda saved: saved["param_groups"][0]["swd"].update(steps_applied=-1)),
         ("swd: .* is no pair of counters", "fp32",
          lambda saved: saved["param_groups"][0]["swd"].update(vbar_reference=float("nan"))),
         ("step: -1.0 in the state", "mixed16", lambda saved: saved["state"][2].update(step=torch.tensor(-1.0))),
         ("step: a tensor of shape .3,. in the state", "fp32", lambda saved: saved["state"][2].update(step=torch.ones(3))),
         ("exp_avg_sq_sum: 'much' in the state", "fp32", lambda saved: saved["state"][2].update(exp_avg_sq_sum="much")),
         ("exp_avg_sq_unit: a tensor of shape .3,. in the state", "mixed16",
          lambda saved: saved["state"][2].update(exp_avg_sq_unit=torch.ones(3))),
         *(("exp_avg_sq_unit: .* expected a number from 0.5 to 1", states,
            lambda saved, unit=unit: saved["state"][2].update(exp_avg_sq_unit=torch.tensor([unit], dtype=torch.float64)))
           for states, unit in (("mixed16", 3.0), ("mixed16", 0.25), ("compact8", -1.0), ("compact8", float("nan"))))]


@pytest.mark.parametrize("text, states, edit", WRONG)
def test_what_is_refused_changes_nothing(text, states, edit):
    params = model(torch.bfloat16)
    optimizer = AdamS(params, states=states, rounding_seed=5)
    run(params, [optimizer], 0, 5)
    twins, twin = copy.deepcopy((params, optimizer))
    other, its = copy.deepcopy((params, optimizer))
    run(other, [its], 5, 2)
    saved = copy.deepcopy(its.state_dict())
    saved["param_groups"][0]["lr"] = 1.0
    edit(saved)
    live, groups, counters = {p: dict(s) for p, s in optimizer.state.items()}, list(optimizer.param_groups), optimizer.counters
    with pytest.raises(ValueError, match=text):
        optimizer.load_state_dict(saved)
    assert all(optimizer.state[p][name] is value for p, state in live.items() for name, value in state.items())
    assert all(group is was for group, was in zip(optimizer.param_groups, groups)) and groups[0]["lr"] == 1e-3
    assert optimizer.counters == counters and optimizer.stats()["steps_applied"] == 5
    run(params, [optimizer], 5, 2)
    run(twins, [twin], 5, 2)
    assert same(bits(params, optimizer), bits(twins, twin))


@pytest.mark.filterwarnings("ignore:exp_avg_sq_sum")  # which belongs to the other unit
@pytest.mark.parametrize("unit", [0.0, 0.5, 1.0])
def test_units_that_the_library_takes(unit):
    params = model(torch.float32)
    optimizer = AdamS(params, states="mixed16")
    run(params, [optimizer], 0, 2)
    saved = copy.deepcopy(optimizer.state_dict())
    for state in saved["state"].values():
        state["exp_avg_sq_unit"] = torch.tensor([unit], dtype=torch.float64)
    optimizer.load_state_dict(saved)
    run(params, [optimizer], 2, 1)
    assert optimizer.stats()["result"] == "applied"
