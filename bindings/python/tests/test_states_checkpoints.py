# SPDX-License-Identifier: Apache-2.0
"""AdamS(states=...): resumed runs, copies, and the ways from and to other checkpoints."""
import copy
import pickle
import warnings

import pytest
import torch

from masters import master_of, remainder_of
from resume import through_file
from states_model import CASES, NARROW, bits, model, run, same
from swd.torch import AdamS, adamw_state_dict, flatten


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


def conv(order):
    """One parameter, in the order of its dimensions or with the channels last in memory."""
    torch.manual_seed(0)
    return [torch.nn.Parameter(torch.randn(4, 40, 3, 3).bfloat16().contiguous(memory_format=order))]


ORDERS = [torch.contiguous_format, torch.channels_last]


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("order", ORDERS)
def test_scales_of_one_dimension_load(order, flat):
    """Those of checkpoints from before they had the dimensions of their parameter."""
    params, other = (conv(order) + model(torch.bfloat16) + [torch.nn.Parameter(torch.ones(6, 256).bfloat16())] for _ in range(2))
    if flat:
        flatten(other)
    whole, resumed = (AdamS(some, states="compact8") for some in (params, other))
    run(params, [whole], 0, 4)
    saved = through_file(whole.state_dict())
    for state in saved["state"].values():
        for name in state:
            if name.endswith("_scale"):
                state[name] = state[name].reshape(-1)
    with torch.no_grad():
        for to, p in zip(other, params):
            to.copy_(p)
    resumed.load_state_dict(saved)
    run(params, [whole], 4, 4)
    run(other, [resumed], 4, 4)
    assert same(bits(params, whole), bits(other, resumed))


@pytest.mark.parametrize("states", ["fp32", "mixed16", "compact8", "tiny8"])
@pytest.mark.parametrize("before", ORDERS)
@pytest.mark.parametrize("after", ORDERS)
def test_blocks_are_those_of_the_memory_order_that_they_were_made_in(states, before, after):
    params, other = conv(before), conv(after)
    one, two = AdamS(params, states="compact8"), AdamS(other, states=states)
    run(params, [one], 0, 4)
    two.load_state_dict(through_file(one.state_dict()))
    with warnings.catch_warnings():
        warnings.simplefilter("error" if before == after and states == "compact8" else "ignore")
        two.vbar()
    for name, near in (("exp_avg", 0.07), ("exp_avg_sq", 0.07)):
        was, now = (adamw_state_dict(optimizer)["state"][0][name] for optimizer in (one, two))
        assert (was - now).abs().max() <= was.abs().max() * near


def test_moments_that_lost_their_order_or_a_part_are_refused():
    params = conv(torch.channels_last)
    optimizer = AdamS(params, states="compact8")
    run(params, [optimizer], 0, 2)
    for text, edit in (("exp_avg_block8_scale: the state has the scales of another memory order", lambda s: s.update(
                           exp_avg_block8=s["exp_avg_block8"].contiguous())),
                       ("exp_avg_block8_scale: the state has shape .7,., expected .12,.", lambda s: s.update(
                           exp_avg_block8_scale=torch.zeros(7, dtype=torch.uint8))),
                       ("exp_avg_sq_block8_scale: the state has none", lambda s: s.pop("exp_avg_sq_block8_scale"))):
        for states in ("compact8", "mixed16"):
            saved, other = copy.deepcopy(optimizer.state_dict()), AdamS(params, states=states)
            edit(saved["state"][0])
            other.load_state_dict(saved)
            with pytest.raises(ValueError, match=text):
                other.step()


@pytest.mark.parametrize("states, near", [("mixed16", 0), ("fp32", 0), ("compact8", 128)])
def test_a_remainder_of_another_length_is_kept(states, near):
    """8 bits in 16, and 16 rounded to 8."""
    params = model(torch.bfloat16)
    source = AdamS(params, states="mixed16" if states == "compact8" else "compact8", decay="decoupled", weight_decay=0.0)
    run(params, [source], 0, 4)
    was = [joined(p, remainder_of(source.state[p])) for p in params]
    other = AdamS(params, states=states)
    other.load_state_dict(through_file(source.state_dict()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other.vbar()
    for before, p in zip(was, params):
        assert (before - joined(p, remainder_of(other.state[p]))).abs().max() <= near


def joined(param, low):
    """The number that both hold, in units of its float32's last place."""
    return (param.detach().view(torch.int16).int() << 16) + (low.int() << (8 if low.dtype == torch.int8 else 0))
