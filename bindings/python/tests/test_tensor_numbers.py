# SPDX-License-Identifier: Apache-2.0
"""Tensor betas, and a default device that is not the parameters'."""
import copy

import pytest
import torch

from swd.torch import AdamS, flatten
from test_direction import problem


def test_tensor_betas_equal_numbers():
    results = []
    for betas in ((0.5, 0.75), (torch.tensor(0.5), torch.tensor([0.75]))):
        torch.manual_seed(2)
        params, loss = problem(True)
        optimizer = AdamS(params, lr=0.01, betas=betas)
        for _ in range(5):
            optimizer.zero_grad()
            loss().backward()
            optimizer.step()
        results.append([p.detach().clone() for p in params] + [optimizer.vbar()])
    assert all(torch.equal(a, b) for a, b in zip(results[0][:-1], results[1])) and results[0][-1] == results[1][-1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("flat", [False, True])
def test_another_default_device_does_not_matter(flat, dtype):
    """As while a large model is described on the meta device."""
    params = [torch.nn.Parameter(torch.randn(n, dtype=dtype)) for n in (5, 70)]
    twins = [torch.nn.Parameter(p.detach().clone()) for p in params]
    gradients = [[torch.randn_like(p) for p in params] for _ in range(6)]

    def train(params, steps, optimizer):
        for some in steps:
            for k, (p, g) in enumerate(zip(params, some)):
                p.grad = None if k and some is gradients[2] else g.clone()
            optimizer.step()

    one = AdamS(params, lr=0.01, max_grad_norm=1.0)
    train(params, gradients, one)
    with torch.device("meta"):
        if flat:
            flatten(twins)
        two = AdamS(twins, lr=0.01, max_grad_norm=1.0)
        two.grad_scale, two.found_inf = 1.0, 0.0
        train(twins, gradients[:3], two)
        state_dict, vbar = copy.deepcopy(two.state_dict()), two.vbar()
        two = AdamS(twins, lr=0.01, max_grad_norm=1.0)
        two.load_state_dict(state_dict)
        assert two.vbar() == vbar
        train(twins, gradients[3:], two)
        stats = two.stats()
    assert all(torch.equal(a, b) for a, b in zip(params, twins)) and stats == one.stats()
