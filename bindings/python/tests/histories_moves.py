# SPDX-License-Identifier: Apache-2.0
"""Gradients and options of an AdamS and its model, and steps that are refused. Used by test_histories; Run is in histories, what
is done to states in histories_states."""
import pytest
import torch

import swd
from plain_adams import SCHEDULED, Place
from swd.torch.flat import flat_of

# ---- Gradients ----


def new_gradients(run, kinds, seed, size):
    """kinds: one for each parameter, in turn."""
    torch.manual_seed(seed)
    for k, param in enumerate(run.params()):
        kind = kinds[k % len(kinds)]
        grad = (size * torch.randn(param.shape)).to(param.dtype)
        if kind == "rows":
            grad.view(-1)[::2] = 0
        if kind == "none":
            param.grad = None
        elif kind != "keep":
            grad = torch.zeros_like(grad) if kind == "zero" else grad
            give(run, param, grad, param.grad is not None and (seed + k) % 2)
    run.read_gradients()


def give(run, param, grad, in_place):
    """By backward where the optimizer has hooks in it."""
    if run.optimizer.overlap_norm:
        param.grad = param.grad.zero_() if in_place else None
        (param * grad).sum().backward()
    elif in_place:
        param.grad.copy_(grad)
    else:
        param.grad = grad


def damage_gradient(run, one, value):
    params = [param for param in run.params() if param.grad is not None]
    if params:
        grad = params[one % len(params)].grad
        grad.view(-1)[-1] = min(value, torch.finfo(grad.dtype).max) if value == 1e30 else value
        run.read_gradients()


def make_finite(run):
    for param in run.params():
        if param.grad is not None and not torch.isfinite(param.grad).all():
            param.grad.nan_to_num_(0.5, 0.5, 0.5)
    run.read_gradients()


def zero_grad(run, set_to_none):
    for param, place in run.pairs():
        stays = flat_of(param) is not None or (place.grad is not None and not set_to_none)
        place.grad = torch.zeros_like(place.p) if stays else None
    run.optimizer.zero_grad(set_to_none=set_to_none)


# ---- Options ----


def group_options(options, amsgrad):
    lr = options["lr"]
    return {**options, "lr": torch.tensor(0.01).item() if lr == "tensor" else lr, "amsgrad": amsgrad}


def keep_norm(run):
    """measure_norm=False is for those who need no norm."""
    whole = run.plain.whole
    if run.plain.has(*SCHEDULED) or whole["max_grad_norm"] is not None or whole["nonfinite"] == "skip":
        whole["measure_norm"] = run.optimizer.measure_norm = True


def set_option(run, group, name, value):
    group %= len(run.plain.groups)
    run.optimizer.param_groups[group][name] = torch.tensor(0.01) if value == "tensor" else value
    run.plain.groups[group][name] = torch.tensor(0.01).item() if value == "tensor" else value
    keep_norm(run)


def set_whole(run, name, value):
    run.plain.whole[name] = value
    setattr(run.optimizer, name, value)
    keep_norm(run)


def toggle(run, name):
    if name == "update_norms":
        return set_whole(run, name, not run.plain.whole[name])
    for groups in (run.optimizer.param_groups, run.plain.groups):
        for group in groups:
            group[name] = not group[name]


def add_group(run, options):
    if run.reserve:
        param, options = run.reserve.pop(), group_options(options, run.plain.groups[0]["amsgrad"])
        run.optimizer.add_param_group({"params": [param], **options})
        run.plain.groups.append({**options, "places": [Place(param.detach().double().clone())]})
        keep_norm(run)
        run.read_gradients()


# ---- Steps that do not happen ----


def bad_option(run):
    group = run.optimizer.param_groups[0]
    kept, group["lr"] = group["lr"], -1.0
    if any(place.grad is not None for place in run.plain.places()):
        with pytest.raises((ValueError, swd.Error), match="lr"):
            run.optimizer.step()
    group["lr"] = kept


def hook_that_raises(run):
    def hook(record):
        raise ArithmeticError("of the hook")

    if run.plain.whole["measure_norm"]:
        run.optimizer.record_hook = hook
        with pytest.raises(ArithmeticError):
            run.optimizer.step()
        run.optimizer.record_hook = None


def sparse_gradient(run):
    param = run.params()[0]
    kept = param.grad
    param.grad = torch.zeros_like(param).to_sparse()
    with pytest.raises(RuntimeError, match="sparse"):
        run.optimizer.step()
    param.grad = kept


REFUSALS = {"bad option": bad_option, "hook that raises": hook_that_raises, "sparse gradient": sparse_gradient}
