# SPDX-License-Identifier: Apache-2.0
"""Overlap: the first pass while backward runs, for AdamS(overlap_norm=True). A hook behind each parameter's accumulation
reduces its gradient while it is in the cache; the step reduces what is left. Owned by AdamS, asked by run.

Under torch.distributed a plain gradient is not yet what the step will read: DistributedDataParallel and others sum it
later, which no version shows. There only sharded DTensors over all processes are reduced early: FSDP2 calls the hooks
when a gradient is complete.
"""
from __future__ import annotations

import threading
import warnings
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Callable, Iterator, Sequence

import torch
from torch.utils.weak import WeakIdKeyDictionary

from .. import Phase
from . import graphs
from .early import differ

if TYPE_CHECKING:
    from .adams import AdamS
    from .engine import Engine
    from .kinds import Grads

_EARLY, _EVERY = (1, 2, 10), 100  # steps that reduce everything twice

_UNSEEN = ("overlap_norm: a gradient was changed between backward and step in a way that torch does not see (.data, numpy, a "
           "collective, a kernel of your own). This step was right, but the last ones may have used the norm of before; "
           "from now on the step reads all gradients itself. Write into .grad without .data, or leave overlap_norm out")


class Overlap:
    def __init__(self, optimizer: AdamS) -> None:
        self._optimizer, self._handles, self._lock = weakref.ref(optimizer), WeakIdKeyDictionary(), threading.Lock()
        self._paused, self._stopped, self._steps, self._due = 0, False, 0, False
        self._asked: list[tuple[torch.Tensor, torch.cuda.Event]] = []
        self._hook = _hook_of(weakref.ref(self))
        weakref.finalize(self, _remove, self._handles).atexit = False

    def follow(self, optimizer: AdamS) -> None:
        """Puts the hooks on parameters that have none yet."""
        for param in (param for group in optimizer.param_groups for param in group["params"]) if optimizer.overlap_norm else ():
            if param.requires_grad and param.is_leaf and param not in self._handles:
                self._handles[param] = param.register_post_accumulate_grad_hook(self._hook)

    @contextmanager
    def pause(self) -> Iterator[None]:
        self._paused += 1
        try:
            yield
        finally:
            self._paused -= 1

    def take(self, param: Any) -> None:
        """A gradient was accumulated. Autograd calls from threads of its own for devices."""
        optimizer = self._optimizer()
        if optimizer is None or self._paused or self._stopped or not (optimizer.overlap_norm and optimizer.measure_norm):
            return
        layout = optimizer._layout
        place = None if layout is None else layout.where.get(param)
        if layout is None or place is None:
            return
        engine = layout.engines[place[0]]
        if not (engine.on_cuda and torch.cuda.is_current_stream_capturing()):
            with self._lock, engine.current_device():
                engine.early.take(engine, place[1], param, optimizer.param_groups)

    def begin(self, engines: Sequence[Engine]) -> None:
        """Before a step. A graph that is replayed reduces behind our back, so from its capture on nothing is done early."""
        self._read()
        if any(engine.on_cuda for engine in engines) and torch.cuda.is_current_stream_capturing():
            self._stopped = True
        for engine in engines if self._handles else ():
            if self._stopped:
                engine.early.forget()
            else:
                engine.early.join(engine)

    def rest(self, optimizer: AdamS, engines: list[Engine], grads: list[Grads]) -> bool:
        """Notes with each engine what the step must reduce; whether that is less than everything. What GradScaler.unscale_
        wrote no version shows, but it leaves its verdict without a scale."""
        if getattr(optimizer, "found_inf", None) is not None and getattr(optimizer, "grad_scale", None) is None:
            self.end(engines)
        for engine, some in zip(engines, grads):
            engine.rest = engine.early.rest(engine, some, optimizer.param_groups)
            changed = engine.early.changed()
            if changed is not None and engine.on_cuda:
                self._ask(engine, changed)
            elif changed:
                engine.early.forget()
                engine.rest = [(0, len(engine.members))]
        kept = any(engine.early.seen for engine in engines)
        self._steps += kept
        self._due = kept and (self._steps in _EARLY or self._steps % _EVERY == 0)
        return kept

    def check(self, engine: Engine) -> None:
        """After the fold of an engine's record: at some steps everything is reduced again, and must give the same."""
        if not self._due or not engine.early.seen:
            return
        before = engine.record.clone()
        engine.plan.reduce(engine.buffers, engine.args, Phase.GRAD, stream=engine.stream())
        engine.plan.fold(engine.buffers, engine.args, Phase.GRAD, engine.record, engine.stream())
        wrong = differ(before, engine.record)
        if engine.on_cuda:
            self._ask(engine, wrong)
        elif wrong:
            self._stop(11)

    def _ask(self, engine: Engine, wrong: torch.Tensor) -> None:
        """The step does not wait for the answer; a later one reads it."""
        host = torch.empty((), dtype=torch.bool, device="cpu", pin_memory=True).copy_(wrong, non_blocking=True)
        event = torch.cuda.Event()
        event.record(torch.cuda.current_stream(engine.device))
        self._asked.append((host, event))

    def _read(self) -> None:
        while self._asked and self._asked[0][1].query():
            if self._asked.pop(0)[0]:
                self._stop(9)

    def _stop(self, level: int) -> None:
        if not self._stopped:
            self._stopped = True
            warnings.warn(_UNSEEN, stacklevel=level)  # where step was called

    def end(self, engines: Sequence[Engine]) -> None:
        """After a step, whatever became of it, and where gradients are cleared."""
        for engine in engines if self._handles else ():
            engine.early.forget()


def _hook_of(reference: weakref.ref[Overlap]) -> Callable[[torch.Tensor], None]:
    """The hook keeps no optimizer alive."""
    @graphs.opaque
    def accumulated(param: torch.Tensor) -> None:
        overlap = reference()
        if overlap is not None:
            overlap.take(param)
    return accumulated


def _remove(handles: Any) -> None:
    for handle in handles.values():
        handle.remove()
