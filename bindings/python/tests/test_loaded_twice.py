# SPDX-License-Identifier: Apache-2.0
"""Two full state_dicts loaded one after the other: the last one counts, whatever forms both and the optimizer have.
set_optimizer_state_dict lays each over what is there, and leaves what has other names."""
import copy
import functools
import warnings

import pytest
import torch
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_optimizer_state_dict, set_optimizer_state_dict

from masters import remainder_of
from states_model import CASES, bits, model, run, same
from swd.torch import AdamS

FULL = StateDictOptions(full_state_dict=True)
PAIRS = [(first, second, dtype) for second, dtype in CASES for first, its in CASES if its == dtype]


@functools.cache
def saved(states, dtype, seed):
    net = torch.nn.ParameterList(model(dtype, seed=seed))
    optimizer = AdamS(net, states=states, rounding_seed=seed)
    run(list(net), [optimizer], 0, 3 + seed)
    return net, get_optimizer_state_dict(net, optimizer, options=FULL)


def loaded(states, dtype, checkpoints, steps_before=0):
    """A net of the last one's parameters, and an optimizer that loaded all of them."""
    net = torch.nn.ParameterList(model(dtype, seed=9))
    optimizer = AdamS(net, states=states)
    run(list(net), [optimizer], 20, steps_before)
    optimizer.zero_grad()
    with torch.no_grad():
        for to, p in zip(net, checkpoints[-1][0]):
            to.copy_(p)
    for _, state_dict in checkpoints:
        set_optimizer_state_dict(net, optimizer, copy.deepcopy(state_dict), options=FULL)
    return net, optimizer


def later(net, optimizer):
    """The bits two steps later."""
    run(list(net), [optimizer], 6, 2)
    return bits(list(net), optimizer)


@pytest.mark.parametrize("first, second, dtype", PAIRS)
def test_the_last_of_two_counts(first, second, dtype):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for own in (states for states, its in CASES if its == dtype):
            found = later(*loaded(own, dtype, [saved(first, dtype, 1), saved(second, dtype, 2)]))
            assert same(found, later(*loaded(own, dtype, [saved(second, dtype, 2)]))), own
            assert same(found, later(*loaded(own, dtype, [saved(second, dtype, 2)], steps_before=2))), own


@pytest.mark.parametrize("own", ["fp32", "mixed16", "compact8", "tiny8"])
def test_what_was_loaded_is_saved_again_before_a_step(own):
    """And nothing of the optimizer's own beside it, which another one would take for what was loaded."""
    dtype = torch.bfloat16
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for states, _ in CASES[::2]:
            net, optimizer = loaded(own, dtype, [saved(states, dtype, 1)])
            again = net, get_optimizer_state_dict(net, optimizer, options=FULL)
            for third in ("fp32", "compact8"):
                assert same(later(*loaded(third, dtype, [again])), later(*loaded(third, dtype, [saved(states, dtype, 1)])))


def test_a_state_that_is_edited_and_loaded_again_keeps_its_remainders():
    net, optimizer = loaded("compact8", torch.bfloat16, [saved("compact8", torch.bfloat16, 1)])
    before, state_dict = [remainder_of(optimizer.state[p]).clone() for p in net], optimizer.state_dict()
    for state in state_dict["state"].values():
        state["exp_avg_block8"] = torch.zeros_like(state["exp_avg_block8"])
    optimizer.load_state_dict(state_dict)
    assert all(torch.equal(was, remainder_of(optimizer.state[p])) for was, p in zip(before, net))
