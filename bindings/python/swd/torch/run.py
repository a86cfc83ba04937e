# SPDX-License-Identifier: Apache-2.0
"""One step over the engines of an optimizer: alone in one call, several through their summed norm records. Called by
AdamS.step.

A number that lies on the host goes into the call by value: copying it to the device would make the host wait.
"""
from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Sequence

import torch

from .. import Phase
from .._structs import StepFlag
from .checks import FOLLOWS_GRADIENTS, plain

if TYPE_CHECKING:
    from .adams import AdamS
    from .engine import Engine
    from .kinds import Grads, Groups, Hook
    from .overlap import Overlap


def _on_device(tensor: torch.Tensor, engine: Engine) -> torch.Tensor:
    """A float32 of one element on an engine's device, from another device or type. The caller keeps it."""
    if tensor.device == engine.device and tensor.dtype == torch.float32:
        return tensor
    return tensor.to(device=engine.device, dtype=torch.float32)


def _write_groups(engine: Engine, groups: Groups, keep: list[Any]) -> None:
    for slot, group in zip(engine.slots, groups):
        lr = group["lr"]
        slot.lr_pointer = None
        if not isinstance(lr, torch.Tensor):
            slot.lr = lr
        elif lr.device.type == "cpu":
            slot.lr = lr.item()
        else:
            lr = _on_device(lr, engine)
            keep.append(lr)
            slot.lr, slot.lr_pointer = 0.0, lr.data_ptr()
        slot.beta1, slot.beta2 = map(plain, group["betas"])
        slot.eps, slot.weight_decay = group["eps"], group["weight_decay"]


def _on_host(value: Any) -> float | None:
    """A number that the host knows, or None."""
    if isinstance(value, torch.Tensor):
        return value.item() if value.device.type == "cpu" else None
    return float(value)


def _write_scaling(engine: Engine, optimizer: AdamS, keep: list[Any]) -> None:
    """What torch.amp.GradScaler leaves at the optimizer: see its step."""
    struct = engine.args.struct
    struct.loss_scale, struct.loss_scale_pointer, struct.found_inf = 1.0, None, None
    scale, found = getattr(optimizer, "grad_scale", None), getattr(optimizer, "found_inf", None)
    if scale is not None:
        number = _on_host(scale)
        if number is None:
            keep.append(_on_device(scale, engine))
            struct.loss_scale_pointer = keep[-1].data_ptr()
        elif not 0.0 < number < math.inf:
            raise ValueError(f"grad_scale: {number} is no loss scale, expected above 0 and finite")
        else:
            struct.loss_scale = number
    if found is not None:
        number = _on_host(found)
        if number is None:
            keep.append(_on_device(found, engine))
            struct.found_inf = keep[-1].data_ptr()
        elif number != 0.0:
            struct.found_inf = engine.one.data_ptr()


def _write_numbers(engine: Engine, optimizer: AdamS) -> list[Any]:
    struct = engine.args.struct
    keep: list[Any] = []
    _write_groups(engine, optimizer.param_groups, keep)
    scaled = any(getattr(optimizer, name, None) is not None for name in ("grad_scale", "found_inf"))
    if optimizer.nonfinite == "propagate" and not scaled:  # a scaler lives on steps that are skipped
        struct.flags = StepFlag.PROPAGATE | (0 if optimizer.measure_norm else StepFlag.SKIP_NORM)
    else:
        struct.flags = 0
    struct.max_grad_norm = float(optimizer.max_grad_norm or 0.0)
    struct.max_decay, struct.reference_step = float(optimizer.max_decay or 0.0), optimizer.reference_step
    _write_scaling(engine, optimizer, keep)
    return keep


def _sum_records(engines: list[Engine], phase: Phase, overlap: Overlap) -> torch.Tensor:
    """Those of the engines that count, in their order, into the first one's. Of the gradients what is not reduced yet."""
    first: Engine | None = None
    for engine in engines:
        with engine.current_device():
            for begin, number in engine.rest if phase == Phase.GRAD else [(0, len(engine.members))]:
                engine.plan.reduce(engine.buffers, engine.args, phase, begin, number, engine.stream())
            engine.plan.fold(engine.buffers, engine.args, phase, engine.record, engine.stream())
            if phase == Phase.GRAD:
                overlap.check(engine)
        if engine.counted and first is None:
            first = engine
        elif engine.counted and first is not None:
            record = engine.record.to(first.device)
            with first.current_device():
                first.plan.add_record(first.record, record, first.stream())
    return torch.zeros_like(engines[0].record) if first is None else first.record


def _together(engines: list[Engine], phases: Sequence[Phase], hook: Hook | None, own: Hook | None,
              overlap: Overlap) -> None:
    """The same step in pieces. The records of all engines are summed, so that all decide alike; the hook may add those
    of other processes, and own gets this one's. If the hook raises, only workspaces were written, and the next step reduces everything again."""
    for phase in phases:
        total = _sum_records(engines, phase, overlap)
        if hook is not None:
            if own is not None and phase == Phase.GRAD:
                own(total)
            hook(total)
        for engine in engines:
            with engine.current_device():
                record = total.to(engine.device)
                engine.plan.decide(engine.buffers, engine.args, phase, record, engine.stream())
    for engine in engines:
        with engine.current_device():
            engine.plan.update(engine.buffers, engine.args, engine.stream())


def _join_norms(engines: list[Engine], hook: Hook) -> None:
    """param_norm and update_norm of the whole model, into the statistics of the first engine; the others have none."""
    squares = torch.zeros_like(engines[0].record)
    for engine in engines:
        if engine.counted:
            squares[:2] += engine.norms().square().to(squares.device)
    hook(squares)
    for engine in engines:
        engine.norms().copy_(squares[:2].sqrt()) if engine is engines[0] else engine.norms().zero_()


def run(optimizer: AdamS, engines: list[Engine], grads: list[Grads], hook: Hook | None,
        own: Hook | None = None) -> None:
    """Does the step. Nothing is changed if a call is refused. hook: see Joint; own: see Agreement."""
    optimizer._overlap.begin(engines)
    try:
        _step(optimizer, engines, grads, hook, own)
    finally:
        optimizer._overlap.end(engines)


def _step(optimizer: AdamS, engines: list[Engine], grads: list[Grads], hook: Hook | None, own: Hook | None) -> None:
    groups = optimizer.param_groups
    if hook is None and all(grad is None for some in grads for grad in some):
        return
    keep = []
    for engine, some in zip(engines, grads):
        with engine.current_device():
            engine.prepare(some, groups)
            keep.append(_write_numbers(engine, optimizer))
    measured = not any(engine.args.struct.flags & StepFlag.SKIP_NORM for engine in engines)
    early = measured and optimizer._overlap.rest(optimizer, engines, grads)
    if not measured or hook is None and len(engines) == 1 and not early:  # without the norm nothing couples the engines
        for engine in engines:
            with engine.current_device():
                engine.plan.step(engine.buffers, engine.args, engine.stream())
    else:
        two_rounds = groups[0]["amsgrad"] and any(group["decay"] in FOLLOWS_GRADIENTS for group in groups)
        _together(engines, (Phase.GRAD, Phase.MAX) if two_rounds else (Phase.GRAD,), hook, own, optimizer._overlap)
        if hook is not None and optimizer.update_norms:
            _join_norms(engines, hook)
    for engine, some in zip(engines, grads):
        engine.finish(some)
