# SPDX-License-Identifier: Apache-2.0
"""Runs cases on several processes under gloo, and what all cases share: a network, its data, one process as reference.

    python ranks.py WORLD OUT.json MODULE.CASE ...

A case returns a dict of numbers, which are joined over the ranks by their maximum, or raises. One interpreter imports
everything once and forks the ranks.
"""
import contextlib
import importlib
import json
import multiprocessing
import os
import sys
import tempfile
import traceback
import warnings
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import nn

from swd.torch import AdamS

STEPS, OPTIONS = 20, dict(lr=1e-2, weight_decay=3e-3, max_grad_norm=0.5)
TINY = dict(hidden=1, wide=2, out=1)  # on 4 ranks most hold nothing of most tensors


class Net(nn.Module):
    def __init__(self, hidden=37, wide=33, out=3):
        super().__init__()
        torch.manual_seed(1)
        self.a, self.b, self.n, self.c = nn.Linear(8, hidden), nn.Linear(hidden, wide), nn.LayerNorm(wide), nn.Linear(wide, out)

    def forward(self, x):
        return self.c(self.n(torch.tanh(self.b(torch.tanh(self.a(x))))))


def loss(model, step, rank=0, world=1, dtype=torch.float32):
    """Of this rank's share of the data of a step."""
    x = torch.randn(48, 8, generator=torch.Generator().manual_seed(100 + step)).chunk(world)[rank]
    y = torch.stack([x[:, 0] * x[:, 1], x[:, 2].sin() * 3, x[:, 3]], 1)
    out = model(x.to(dtype)).float()
    return (out - y[:, :out.shape[1]]).square().mean() * 20


def full(tensor):
    return (tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor).detach()


def one_process(steps=STEPS, net=None, **options):
    """(parameters, statistics of each step) of one process with all the data."""
    model = Net(**(net or {}))
    optimizer, found = AdamS(model.parameters(), **{**OPTIONS, **options}), []
    for step in range(steps):
        optimizer.zero_grad()
        loss(model, step).backward()
        optimizer.step()
        found.append(optimizer.stats())
    return [p.detach() for p in model.parameters()], found


def train(model, optimizer, steps=range(STEPS), share=True, inner=None):
    """Statistics of each step. share: whether each rank has a share of the data."""
    rank, world = (dist.get_rank(), dist.get_world_size()) if share is True else share or (0, 1)
    found = []
    for step in steps:
        optimizer.zero_grad()
        loss(model, step, rank, world).backward()
        optimizer.step()
        found.append((inner or optimizer).stats())
    return found


def largest(params, others):
    return max((a.float() - b.float()).abs().max().item() for a, b in zip(params, others) if a.numel())


def differences(params, found, reference):
    """The largest differences from one process: absolute of parameters, relative of norm and vbar."""
    others, wanted = reference
    assert len(params) == len(others) and len(found) == len(wanted)
    out = {"param": largest(params, others)}
    for name, key in (("norm", "grad_norm"), ("vbar", "vbar")):
        out[name] = max(abs(a[key] / b[key] - 1) if b[key] else abs(a[key]) for a, b in zip(found, wanted))
    return out


@contextlib.contextmanager
def warned():
    """Collects the texts of warnings."""
    texts = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield texts
        texts += [str(entry.message) for entry in caught]


def _rank(rank, world, folder, cases):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=world,
                            timeout=timedelta(seconds=60))
    found = {}
    for name, case in cases.items():
        try:
            found[name] = case()
        except Exception as error:  # goes into the report; the other ranks may wait for this one in vain
            found[name] = {"error": f"rank {rank}: {traceback.format_exc()}"}
            if not isinstance(error, AssertionError):
                break
    with open(f"{folder}/{rank}.json", "w", encoding="utf-8") as file:
        json.dump(found, file)
    with contextlib.suppress(RuntimeError):
        dist.barrier()
    os._exit(0)  # FSDP1 and gloo leave threads behind, which a forked process cannot end in order


def _join(found):
    """The reports of all ranks on one case: the errors, or the largest of each number."""
    errors = [report["error"] for report in found if "error" in report]
    return {"error": "\n".join(errors)} if errors else {key: max(report[key] for report in found) for key in found[0]}


def main(world, out, names):
    parts = [name.split(".") for name in names]
    cases = {name: getattr(importlib.import_module(module), case) for name, (module, case) in zip(names, parts)}
    with tempfile.TemporaryDirectory() as folder:
        context = multiprocessing.get_context("fork")
        ranks = [context.Process(target=_rank, args=(rank, world, folder, cases)) for rank in range(world)]
        for rank in ranks:
            rank.start()
        for rank in ranks:
            rank.join()
        reports = [json.load(open(f"{folder}/{rank}.json", encoding="utf-8")) for rank in range(world)]
    with open(out, "w", encoding="utf-8") as file:
        json.dump({name: _join([report.get(name, {"error": "an earlier case failed"}) for report in reports])
                   for name in names}, file)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
