# SPDX-License-Identifier: Apache-2.0
"""Steady: what it vouches for is what the look at each member finds. The same edits, with it and without it, give equal
bits, or the same error; and it is in use where nothing was edited."""
import pytest
import torch

import swd
from swd.torch import AdamS, flatten, forms
from swd.torch.layout import Layout
from swd.torch.steady import Steady


def transpose(param):
    with torch.no_grad():
        param.t_()
    param.grad = torch.ones_like(param)


def negated(param):
    param.grad = torch._neg_view(param.grad)


def conjugate(param):
    param.grad = torch.view_as_real(torch.complex(param.grad, param.grad).conj().resolve_conj())[..., 1]


def of_data(param):
    param.data = torch._neg_view(-param.data)


def other_state(optimizer, param):
    optimizer.state[param] = {name: value.clone() for name, value in optimizer.state[param].items()}


def resized(optimizer, param):
    optimizer.state[param]["exp_avg"].resize_(2, 5)


def swapped(optimizer, param):
    state = optimizer.state[param]
    values = state["exp_avg_sq"], state["exp_avg"]
    del state["exp_avg"], state["exp_avg_sq"]
    state["exp_avg"], state["exp_avg_sq"] = (value.abs() for value in values)


def renamed(optimizer, param):
    """The same tensors in the same order, under each other's names."""
    state = optimizer.state[param]
    order = list(state)
    names = [{"exp_avg": "exp_avg_sq", "exp_avg_sq": "exp_avg"}.get(name, name) for name in order]
    values = list(state.values())
    state["exp_avg"].abs_()
    state.clear()
    state.update(zip(names, values))


def moved(optimizer, param):
    optimizer.param_groups[1]["params"].append(optimizer.param_groups[0]["params"].pop(0))


EDITS = {
    "a new gradient": lambda o, p: setattr(p, "grad", torch.full_like(p, 3.0)),
    "no gradient": lambda o, p: setattr(p, "grad", None),
    "a gradient that is negated lazily": lambda o, p: negated(p),
    "a gradient with strides": lambda o, p: setattr(p, "grad", torch.randn(5, 5).t()),
    "a gradient with gaps": lambda o, p: conjugate(p),
    "a zero tensor": lambda o, p: setattr(p, "grad", torch._efficientzerotensor((5, 5))),
    "a sparse gradient": lambda o, p: setattr(p, "grad", torch.eye(5).to_sparse()),
    "another .data": lambda o, p: setattr(p, "data", p.data * 2.0),
    "a negated view as .data": lambda o, p: of_data(p),
    "transposed in place": lambda o, p: transpose(p),
    "written through .data": lambda o, p: p.data.fill_(0.5),
    "exp_avg replaced": lambda o, p: o.state[p].update(exp_avg=torch.ones(5, 5)),
    "exp_avg through .data": lambda o, p: setattr(o.state[p]["exp_avg"], "data", torch.ones(5, 5)),
    "exp_avg_sq edited in place": lambda o, p: o.state[p]["exp_avg_sq"].mul_(4.0),
    "exp_avg resized": resized, "moments swapped": swapped, "moments renamed": renamed, "another state": other_state,
    "a parameter in another group": moved,
    "a state without step": lambda o, p: o.state[p].pop("step"),
    "an entry more": lambda o, p: o.state[p].update(note=torch.ones(1)),
    "no state": lambda o, p: o.state.pop(p),
    "a state of something else": lambda o, p: o.state.update(test=1) or o.state.pop("test"),
    "another learning rate": lambda o, p: o.param_groups[0].update(lr=0.5),
    "another decay": lambda o, p: o.param_groups[0].update(decay="l2"),
    "frozen gets a gradient": lambda o, p: setattr(o.param_groups[1]["params"][0], "grad", torch.ones(3)),
}


def refused(optimizer):
    group = optimizer.param_groups[1]
    group["betas"], was = (0.5, 1.0), group["betas"]
    with pytest.raises((ValueError, swd.Error), match="beta"):
        optimizer.step()
    group["betas"] = was


BEFORE_THE_STEP = {"nothing": lambda o: None, "vbar()": lambda o: o.vbar(), "a refused step": refused}


