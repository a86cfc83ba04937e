# SPDX-License-Identifier: Apache-2.0
"""Sharded optimizer states with torch.distributed: every process computes gradients on its share of the data, owns some
of the parameters, steps those, and sends them to the others.

    torchrun --nproc-per-node 2 sharded.py
"""
import torch
import torch.distributed as dist
from torch import nn

import swd.torch


def make_model():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(2, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))


def make_optimizer(params):
    # Relative decay takes AdamW's weight_decay. The vbar of step 20 is what it is relative to from then on, on all ranks.
    return swd.torch.AdamS(params, lr=2e-3, decay="relative", weight_decay=0.01, reference_step=20, max_grad_norm=0.1)


def main(steps=200):
    """Trains; returns the parameters and the statistics of the last step."""
    rank, size = dist.get_rank(), dist.get_world_size()
    model = make_model()
    owner = {p: i % size for i, p in enumerate(model.parameters())}
    optimizer = make_optimizer([p for p in model.parameters() if owner[p] == rank])
    # Norm and vbar are those of the whole model: the record is summed over the processes between the two passes.
    optimizer.record_hook = lambda record: dist.all_reduce(record)

    random = torch.Generator().manual_seed(2)
    x = 2 * torch.rand(240, 2, generator=random) - 1
    y = torch.sin(3 * x[:, :1]) * torch.cos(2 * x[:, 1:])
    for _ in range(steps):
        model.zero_grad()
        ((model(x[rank::size]) - y[rank::size]).square().sum() / len(x)).backward()
        for p in model.parameters():
            dist.reduce(p.grad, dst=owner[p])
        optimizer.step()
        for p in model.parameters():
            dist.broadcast(p.data, src=owner[p])
    loss = (model(x) - y).square().mean().item()
    stats = optimizer.stats()
    if rank == 0:
        print(f"{size} processes   loss {loss:.6f}   gradient norm {stats['grad_norm']:.6f}   vbar {stats['vbar']:.4e}")
    return [p.detach() for p in model.parameters()], stats, loss


if __name__ == "__main__":
    dist.init_process_group("gloo")
    main()
    dist.destroy_process_group()
