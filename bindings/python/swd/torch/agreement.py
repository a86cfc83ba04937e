# SPDX-License-Identifier: Apache-2.0
"""Agreement: finds processes that are set up wrongly together. Asked by AdamS.step where torch.distributed runs.

Shards whose norms nobody sums clip and decay each for itself; replicas whose norms are summed see one too large. Either
trains, with wrong numbers. So do replicas of which one alone got the moments of a checkpoint. So at steps 1, 2
(set_optimizer_state_dict takes the first), 10, 100, ... each process leaves the norm and vbar that it used, and the sum of
squares it had by itself, in the key-value store that torch.distributed has anyway, and looks at those of two others when
they have come. No collective, and nothing waits: a process that stopped is never seen.
"""
from __future__ import annotations

import itertools
import math
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.distributed as dist

from .fetch import Fetch

if TYPE_CHECKING:
    from ..stats import Stats
    from .adams import AdamS
    from .engine import Engine
    from .joint import Joint
    from .kinds import Hook

_names = itertools.count()  # processes that make their optimizers alike number them alike

_APART = ("AdamS: at step {step} this process (rank {rank}) used the gradient norm {mine:.6g}, rank {other} used {theirs:.6g}. "
          "If they hold parts of one model (ZeroRedundancyOptimizer, own shards, pipeline stages), each clips and decays for "
          "itself: pass shards=\"world\", or the process group or device mesh of all that hold parts. If they train models of "
          "their own, pass shards=False")
_ALIKE = ("AdamS: at step {step} this process (rank {rank}) has the gradients of rank {other}, and shards or record_hook adds "
          "them up as if they were parts of one model: the norm is too large. Where each process has the whole model, as "
          "under DistributedDataParallel, pass neither")
_STATES = ("AdamS: at step {step} this process (rank {rank}) used a mean second moment of {mine:.6g}, rank {other} one of "
           "{theirs:.6g}, with the same gradient norm. Replicas did not start from the same state then, and their parameters "
           "part: set_optimizer_state_dict with broadcast_from_rank0 hands over no moments but those of the optimizer's own "
           "states; give each process the whole state_dict. Parts of one model whose norms were clipped alike need "
           "shards=\"world\", models of their own shards=False")


class _Left(NamedTuple):
    norm: float
    local: float  # the sum of squares this process had by itself
    vbar: float


class _Waiting(NamedTuple):
    """What this process left in the store, and whose it waits for."""
    step: int
    mine: _Left
    others: set[int]
    parts: set[int]
    alike: set[int]


def _neighbours(ranks: list[int], rank: int) -> set[int]:
    """Two others: the next one, and one half the way round, which differs where the outermost dimension does."""
    if rank not in ranks:
        return set()
    at, size = ranks.index(rank), len(ranks)
    return {ranks[(at + 1) % size], ranks[(at + size // 2) % size]} - {rank}


class Agreement:
    def __init__(self) -> None:
        self.steps, self._told = 0, set[str]()
        self._name: int | None = None
        self._local: torch.Tensor | None = None
        self._fetch: Fetch | None = None
        self._waiting: list[_Waiting] = []

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_name": None, "_local": None, "_fetch": None, "_waiting": []}

    def begin(self, optimizer: AdamS, joint: Joint) -> Hook | None:
        """Before a step. Returns a function that wants this process's own record, or None."""
        self._active = (dist.is_available() and dist.is_initialized() and optimizer.shards is not False
                        and dist.get_world_size() > 1)
        if not self._active:
            return None
        self.steps += 1
        self._due = self.steps == 2 or str(self.steps).strip("0") == "1"
        return self._keep if self._due and joint.asked else None

    def _keep(self, record: torch.Tensor) -> None:
        own = torch.empty(1, dtype=torch.float64, device="cpu", pin_memory=record.is_cuda)
        self._local = own.copy_(record[:1], non_blocking=True)  # there when the statistics are, which are asked for later

    def look(self, engines: list[Engine], joint: Joint) -> None:
        """After a step."""
        if not self._active:
            return
        if self._due and engines:
            self._fetch, self._step = Fetch(engines[0]), self.steps
        try:
            if self._fetch is not None and self._fetch.arrived:
                self._leave(joint, self._fetch.result())
            for waiting in self._waiting:
                self._compare(waiting)
            self._waiting = [waiting for waiting in self._waiting if waiting.others]
        except RuntimeError:  # the store is gone, or slow: what we look for is not worth an error
            self._fetch, self._waiting = None, []

    def _leave(self, joint: Joint, stats: Stats) -> None:
        if self._name is None:
            self._name = next(_names)
        mine = _Left(stats.grad_norm, self._local.item() if self._local is not None else 0.0, stats.vbar)
        rank, world = dist.get_rank(), list(range(dist.get_world_size()))
        _store().set(f"swd/{self._name}/{self._step}/{rank}", " ".join(map(repr, mine)))
        parts = _neighbours(joint.ranks or world, rank) if joint.asked else set()
        self._fetch, self._local = None, None
        self._waiting.append(_Waiting(self._step, mine, _neighbours(world, rank) | parts, parts, set()))

    def _compare(self, waiting: _Waiting) -> None:
        step, mine, others, parts, alike = waiting
        passed = self.steps - step
        if passed & (passed - 1):  # after 0, 1, 2, 4, 8, ... steps
            return
        store, rank = _store(), dist.get_rank()
        for other in sorted(others):
            key = f"swd/{self._name}/{step}/{other}"
            if not store.check([key]):
                continue
            others.discard(other)
            theirs = _Left(*map(float, store.get(key).split()))
            told = dict(step=step, rank=rank, other=other)
            if not _close(theirs.norm, mine.norm):
                self._warn("apart", _APART.format(**told, mine=mine.norm, theirs=theirs.norm))
            elif not _close(theirs.vbar, mine.vbar):
                self._warn("states", _STATES.format(**told, mine=mine.vbar, theirs=theirs.vbar))
            if other in parts and theirs.local > 0 and math.isclose(theirs.local, mine.local, rel_tol=1e-6):
                alike.add(other)
                if alike == parts:
                    self._warn("alike", _ALIKE.format(**told))

    def _warn(self, kind: str, text: str) -> None:
        if kind not in self._told:
            self._told.add(kind)
            warnings.warn(text, stacklevel=8)  # where step was called


def _close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=1e-3) or math.isnan(one) and math.isnan(other)


def _store() -> Any:
    return dist.distributed_c10d._get_default_store()
