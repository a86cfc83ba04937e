# SPDX-License-Identifier: Apache-2.0
"""Options that users write between steps are looked at as at construction: refused by name before anything changes, and the
step after the repair goes on as if nothing had been."""
import copy

import numpy as np
import pytest
import torch

from swd.torch import AdamS, GradScaler

NAN = float("nan")
GROUP = [("lr", -1.0), ("lr", NAN), ("lr", "a"), ("lr", None), ("lr", torch.ones(2)), ("lr", torch.tensor(1)), ("betas", (0.9, 2.0)),
         ("betas", (0.9,)), ("betas", 0.9), ("eps", 0.0), ("eps", "a"), ("weight_decay", -1.0), ("weight_decay", None),
         ("weight_decay", torch.tensor(0.1)), ("decay", "bogus"), ("maximize", 1), ("amsgrad", None), ("capturable", 1),
         ("differentiable", True)]
WHOLE = [("max_grad_norm", 0), ("max_grad_norm", False), ("max_grad_norm", "a"), ("max_grad_norm", torch.ones(2)), ("max_decay", 0),
         ("max_decay", NAN), ("nonfinite", "Propagate"), ("nonfinite", None), ("reference_step", 0), ("reference_step", 2.5),
         ("measure_norm", False), ("measure_norm", 1), ("update_norms", "yes"), ("overlap_norm", 2), ("states", "fp8"),
         ("shards", 3), ("record_hook", 3)]


def stepped(**options):
    params = [torch.nn.Parameter(torch.randn(5, 3)), torch.nn.Parameter(torch.randn(7))]
    optimizer = AdamS([dict(params=params[:1]), dict(params=params[1:])], lr=0.01, weight_decay=0.1, max_grad_norm=0.5, **options)
    for step in range(2):
        give(params, step)
        optimizer.step()
    return params, optimizer


def give(params, step):
    torch.manual_seed(step)
    for param in params:
        param.grad = torch.randn(param.shape)


def everything(params, optimizer):
    return [p.detach().clone() for p in params], copy.deepcopy(optimizer.state_dict()["state"]), optimizer.stats()


def same(one, other):
    return (all(map(torch.equal, one[0], other[0])) and one[2] == other[2]
            and all(torch.equal(torch.as_tensor(a[key]), torch.as_tensor(b[key]))
                    for a, b in zip(one[1].values(), other[1].values()) for key in a))


@pytest.mark.parametrize("name, value, of", [(*row, "group") for row in GROUP] + [(*row, "whole") for row in WHOLE], ids=str)
def test_what_the_constructor_refuses_is_refused(name, value, of):
    torch.manual_seed(5)
    params, optimizer = stepped()
    torch.manual_seed(5)
    plain, other = stepped()
    before = everything(params, optimizer)
    give(params, 9)
    place = optimizer.param_groups[1] if of == "group" else vars(optimizer)
    old = place.get(name)
    for _ in range(2):
        place[name] = value
        with pytest.raises((TypeError, ValueError), match=rf"^{name}"):
            optimizer.step()
        place[name] = old
        assert same(before, everything(params, optimizer))
    give(plain, 9)
    optimizer.step()
    other.step()
    assert same(everything(params, optimizer), everything(plain, other))


@pytest.mark.parametrize("name, value", [("lr", np.float32(0.02)), ("lr", torch.tensor(0.02)), ("weight_decay", np.float64(0.2)),
                                         ("betas", [0.8, 0.9]), ("eps", 1), ("differentiable", False)])
def test_what_the_constructor_takes_is_taken(name, value):
    params, optimizer = stepped()
    optimizer.param_groups[0][name] = value
    give(params, 3)
    optimizer.step()
    assert optimizer.stats()["steps_applied"] == 3


def test_a_group_that_was_appended_by_hand_is_named():
    params, optimizer = stepped()
    optimizer.param_groups.append({"params": [torch.nn.Parameter(torch.ones(3))]})
    with pytest.raises(ValueError, match="^lr: a group has none; groups are added by add_param_group"):
        optimizer.step()
    optimizer.param_groups.pop()
    give(params, 4)
    optimizer.step()


def test_a_refused_step_leaves_no_scale_behind():
    """A step without the scaler would divide its gradients by it."""
    params, optimizer = stepped()
    scaler = GradScaler("cpu", init_scale=1024.0)
    scaler.scale(sum(p.sum() for p in params)).backward()
    optimizer.param_groups[0]["lr"] = -1.0
    with pytest.raises(ValueError, match="^lr"):
        scaler.step(optimizer)
    optimizer.param_groups[0]["lr"] = 0.01
    give(params, 6)
    optimizer.step()
    norm = torch.cat([p.grad.flatten() for p in params]).norm().item()
    assert optimizer.stats()["grad_norm"] == pytest.approx(norm, rel=1e-6)


@pytest.mark.parametrize("what", ["first step", "load", "vbar", "new group"])
def test_inference_mode_around_a_call_stays_there(what):
    """State that is made inside serves the steps outside."""
    torch.manual_seed(1)
    params, optimizer = stepped()
    saved = optimizer.state_dict()
    plain = [torch.nn.Parameter(p.detach().clone()) for p in params]
    late = [torch.nn.Parameter(torch.ones(4)) for _ in range(2)]
    found = []
    for some, mode, extra in ((params, torch.inference_mode, late[0]), (plain, torch.no_grad, late[1])):
        one = AdamS([dict(params=some[:1]), dict(params=some[1:])], lr=0.01, weight_decay=0.1, max_grad_norm=0.5)
        if what != "first step":
            if what != "load":
                one.load_state_dict(copy.deepcopy(saved))
        give(some, 7)
        with mode():
            if what == "load":
                one.load_state_dict(copy.deepcopy(saved))
            elif what == "vbar":
                one.vbar()
            elif what == "new group":
                one.add_param_group(dict(params=[extra]))
                extra.grad = torch.ones(4)
            if what in ("first step", "new group"):
                one.step()
        for step in range(2):
            give(some, 8 + step)
            one.step()
        found.append((*everything(some, one), extra.detach().clone()))
    assert same(found[0], found[1]) and torch.equal(found[0][3], found[1][3])
