# SPDX-License-Identifier: Apache-2.0
"""Remainders of 16 bits in a state_dict: bytes, since no backend of torch.distributed moves int16; and what loads."""
import warnings

import pytest
import torch
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_optimizer_state_dict, set_optimizer_state_dict

from states_model import bits, model, run, same
from swd.torch import AdamS

STATES = ["fp32", "mixed16"]


def trained(states, flat=False):
    params = model(torch.bfloat16, flat)
    optimizer = AdamS(params, states=states, rounding_seed=5)
    run(params, [optimizer], 0, 3)
    return params, optimizer


def resumed(params, states, saved, warned="error"):
    """The bits of what loads, two steps later."""
    others = model(torch.bfloat16)
    with torch.no_grad():
        for to, p in zip(others, params):
            to.copy_(p)
    optimizer = AdamS(others, states=states)
    with warnings.catch_warnings():
        warnings.simplefilter(warned)
        optimizer.load_state_dict(saved)
        run(others, [optimizer], 3, 2)
    return bits(others, optimizer)


def changed(saved, kind):
    """With other remainders in place of the bytes."""
    return {**saved, "state": {k: {**{key: value for key, value in state.items() if key != "remainder_bytes"},
                                   **kind(state["remainder_bytes"])} for k, state in saved["state"].items()}}


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("states", STATES)
def test_they_are_bytes_of_the_memory_that_the_step_uses(states, flat):
    params, optimizer = trained(states, flat)
    for k, p in enumerate(params):
        low, saved = optimizer.state[p]["remainder_bytes"], optimizer.state_dict()["state"][k]["remainder_bytes"]
        assert low is saved and "remainder" not in optimizer.state[p]
        assert low.dtype == torch.uint8 and low.shape == (*p.shape, 2)
        before = low.clone()
        run(params, [optimizer], 3 + k, 1)
        assert low is optimizer.state[p]["remainder_bytes"] and not torch.equal(low, before)


@pytest.mark.parametrize("states", STATES)
def test_a_flattened_state_dict_brings_them(states):
    """torch takes of it what the optimizer's live state has a name for."""
    options = StateDictOptions(flatten_optimizer_state_dict=True)
    nets = [torch.nn.ParameterList(model(torch.bfloat16)) for _ in range(2)]
    one, other = (AdamS(net, states=states, rounding_seed=5) for net in nets)
    run(list(nets[0]), [one], 0, 3)
    with torch.no_grad():
        for to, p in zip(nets[1], nets[0]):
            to.copy_(p)
    for _ in range(2):  # into an optimizer that has made no step, and into one that only loaded
        set_optimizer_state_dict(nets[1], other, get_optimizer_state_dict(nets[0], one, options=options), options=options)
    for net, optimizer in zip(nets, (one, other)):
        run(list(net), [optimizer], 3, 2)
    assert same(bits(list(nets[1]), other), bits(list(nets[0]), one))


@pytest.mark.parametrize("states", [*STATES, "compact8", "tiny8"])
def test_a_parameter_that_is_set_to_zero_goes_on_from_zero(states):
    """As pruning, clamping and reset rows do; the remainder is that of the number before, and may be negative."""
    params = model(torch.bfloat16)
    optimizer = AdamS(params, lr=1e-3, states=states, decay="decoupled", weight_decay=0.0)
    with torch.no_grad():
        for p in params:
            p.mul_(0.01)
    for number in range(8):
        run(params, [optimizer], number, 1)
        for p in params:
            assert not p.isnan().any() and p.abs().max() < 0.1
            with torch.no_grad():
                p.clamp_(min=0)
    other = AdamS(model(torch.bfloat16), states="mixed16")
    other.load_state_dict(optimizer.state_dict())  # from another form: the two halves are joined then
    with torch.no_grad():
        for to, p in zip(other.param_groups[0]["params"], params):
            to.copy_(p)
    run(other.param_groups[0]["params"], [], 9, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other.step()
    assert not any(p.isnan().any() for p in other.param_groups[0]["params"])


@pytest.mark.parametrize("states", STATES)
def test_bytes_int16_and_bytes_in_another_order_load_to_the_bit(states):
    params, optimizer = trained(states)
    saved = optimizer.state_dict()
    kinds = [lambda low: {"remainder_bytes": low}, lambda low: {"remainder": low.contiguous().view(torch.int16).squeeze(-1)},
             lambda low: {"remainder_bytes": torch.stack([low[..., 0], low[..., 1]]).movedim(0, -1)}]
    found = [resumed(params, states, changed(saved, kind)) for kind in kinds]
    run(params, [optimizer], 3, 2)
    for one in found:
        assert same(one, bits(params, optimizer))


def test_those_that_another_optimizer_cast_count_as_zero():
    params, optimizer = trained("fp32")
    saved = optimizer.state_dict()
    zero = resumed(params, "fp32", changed(saved, lambda low: {}))
    for kind in (lambda low: {"remainder_bytes": low.bfloat16()}, lambda low: {"remainder": low[..., 0].bfloat16()}):
        assert same(resumed(params, "fp32", changed(saved, kind)), zero)


@pytest.mark.parametrize("states, source", [("mixed16", "compact8"), ("compact8", "mixed16")])
def test_what_an_optimizer_had_beside_what_is_loaded_does_not_count(states, source):
    """As set_optimizer_state_dict leaves it of another preset: both names."""
    params, optimizer = trained(source)
    saved, (_, other) = optimizer.state_dict(), trained(states)
    names = {"remainder", "remainder_bytes"}
    both = {**saved, "state": {k: {**{key: value for key, value in other.state_dict()["state"][k].items() if key in names}, **state}
                               for k, state in saved["state"].items()}}
    assert all(names < set(state) for state in both["state"].values())
    assert same(resumed(params, states, both, "ignore"), resumed(params, states, saved, "ignore"))


def test_bytes_of_another_shape_are_refused():
    params, optimizer = trained("fp32")
    with pytest.raises(ValueError, match="remainder_bytes: .* two for each element"):
        AdamS(params).load_state_dict(changed(optimizer.state_dict(), lambda low: {"remainder_bytes": low[..., :1]}))
