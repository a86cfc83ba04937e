# SPDX-License-Identifier: Apache-2.0
"""How far a run on narrow states ends from one in fp64 on the same noise: two small problems that codes of few bits
find hard. Used by run.py; by itself it prints the presets of libswd.

A noisy quadratic: the gradient of p[i] is curvature[i] * p[i] plus noise of size[i], new in each step.
    heavy tails   curvature and size are log-normal within each block, sigma 2.5
    sparse        sigma 1, and a row of 512 has a gradient in 2 % of the steps only
The error is the rms of the difference of the parameters over that of the parameters.

    errors.py --library build/bench/libswd.so"""
import argparse
import functools
import math

import torch

import libswd
import package
from tensors import Hyper, Tensors

ELEMENTS, ROW = 8192, 512  # peers leave tensors below 4,096 elements in fp32
PROBLEMS = {"heavy tails": dict(sigma=2.5, live=1.0), "sparse": dict(sigma=1.0, live=0.02)}
HYPER = Hyper(lr=1e-3, weight_decay=0.1)


class Problem:
    def __init__(self, sigma, live, steps):
        draw = torch.Generator().manual_seed(1)
        normal = lambda: torch.randn(ELEMENTS, generator=draw, dtype=torch.float64)  # noqa: E731
        self.curvature, self.size, self.start = (sigma * normal()).exp(), (sigma * normal()).exp(), normal()
        self.live, self.steps = live, steps
        self.exact = self.fp64()

    def gradient(self, step, param):
        draw = torch.Generator().manual_seed(1000 + step)
        noise = self.size * torch.randn(ELEMENTS, generator=draw, dtype=torch.float64)
        alive = torch.rand(ELEMENTS // ROW, generator=draw) < self.live
        return (self.curvature * param + noise) * alive.repeat_interleave(ROW)

    def fp64(self):
        h, p = HYPER, self.start.clone()
        m, v = torch.zeros_like(p), torch.zeros_like(p)
        for t in range(1, self.steps + 1):
            g = self.gradient(t, p)
            m += (1 - h.beta1) * (g - m)
            v += (1 - h.beta2) * (g * g - v)
            update = m / (1 - h.beta1 ** t) / ((v / (1 - h.beta2 ** t)).sqrt() + h.eps)
            p -= h.lr * (h.weight_decay * p + update)
        return p

    def error(self, make, device, dtype):
        """make(tensors, hyper): a step, like a contender's. Gradients are taken at the parameters as anybody reads
        them, and have their dtype; a step with `store` (libswd) says what its parameters really are."""
        tensors = Tensors(ELEMENTS, 1, device, dtype)
        tensors.param.copy_(self.start)
        step = make(tensors, HYPER)
        if hasattr(step, "load"):
            step.load(param=self.start.float().to(device))
        wide = torch.zeros(ELEMENTS, device=device)
        for t in range(1, self.steps + 1):
            tensors.grad.copy_(self.gradient(t, tensors.param.detach().double().cpu()))
            step()
        if hasattr(step, "store"):
            step.store(param=wide)
        else:
            wide.copy_(tensors.param.detach())
        difference = wide.double().cpu() - self.exact
        return (difference.square().mean() / self.exact.square().mean()).sqrt().item()


@functools.lru_cache
def problems(steps=1000):
    return {name: Problem(steps=steps, **numbers) for name, numbers in PROBLEMS.items()}


def param_dtype(states):
    return libswd.TORCH[libswd.STATES[states].get("param_dtype", "float32")]


def errors(all_problems, make, device, dtype):
    return {name: problem.error(make, device, dtype) for name, problem in all_problems.items()}


def state_bytes(states):
    width = {"float32": 4, "bfloat16": 2, "int16": 2, "int8": 1, "block8": 1 + 1 / 128, None: 0}
    options = libswd.STATES[states]
    return (width[options.get("param_dtype", "float32")] + width[options.get("remainder_dtype")] +
            2 * width[options.get("moment_dtype", "float32")])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", required=True, help="path of libswd.so")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--steps", type=int, default=1000)
    options = parser.parse_args()
    torch.set_num_threads(1)  # the problems are small
    swd = package.load(options.library)
    every = problems(options.steps)
    print(f"{'states':<12} {'bytes':>6}" + "".join(f" {name:>12}" for name in every))
    for states in libswd.STATES:
        found = errors(every, lambda t, h: libswd.Step(swd, t, h, "decoupled", False, states),
                       options.device, param_dtype(states))
        print(f"{states:<12} {state_bytes(states):6.2f}" + "".join(f" {error:12.1e}" for error in found.values()),
              flush=True)
        if not all(map(math.isfinite, found.values())):
            raise SystemExit(f"errors.py: {states} is not finite")


if __name__ == "__main__":
    main()
