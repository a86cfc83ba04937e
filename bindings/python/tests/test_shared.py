# SPDX-License-Identifier: Apache-2.0
"""Parameters that share memory are refused where they would be stepped apart; gradients that do are only read."""
import pytest
import torch

from swd.torch import AdamS, flatten


def parameter(tensor):
    return torch.nn.Parameter(tensor)


BASE = torch.arange(32.0).view(4, 8)
SHARED = {
    "columns": lambda base: (base[:, :4], base[:, 2:6]),
    "inside": lambda base: (base, base[:, 1:3]),
    "rows": lambda base: (base[:, :4], base[3:]),
    "alternate": lambda base: (base.flatten()[::2], base.flatten()[2::3]),
    "of another dtype": lambda base: (base[:, :4], base.view(torch.bfloat16)[:, 6:9]),
}
APART = {
    "columns": lambda base: (base[:, :4], base[:, 4:]),
    "three": lambda base: (base[:, :2], base[:, 2:5], base[:, 5:]),
    "alternate": lambda base: (base.flatten()[::2], base.flatten()[1::2]),
    "rows": lambda base: (base[:2], base[2:]),
    "nothing": lambda base: (base[:, :4], base[:0]),
}


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("name", SHARED)
def test_what_has_gaps_and_shares_elements_is_refused(name, groups):
    base = BASE.clone()
    params = [parameter(view) for view in SHARED[name](base)]
    optimizer = AdamS([dict(params=[param], maximize=groups == 2 and i == 1) for i, param in enumerate(params)])
    for param in params:
        param.grad = torch.ones_like(param)
    with pytest.raises(ValueError, match="^params: a tensor of shape .* has elements in common with another one"):
        optimizer.step()
    assert torch.equal(base, BASE) and not any(optimizer.state.values())
    params[1].grad = None
    optimizer.step()
    assert not torch.equal(params[0].detach(), SHARED[name](BASE)[0])


@pytest.mark.parametrize("name", APART)
def test_what_lies_between_each_other_is_stepped(name):
    found = []
    for views in (APART[name](BASE.clone()), [view.clone() for view in APART[name](BASE)]):
        params = [parameter(view) for view in views]
        optimizer = AdamS(params, lr=0.1)
        for step in range(3):
            torch.manual_seed(step)
            for param in params:
                param.grad = torch.randn(param.shape)
            optimizer.step()
        found.append([param.detach() for param in params])
    assert all(map(torch.equal, *found))


@pytest.mark.parametrize("name", [*SHARED, "the same"])
def test_flatten_refuses_to_untie(name):
    base = BASE.clone()
    params = [parameter(view) for view in (SHARED[name](base) if name in SHARED else (base, base))]
    with pytest.raises(ValueError, match="^params: a tensor of shape .* has elements in common with another one"):
        flatten(params)
    assert params[0].data_ptr() == base.data_ptr() and params[0].grad is None and params[1].grad is None
    flatten([parameter(view) for view in APART["columns"](base)])


@pytest.mark.parametrize("flat", [False, True], ids=["list", "flat"])
@pytest.mark.parametrize("overlap", [False, True], ids=["plain", "overlap"])
@pytest.mark.parametrize("view", [False, True], ids=["tensor", "view"])
def test_one_gradient_for_two_parameters(flat, overlap, view):
    """autograd hands the same tensor to both terms of a sum, torch.func its memory. From the second step on nothing else
    moves."""
    def run(clone):
        torch.manual_seed(0)
        params = [parameter(torch.randn(4, 3)) for _ in range(3)]
        if flat:
            flatten(params)
        optimizer = AdamS(params, lr=0.01, weight_decay=0.01, max_grad_norm=0.5, overlap_norm=overlap)
        for step in range(4):
            weights = torch.randn(4, 3)
            grads = torch.autograd.grad(((params[0] + params[1]) * weights).sum(), params[:2])
            assert grads[0].data_ptr() == grads[1].data_ptr()
            for param, grad in zip(params, grads):
                param.grad = grad.clone() if clone else grad.detach() if view else grad
            params[2].grad = torch.randn(4, 3)
            optimizer.step()
        return [param.detach() for param in params], optimizer.stats()
    one, other = run(False), run(True)
    assert all(map(torch.equal, one[0], other[0])) and one[1] == other[1]