def run(edit, flat, between, monkeypatch, steady):
    """What is there after three steps, the edit, something that looks at all without a step, and two more steps: all bits,
    or the error."""
    monkeypatch.setattr(Steady, "can_be", staticmethod(lambda *_: False)) if not steady else monkeypatch.undo()
    torch.manual_seed(3)
    params = [torch.nn.Parameter(torch.randn(5, 5)), torch.nn.Parameter(torch.randn(7))]
    frozen = torch.nn.Parameter(torch.randn(3))
    if flat:
        flatten(params)
    optimizer = AdamS([dict(params=params), dict(params=[frozen], lr=0.1)], lr=0.01, max_grad_norm=1.0)
    vouched = []
    try:
        for step in range(5):
            for param in params:
                if flat:
                    param.grad = optimizer._layout.engines[0].flat._views[param] if step else param.grad
                    param.grad.copy_(torch.randn(param.shape))
                else:
                    param.grad = torch.randn(param.shape)
            if step == 3:
                vouched = optimizer._layout.steady is not None
                edit(optimizer, params[0])
                BEFORE_THE_STEP[between](optimizer)
            optimizer.step()
    except Exception as error:
        return type(error), str(error), vouched
    tensors = [*params, frozen, *(value for state in optimizer.state.values() for value in state.values())]
    return [tensor.detach().clone().double() for tensor in tensors], optimizer.log(), vouched


def as_without(name, between, flat, monkeypatch):
    plain, with_it = (run(EDITS[name], flat, between, monkeypatch, steady) for steady in (False, True))
    assert with_it[2] is True and plain[2] is False
    if isinstance(plain[0], type):
        assert plain[:2] == with_it[:2]
    else:
        assert plain[1] == with_it[1] and len(plain[0]) == len(with_it[0])
        assert all(torch.equal(a, b) for a, b in zip(plain[0], with_it[0]))


@pytest.mark.parametrize("flat", [False, True], ids=["list", "flat"])
@pytest.mark.parametrize("between", BEFORE_THE_STEP)
@pytest.mark.parametrize("name", EDITS)
def test_an_edit_does_what_it_does_without(name, between, flat, monkeypatch):
    as_without(name, between, flat, monkeypatch)


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_where_torch_has_no_guards(name, monkeypatch):
    with pytest.MonkeyPatch.context() as before:
        before.setattr(forms, "of", forms._asked)
        as_without(name, "nothing", False, monkeypatch)


@pytest.mark.parametrize("make", [forms._guarded, forms._asked])
def test_both_ways_to_look_are_on_trial(make):
    assert forms._tells(make)
    assert not forms._tells(lambda tensors: lambda found: True)
    assert not forms._tells(lambda tensors: lambda found: False)


@pytest.mark.parametrize("lying", [lambda g: torch._neg_view(-g), lambda g: g.t().contiguous().t()], ids=["negated", "strided"])
@pytest.mark.parametrize("of", [forms.of, forms._asked])
def test_gradients_that_always_lie_in_another_way(lying, of, monkeypatch):
    monkeypatch.setattr(forms, "of", of)
    optimizers = [AdamS([torch.nn.Parameter(torch.eye(4))]) for _ in range(2)]
    for step in range(4):
        grad = torch.arange(16.0).view(4, 4) - 3.0 * step
        for optimizer, form in zip(optimizers, (lambda g: g, lying)):
            optimizer.param_groups[0]["params"][0].grad = form(grad)
            optimizer.step()
    assert torch.equal(*(optimizer.param_groups[0]["params"][0] for optimizer in optimizers))


def test_steps_without_edits_are_vouched_for(monkeypatch):
    looks, look = [], Layout._look
    monkeypatch.setattr(Layout, "_look", lambda *args: looks.append(1) or look(*args))
    params = [torch.nn.Parameter(torch.randn(size)) for size in ((4, 3), (0,), (5,))]
    optimizer = AdamS(params)
    for _ in range(10):
        for param in params:
            param.grad = torch.randn_like(param)
        optimizer.step()
        optimizer.vbar()
    assert len(looks) == 1
