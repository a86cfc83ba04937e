# SPDX-License-Identifier: Apache-2.0
"""The cases of PyTorch's own test of its optimizers, continued from test_torch_cases.py: groups, steps that change
nothing, state_dicts and hooks. Names are theirs."""
import copy
import io

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from optimizer_info import INFO, all_inputs, linear
from swd.torch import AdamS


def equal(a, b):
    """Two nests of dicts, lists, tensors and numbers."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b))
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def trained(given, steps=3, named=False):
    weight, bias, loss = linear()
    params = [("weight", weight), ("bias", bias)] if named else [weight, bias]
    optimizer = AdamS(params, **copy.deepcopy(given.kwargs))
    for _ in range(steps):
        loss()
        optimizer.step()
    return weight, bias, loss, optimizer


def test_param_groups_weight_decay():
    for given in all_inputs():
        own = {key: value for key, value in given.kwargs.items()
               if key in ("lr", "betas", "weight_decay", "maximize", "amsgrad", "decay")}
        rest = {key: value for key, value in given.kwargs.items() if key not in own}
        weight, bias, loss = linear()
        optimizer = AdamS([dict(params=[weight], **own), dict(params=[bias], **{**own, "weight_decay": 0.0})],
                          **rest, **({"decay": own["decay"]} if "decay" in own else {}))
        first = loss()
        for _ in range(20):
            loss()
            optimizer.step()
        assert (loss() > first) == given.kwargs.get("maximize", False), given.desc
        assert optimizer.stats()["lambda_eff"][1] == 0.0


def test_param_groups_lr():
    for given in all_inputs():
        weight, bias, loss = linear()
        still, lr = torch.nn.Parameter(torch.randn(2)), given.kwargs.get("lr", 1e-3)
        optimizer = AdamS([dict(params=[weight, bias], lr=lr), dict(params=[still])], **{**given.kwargs, "lr": 1e-28})
        before, first = still.detach().clone(), loss()
        for _ in range(20):
            loss()
            still.grad = torch.rand_like(still)
            optimizer.step()
        assert (loss() > first) == given.kwargs.get("maximize", False), given.desc
        assert torch.equal(still.detach(), before)


def test_step_is_noop_when_params_have_no_grad():
    for given in all_inputs():
        params = [torch.randn(2, 3) for _ in range(2)]
        before = copy.deepcopy(params)
        assert AdamS(params, **given.kwargs).step(lambda: 4) == 4
        assert equal(params, before)


def test_step_is_noop_for_zero_grads():
    for given in all_inputs():
        param = torch.nn.Parameter(torch.randn(5, 1))
        before, param.grad = param.detach().clone(), torch.zeros(5, 1)
        optimizer = AdamS([param], **{**given.kwargs, "weight_decay": 0.0})
        optimizer.step()
        assert torch.equal(param.detach(), before) and optimizer.stats()["result"] == "applied", given.desc


def test_fused_does_not_step_if_foundinf():
    for given in INFO.optim_inputs_func("cpu"):
        for scale in (None, torch.ones(1)):
            param = torch.nn.Parameter(torch.ones(1))
            param.grad = torch.ones(1)
            optimizer = AdamS([param], fused=True, **given.kwargs)
            optimizer.grad_scale, optimizer.found_inf = scale, torch.ones(())
            optimizer.step()
            assert param.item() == 1.0 and optimizer.state[param]["step"] == 0, given.desc


def test_optimizer_can_be_printed():
    for given in all_inputs():
        text = repr(AdamS([torch.nn.Parameter(torch.randn(2, 3))], **given.kwargs))
        assert text.startswith("AdamS (\nParameter Group 0\n") and "weight_decay" in text


@pytest.mark.parametrize("named", [(False, False), (False, True), (True, False), (True, True)])
def test_state_dict_deterministic(named):
    """And can_load_from_to_named_state_dict."""
    for given in all_inputs():
        weight, bias, loss, one = trained(given, 10, named[0])
        copies = copy.deepcopy([weight, bias])
        two = AdamS([("weight", copies[0]), ("bias", copies[1])] if named[1] else copies, **copy.deepcopy(given.kwargs))
        two.load_state_dict(copy.deepcopy(one.state_dict()))
        for _ in range(5):
            loss()
            for param, twin in zip((weight, bias), copies):
                twin.grad = param.grad.clone()
            one.step()
            two.step()
            assert torch.equal(weight, copies[0]) and torch.equal(bias, copies[1]), given.desc
        saved = [one.state_dict(), two.state_dict()]
        if any(named):
            assert saved[1]["param_groups"][0]["param_names"] == ["weight", "bias"]
        for state_dict in saved:
            state_dict["param_groups"][0].pop("param_names", None)
        assert equal(*saved), given.desc


def test_can_load_older_state_dict():
    for given in all_inputs():
        weight, _, loss, optimizer = trained(given)
        older = copy.deepcopy(optimizer.state_dict())
        for flag in INFO.not_og_supported_flags + ("swd",):
            older["param_groups"][0].pop(flag, None)
        optimizer.load_state_dict(older)
        loss()
        before = weight.detach().clone()
        optimizer.step()
        assert int(optimizer.state[weight]["step"]) == 4 and not torch.equal(weight, before), given.desc


def test_save_load_equality_with_weights_only():
    for given in all_inputs():
        state_dict = trained(given, named=True)[3].state_dict()
        for weights_only in (False, True):
            file = io.BytesIO()
            torch.save(state_dict, file)
            file.seek(0)
            assert equal(torch.load(file, weights_only=weights_only), state_dict), given.desc


def test_load_nontensor_step():
    for given in all_inputs():
        weight, _, loss, optimizer = trained(given)
        state_dict = copy.deepcopy(optimizer.state_dict())
        for state in state_dict["state"].values():
            state["step"] = state["step"].item()
        optimizer.load_state_dict(state_dict)
        loss()
        optimizer.step()
        assert int(optimizer.state[weight]["step"]) == 4


def test_state_dict_pre_post_hook():
    """And each alone."""
    for given in all_inputs():
        optimizer = AdamS([torch.rand(2, 3, requires_grad=True)], **given.kwargs)
        pre = optimizer.register_state_dict_pre_hook(lambda one: one.state.update(test=1))
        assert optimizer.state_dict()["state"]["test"] == 1
        optimizer.register_state_dict_post_hook(lambda _, made: {**made, "seen": "test" in made["state"]})
        assert optimizer.state_dict()["seen"]
        pre.remove()
        del optimizer.state["test"]
        assert not optimizer.state_dict()["seen"]


def test_load_state_dict_pre_post_hook():
    """And each alone, and what prepend changes."""
    def second(_, loaded):
        loaded = copy.deepcopy(loaded)
        loaded["param_groups"][0]["lr"] = 0.003
        return loaded

    for given in all_inputs():
        optimizer, seen = AdamS([torch.rand(2, 3, requires_grad=True)], **given.kwargs), []
        optimizer.register_load_state_dict_post_hook(lambda one: seen.append(one.param_groups[0]["lr"]))
        optimizer.register_load_state_dict_pre_hook(lambda _, loaded: loaded["param_groups"][0].update(lr=0.002))
        optimizer.load_state_dict(optimizer.state_dict())
        early = optimizer.register_load_state_dict_pre_hook(second, prepend=True)
        optimizer.load_state_dict(optimizer.state_dict())
        early.remove()
        optimizer.register_load_state_dict_pre_hook(second)
        optimizer.load_state_dict(optimizer.state_dict())
        assert seen == [0.002, 0.002, 0.003]


def test_step_all_hooks():
    """And the hooks before and after a step alone."""
    for given in all_inputs():
        params, calls = [torch.ones(2)], []
        one, other = AdamS(params, **given.kwargs), torch.optim.SGD(params)
        handles = [register_optimizer_step_pre_hook(lambda *_: calls.append(0)),
                   register_optimizer_step_post_hook(lambda *_: calls.append(3))]
        for optimizer in (one, other):
            handles.append(optimizer.register_step_pre_hook(lambda *_: calls.append(1)))
            handles.append(optimizer.register_step_post_hook(lambda *_: calls.append(2)))
        for optimizer in (one, other, one):
            optimizer.step()
        for handle in handles:
            handle.remove()
        one.step()
        assert calls == [0, 1, 2, 3] * 3


def test_deepcopy_copies_all_public_attrs():
    """And non_empty_state."""
    for given in all_inputs():
        weight, bias, _, optimizer = trained(given)
        assert all(len(optimizer.state[param]) > 0 for param in (weight, bias))
        public = [{name for name in vars(one) if not name.startswith("_")} for one in (optimizer, copy.deepcopy(optimizer))]
        assert public[0] == public[1]
