# SPDX-License-Identifier: Apache-2.0
"""10,000 steps, with checkpoints, missing gradients and rebuilt layouts in between, leave nothing behind."""
import gc
import os
import sys

import pytest
import torch

from swd.torch import AdamS


def resident_bytes():
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def tensors_alive():
    gc.collect()
    return sum(type(thing) in (torch.Tensor, torch.nn.Parameter) for thing in gc.get_objects())


def train(params, optimizer, steps):
    grads = [torch.randn_like(p) for p in params]
    for step in range(steps):
        for k, (p, g) in enumerate(zip(params, grads)):
            p.grad = None if (step + k) % 50 == 0 else g
        optimizer.step()
        if step % 100 == 0:
            optimizer.load_state_dict(optimizer.state_dict())
        if step % 10 == 0:
            optimizer.stats()


@pytest.mark.long
def test_ten_thousand_steps_leave_nothing_behind():
    params = [torch.nn.Parameter(torch.randn(n)) for n in (3000, 500, 20000)]
    params.append(torch.nn.Parameter(torch.randn(300).bfloat16()))
    optimizer = AdamS(params, max_grad_norm=1.0)
    train(params, optimizer, 1200)
    tensors, blocks, memory = tensors_alive(), [sys.getallocatedblocks()], resident_bytes()
    for _ in range(4):
        train(params, optimizer, 2200)
        assert tensors_alive() == tensors
        blocks.append(sys.getallocatedblocks())
    # Python objects; one a step would be 2,200, of each load_state_dict 250. What is lost is lost in each stretch; caches of
    # Python and of pytest grow in one.
    assert min(after - before for before, after in zip(blocks, blocks[1:])) < 125
    assert resident_bytes() - memory < 4 * 2 ** 20    # one lost set of moments is 0.3 MB, and 88 were replaced


def test_plans_and_optimizers_are_freed():
    def make():
        params = [torch.nn.Parameter(torch.randn(200_000))]
        optimizer = AdamS(params)
        params[0].grad = torch.randn(200_000)
        optimizer.step()

    for _ in range(5):
        make()
    gc.collect()
    before = resident_bytes()
    for _ in range(60):
        make()
    gc.collect()
    assert resident_bytes() - before < 16 * 2 ** 20  # 60 lost ones would be 192 MB
