#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How far decoupled decay in fp32 drifts from fp64, with PyTorch's order of operations and with libswd's: the figures of
docs/numerics.md. Every operation is one correctly rounded numpy call, so the bits are those of the library's CPU backend
and of torch.optim.AdamW(foreach=False); where torch can be imported, it is run too. Needs numpy.
Usage: adamw_drift.py [STEPS [LR]]"""
import sys

import numpy as np

STEPS = int(sys.argv[1]) if len(sys.argv) > 1 else 200
LR = float(sys.argv[2]) if len(sys.argv) > 2 else 1e-3
BETA1, BETA2, EPS, COUNT = 0.9, 0.999, 1e-8, 4096


def gradients():
    random = np.random.default_rng(1)
    return [random.standard_normal(COUNT).astype(np.float32) for _ in range(STEPS)]


def pytorch_form(dtype, decay):
    """p *= 1 - lr * decay, one factor that fp32 rounds; then lerp_, mul_ and addcmul_, addcdiv_."""
    p, m, v = START.astype(dtype), np.zeros(COUNT, dtype), np.zeros(COUNT, dtype)
    for t, g in enumerate(GRADS, 1):
        g = g.astype(dtype)
        p *= dtype(1 - LR * decay)
        m += dtype(1 - BETA1) * (g - m)
        v *= dtype(BETA2)
        v += dtype(1 - BETA2) * g * g
        denominator = np.sqrt(v) / dtype((1 - BETA2**t) ** 0.5) + dtype(EPS)
        p += dtype(-LR / (1 - BETA1**t)) * m / denominator
    return p


def libswd_form(dtype, decay):
    """p -= d * p + a * (...): the decay itself is rounded, not one minus it; v as an increment."""
    p, m, v = START.astype(dtype), np.zeros(COUNT, dtype), np.zeros(COUNT, dtype)
    for t, g in enumerate(GRADS, 1):
        g = g.astype(dtype)
        m += dtype(1 - BETA1) * (g - m)
        v += dtype(1 - BETA2) * (g * g - v)
        a, b = dtype(LR / (1 - BETA1**t)), dtype(1 / (1 - BETA2**t) ** 0.5)
        p -= dtype(LR * decay) * p + a * (m / (np.sqrt(v) * b + dtype(EPS)))
    return p


def pytorch_itself(decay):
    import torch
    p = torch.tensor(START, requires_grad=True)
    optimizer = torch.optim.AdamW([p], lr=LR, betas=(BETA1, BETA2), eps=EPS, weight_decay=decay, foreach=False)
    for g in GRADS:
        p.grad = torch.tensor(g)
        optimizer.step()
    return p.detach().numpy()


START, GRADS = np.random.default_rng(2).uniform(-1, 1, COUNT).astype(np.float32), gradients()
print(f"largest deviation of a parameter in [-1, 1] from fp64 after {STEPS} steps, lr {LR:g}")
for decay in (0.0, 0.01, 0.05, 0.1):
    exact = pytorch_form(np.float64, decay)
    off = {"PyTorch's form": pytorch_form(np.float32, decay), "libswd's form": libswd_form(np.float32, decay)}
    try:
        off["torch.optim.AdamW"] = pytorch_itself(decay)
    except ImportError:
        pass
    print(f"weight_decay {decay:<5g}" + "".join(f"  {name} {np.abs(p - exact).max():.1e}" for name, p in off.items()))
    assert np.abs(libswd_form(np.float64, decay) - exact).max() < 1e-12
