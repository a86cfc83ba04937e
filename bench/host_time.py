# SPDX-License-Identifier: Apache-2.0
"""Host time of a step of swd.torch.AdamS a tensor, and of zero_grad, beside torch's fused AdamW after clip_grad_norm_: many
tensors so small that nothing else counts. A GPU waits for this time. The optimizers take turns of ten steps. Processor time of
one thread.

Usage: host_time.py [TENSORS [ELEMENTS [ROUNDS]]], by default 1000, 16 and 30. Gradients are new tensors at
each step, as after zero_grad(); those of "flat" are views that stay, as after AdamS.zero_grad()."""
import statistics
import sys
import time

import torch

from swd.torch import AdamS, flatten


def make(tensors, elements, kind):
    """A function that gives gradients, one that steps, and one that clears them."""
    params = [torch.nn.Parameter(torch.randn(elements)) for _ in range(tensors)]
    if kind == "flat":
        flatten(params)
    grads = [torch.randn(elements) for _ in params]

    def give():
        for param, grad in zip(params, grads):
            if kind == "flat":
                param.grad.copy_(grad)
            else:
                param.grad = grad.clone()

    if kind != "adamw":
        optimizer = AdamS(params, weight_decay=1e-4, max_grad_norm=1.0)
        return give, optimizer.step, optimizer.zero_grad
    optimizer = torch.optim.AdamW(params, fused=True)

    def step():
        torch.nn.utils.clip_grad_norm_(params, 1.0, foreach=True)
        optimizer.step()
    return give, step, optimizer.zero_grad


def main():
    tensors, elements, rounds = (int(word) for word in (sys.argv[1:] + ["1000", "16", "30"][len(sys.argv) - 1:]))
    torch.set_num_threads(1)
    runs = {kind: make(tensors, elements, kind) for kind in ("list", "flat", "adamw")}
    times = {kind: ([], []) for kind in runs}
    for _ in range(rounds):
        for kind, (give, *calls) in runs.items():
            for _ in range(10):
                give()
                for call, found in zip(calls, times[kind]):
                    begun = time.thread_time()
                    call()
                    found.append((time.thread_time() - begun) / tensors * 1e6)
    print(f"torch {torch.__version__}, {tensors} tensors of {elements} elements, {10 * rounds} steps each: microseconds a tensor")
    for kind, found in times.items():
        words = [f"{name} fastest {min(some):5.2f}, median {statistics.median(some):5.2f}"
                 for name, some in zip(("step", "zero_grad"), found)]
        print(f"  {kind:<6} {'   '.join(words)}")


if __name__ == "__main__":
    main()
