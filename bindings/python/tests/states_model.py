# SPDX-License-Identifier: Apache-2.0
"""A small model whose states are stored in some preset of AdamS, and runs of it. Used by the tests of states."""
import torch

from swd.torch import flatten

SHAPES = [(3, 50), (7,), (70, 64), (1,)]
CASES = [(states, dtype) for states in ("fp32", "mixed16", "compact8", "tiny8")
         for dtype in (torch.bfloat16, torch.float32) if not (states == "tiny8" and dtype == torch.float32)]
NARROW = [case for case in CASES if case[0] != "fp32"]


def model(dtype, flat=False, seed=0):
    torch.manual_seed(seed)
    params = [torch.nn.Parameter(torch.randn(shape).bfloat16().to(dtype)) for shape in SHAPES]
    if flat:
        flatten(params)
    return params


def run(params, optimizers, first, steps):
    for number in range(first, first + steps):
        torch.manual_seed(1000 + number)
        for param in params:
            param.grad = (torch.randn(param.shape) * 1e-2).bfloat16().to(param.dtype)
        for optimizer in optimizers:
            optimizer.step()


def bits(params, optimizer):
    state = [optimizer.state[param] for param in params]
    return [param.detach().contiguous().view(torch.uint8).clone() for param in params] + [
        torch.as_tensor(one[key]).reshape(-1).view(torch.uint8).clone() for one in state for key in sorted(one)]


def same(a, b):
    return len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b))
