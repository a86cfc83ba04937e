# SPDX-License-Identifier: Apache-2.0
"""Gradients that are not plain memory: waited for, made real, or refused by name; never taken for missing ones."""
import pytest
import torch
import torch.distributed as dist

from swd.torch import AdamS, flatten
from test_errors import Wrapper


@pytest.fixture
def one_process():
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def under_way():
    from torch.distributed._functional_collectives import all_reduce
    return all_reduce(torch.ones(8), "sum", dist.group.WORLD)


def mesh_tensor():
    from torch.distributed.tensor import DTensor, Replicate, init_device_mesh
    return DTensor.from_local(torch.ones(8), init_device_mesh("cpu", (1,)), [Replicate()])


def pair(flat):
    params = [torch.nn.Parameter(torch.ones(8)) for _ in range(2)]
    if flat:
        flatten(params)
    return params, AdamS(params, lr=0.1, weight_decay=0)


@pytest.mark.parametrize("cached", [False, True], ids=["first step", "later step"])
@pytest.mark.parametrize("flat", [False, True])
def test_gradients_without_an_address_are_made_real(flat, cached, one_process):
    for make, norm in ((under_way, 4.0), (lambda: torch._efficientzerotensor((8,)), 8 ** 0.5)):
        params, optimizer = pair(flat)
        for step in range(1 + cached):
            params[0].grad = make() if step == cached else torch.ones(8)
            params[1].grad = torch.ones(8)
            optimizer.step()
        assert [int(optimizer.state[p]["step"]) for p in params] == [1 + cached] * 2
        assert optimizer.stats()["grad_norm"] == pytest.approx(norm)
        plain = [torch.nn.Parameter(torch.ones(8)) for _ in range(2)]
        reference = torch.optim.AdamW(plain, lr=0.1, weight_decay=0)
        for step in range(1 + cached):
            plain[0].grad = torch.full((8,), float(norm == 4.0 or step < cached))
            plain[1].grad = torch.ones(8)
            reference.step()
        assert all((p - q).abs().max() < 1e-6 for p, q in zip(params, plain))


@pytest.mark.parametrize("cached", [False, True], ids=["first step", "later step"])
@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("make, message", [
    (lambda: Wrapper(torch.ones(8)), "a gradient is a Wrapper, a tensor without memory of its own"),
    (mesh_tensor, "a gradient is a DTensor, but its parameter is a plain tensor")], ids=["wrapper", "dtensor"])
def test_gradients_that_cannot_be_read_are_refused_by_name(make, message, flat, cached, one_process):
    params, optimizer = pair(flat)
    if cached:
        params[0].grad, params[1].grad = torch.ones(8), torch.ones(8)
        optimizer.step()
    before = [p.detach().clone() for p in params]
    params[0].grad, params[1].grad = make(), torch.ones(8)
    with pytest.raises(RuntimeError, match=message):
        optimizer.step()
    assert all(torch.equal(a, p.detach()) for a, p in zip(before, params))
    params[0].grad = torch.ones(8)
    optimizer.step()
    assert [int(optimizer.state[p]["step"]) for p in params] == [1 + cached] * 2
