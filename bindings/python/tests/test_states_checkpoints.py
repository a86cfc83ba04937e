# SPDX-License-Identifier: Apache-2.0
"""AdamS(states=...): resumed runs, copies, and the ways from and to other checkpoints."""
import copy
import pickle
import warnings

import pytest
import torch

from masters import master_of
from resume import through_file
from states_model import CASES, NARROW, bits, model, run, same
from swd.torch import AdamS, adamw_state_dict


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
