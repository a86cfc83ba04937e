# SPDX-License-Identifier: Apache-2.0
"""Layout: which parameter lies in which engine. Rebuilt when groups, dtypes, devices or states changed; called by
AdamS at every step."""
from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Iterator, Mapping

import torch

from . import blocks, checks, checkpoint, shards, sharing, whole
from .engine import Engine
from .joint import Joint
from .states import UNIT, Form
from .steady import PLAIN, Steady, params_of, same
from .tensors import Entry

if TYPE_CHECKING:
    from .adams import AdamS
    from .kinds import Grads


def _signature(optimizer: AdamS) -> list[Any]:
    return [optimizer.update_norms, optimizer.shards, optimizer.record_hook, optimizer.states, optimizer.overlap_norm] + [
        (group["decay"], group["maximize"], group["amsgrad"]) for group in optimizer.param_groups]


def _home(optimizer: AdamS) -> torch.device:
    """The device of a process that has no gradients: that of its parameters, if it has any."""
    return next((param.device for param in params_of(optimizer.param_groups)), torch.device("cpu"))


def _complete(grads: list[Grads]) -> bool:
    return all(grad is not None for some in grads for grad in some)


@contextlib.contextmanager
def _taken_back_if_it_fails(entries: list[Entry]) -> Iterator[None]:
    """Keeps the states of an engine that cannot be made: what is pending in its members would be lost with them, and the
    next try, after a repair, would go on without."""
    before = [dict(entry.state) for entry in entries]
    try:
        yield
    except BaseException:
        for entry, state in zip(entries, before):
            entry.state.clear()
            entry.state.update(state)
        raise


class Layout:
    def __init__(self, optimizer: AdamS, grad_dtypes: Mapping[torch.Tensor, torch.dtype]) -> None:
        """Makes the engines. Parameters that never had a gradient, and have no state, are left out. Options has looked at
        the groups."""
        checks.memory()
        self.signature, self.joint = _signature(optimizer), Joint(optimizer)
        whole.agree(optimizer, self.joint.meshes)
        buckets: dict[Any, list[Entry]] = {}
        for number, group in enumerate(optimizer.param_groups):
            for param in group["params"]:
                grad, state = param.grad, optimizer.state.get(param)
                if grad is None and not state:
                    continue
                checks.parameter(param)
                if grad is not None:
                    checks.gradient(param, grad)
                dtype = grad_dtypes.get(param, param.dtype) if grad is None else grad.dtype
                form = blocks.form_of(optimizer.states, param, group["amsgrad"])
                counted = self.joint.counts(param) and not shards.holds_nothing(param)
                key = (param.device, param.dtype, dtype, group["maximize"], counted, form)
                state = optimizer.state[param]
                entry = Entry(param, number, state, *checkpoint.take_numbers(state, form), float(state.get(UNIT, 0.0)))
                buckets.setdefault(key, []).append(entry)
        sharing.refuse((entry.param for entries in buckets.values() for entry in entries), gapless=False)
        if not buckets and self.joint.hook is not None:  # takes part in the sum, and learns what was decided
            buckets[_home(optimizer), torch.float32, torch.float32, False, True, Form()] = []
        self.engines: list[Engine] = []
        for (device, _, dtype, maximize, counted, form), entries in buckets.items():
            with _taken_back_if_it_fails(entries):
                engine = Engine(entries, device=device, grad_dtype=dtype, maximize=maximize, counted=counted, form=form,
                                optimizer=optimizer)
            engine.load(entries, optimizer)
            self.engines.append(engine)
        blocks.say(optimizer)
        # Where rounding bits count from, which a resume finds anew.
        self.order = params_of(optimizer.param_groups) if any(engine.form.narrow for engine in self.engines) else None
        self.where = {member.owner: (i, k) for i, engine in enumerate(self.engines)
                      for k, member in enumerate(engine.members)}
        self.steady: Steady | None = None

    def gradients(self, optimizer: AdamS) -> list[Grads] | None:
        """A list per engine: each member's gradient or None. None if the layout no longer fits."""
        if self.signature != _signature(optimizer):
            return None
        for engine in self.engines:
            engine.addresses = None
        grads = None if self.steady is None else self.steady.gradients(optimizer)
        if grads is None:
            grads, self.steady = self._look(optimizer), None
            if grads is not None and Steady.can_be(self, optimizer) and _complete(grads):
                self.steady = Steady(self, optimizer, grads)
        return grads

    def _look(self, optimizer: AdamS) -> list[Grads] | None:
        """Member by member."""
        if self.order is not None and not same(params_of(optimizer.param_groups), self.order):
            return None
        out: list[Grads] = [[None] * len(engine.members) for engine in self.engines]
        seen, state = 0, optimizer.state
        for number, group in enumerate(optimizer.param_groups):
            for param in group["params"]:
                grad, place = param.grad, self.where.get(param)
                if place is None:
                    if grad is not None:
                        return None
                    continue
                i, k = place
                member = self.engines[i].members[k]
                if grad is not None:
                    if grad.layout is not torch.strided:
                        checks.gradient(param, grad)
                    if type(grad) is not torch.Tensor or type(param) not in PLAIN or torch._is_zerotensor(grad):
                        grad = shards.gradient(param, grad)
                if not member.fits(shards.local(param), number, state.get(param), grad):
                    return None
                out[i][k] = grad
                seen += 1
        return out if seen == len(self.where) else None


@torch.inference_mode(False)  # what is made here outlives an inference mode around this step
@torch.no_grad()  # which that line ends
def arrange(optimizer: AdamS) -> tuple[Layout, list[Grads]]:
    """The engines of this step in a Layout, and their gradients."""
    optimizer._options.look(optimizer)
    layout = optimizer._layout
    grads = None if layout is None else layout.gradients(optimizer)
    if grads is None:
        dtypes: dict[torch.Tensor, torch.dtype] = {} if layout is None else {param: layout.engines[i].members[k].grad_dtype
                                            for param, (i, k) in layout.where.items()}
        checkpoint.settle(optimizer)
        checkpoint.take_counters(optimizer)
        layout = optimizer._layout = Layout(optimizer, dtypes)
        grads = layout.gradients(optimizer)
        optimizer._overlap.follow(optimizer)
    assert layout is not None and grads is not None  # a new layout fits
    return layout, grads
