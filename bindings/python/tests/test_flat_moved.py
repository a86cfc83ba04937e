# SPDX-License-Identifier: Apache-2.0
"""Flat parameters whose gradients or memory users put elsewhere: the step reads what stands in .grad, as without flatten."""
import pytest
import torch

from swd.torch import AdamS, flatten


def data(params):
    for param in params:
        param.grad.data = param.grad.data * 0.5


def set_(params):
    for param in params:
        param.grad.set_((param.grad * 2).clone())


def transposed(params):
    params[0].grad.t_()


def transposed_view(params):
    params[0].grad = params[0].grad.t()


def swapped(params):
    params[0].grad, params[1].grad = params[1].grad, params[0].grad


def rotated(params):
    params[0].grad, params[1].grad, params[2].grad = params[1].grad, params[2].grad, params[0].grad


def one_for_two(params):
    params[1].grad = params[0].grad


def shifted(params):
    """A view of the buffer that begins elsewhere."""
    params[0].grad = torch.cat([params[1].grad.flatten(), params[0].grad.flatten()])[5:30].view(5, 5)


def copied(params):
    params[2].grad.data = params[2].grad.data.clone()


def parameter_data_transposed(params):
    params[0].data = params[0].data.t()


def parameter_transposed(params):
    with torch.no_grad():
        params[0].t_()


def frozen(params):
    params[1].requires_grad_(False)


EDITS = [data, set_, transposed, transposed_view, swapped, rotated, one_for_two, shifted, copied, parameter_data_transposed,
         parameter_transposed, frozen]


def run(edit, flat, each, overlap=False):
    """Parameters and statistics after each of six steps; the edit is made behind the third backward, or behind each one."""
    torch.manual_seed(2)
    params = [torch.nn.Parameter(torch.randn(5, 5)) for _ in range(3)] + [torch.nn.Parameter(torch.randn(7))]
    if flat:
        flatten(params)
    optimizer, out = AdamS(params, lr=0.01, weight_decay=0.1, max_grad_norm=1.0, overlap_norm=overlap), []
    for step in range(6):
        optimizer.zero_grad()
        torch.manual_seed(10 + step)
        terms = [(param * param * torch.rand(param.shape)).sum() for param in params]
        sum(terms).backward()
        if step == 2 or each and step > 2:
            edit(params)
        optimizer.step()
        out.append(([param.detach().clone() for param in params], optimizer.stats()))
    return out


@pytest.mark.parametrize("overlap", [False, True], ids=["plain", "overlap"])
@pytest.mark.parametrize("each", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("edit", EDITS)
def test_as_without_flatten(edit, each, overlap):
    for step, ((params, stats), (its, other)) in enumerate(zip(run(edit, False, each), run(edit, True, each, overlap))):
        assert all(map(torch.equal, params, its)) and stats == other, step


def test_frozen_parameters_do_not_move():
    params = [torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.ones(3), requires_grad=False),
              torch.nn.Parameter(torch.ones(3))]
    flatten(params)
    assert params[1].grad is None
    optimizer = AdamS(params, lr=0.1, decay="decoupled", weight_decay=0.01)
    (params[0] * params[2]).sum().backward()
    optimizer.step()
    params[0].requires_grad_(False)
    before = params[0].detach().clone()
    for _ in range(2):
        optimizer.zero_grad()
        params[2].sum().backward()
        optimizer.step()
    assert torch.equal(params[0].detach(), before) and torch.equal(params[1].detach(), torch.ones(3))
    params[0].requires_grad_(True)  # and moves again, in its place
    optimizer.zero_grad()
    (params[0] * params[2]).sum().backward()
    address = params[0].grad.data_ptr()
    optimizer.step()
    optimizer.zero_grad()
    assert not torch.equal(params[0].detach(), before) and params[0].grad.data_ptr() == address


def test_an_edited_moment_leaves_the_sums_of_others():
    """They share a buffer; taken anew from moments that were rounded, those sums would be others than in a list."""
    found = []
    for flat in (False, True):
        torch.manual_seed(4)
        params = [torch.nn.Parameter(torch.randn(40, 5)) for _ in range(3)]
        if flat:
            flatten(params)
        optimizer = AdamS(params, lr=0.001, weight_decay=0.01)
        for step in range(12):
            if step == 10:
                optimizer.state[params[1]]["exp_avg_sq"].mul_(2)
            for param in params:
                torch.manual_seed(100 * step + param.numel())
                param.grad = torch.randn(param.shape)
            optimizer.step()
        found.append([optimizer.vbar()] + [optimizer.state[param]["exp_avg_sq_sum"].item() for param in params])
    assert found[0] == found[1]
