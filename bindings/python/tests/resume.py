# SPDX-License-Identifier: Apache-2.0
"""Runs whose gradients depend on the step only, so that they can be cut and resumed. Used by the checkpoint tests."""
import io

import torch

SHAPES = [(6, 4), (300,), (2, 3, 4)]


def parameters(dtype=torch.float32):
    generator = torch.Generator().manual_seed(11)
    return [torch.nn.Parameter(torch.randn(shape, generator=generator).to(dtype)) for shape in SHAPES]


def run(params, optimizers, first, steps):
    """The same gradients for a given step, whoever asks."""
    for step in range(first, first + steps):
        for k, p in enumerate(params):
            generator = torch.Generator().manual_seed(1000 * step + k)
            p.grad = torch.randn(p.shape, generator=generator).to(p.dtype) if (step + k) % 4 else None
        for optimizer in optimizers:
            optimizer.step()


def close(a, b, bound=2e-6):
    return all((x.detach().double() - y.detach().double()).abs().max() <= bound * y.detach().double().abs().max()
               for x, y in zip(a, b))


def through_file(state_dict):
    file = io.BytesIO()
    torch.save(state_dict, file)
    file.seek(0)
    return torch.load(file, weights_only=True)
