# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of torch's Adam and AdamW, and of the authors' AdamS, in both directions; the unit of weight_decay."""
import warnings

import pytest
import torch

from authors import EagerAdamS
from resume import close, parameters, run, through_file
from masters import master_of
from swd.torch import AdamS, adamw_state_dict


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
            assert torch.equal(master_of(after, p), was.float())
