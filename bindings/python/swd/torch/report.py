# SPDX-License-Identifier: Apache-2.0
"""What AdamS tells about its steps: statistics over its engines, and the mean second moment. Called by AdamS."""
from __future__ import annotations

import functools
import math
import operator
from typing import TYPE_CHECKING, Any

import torch

from .. import Result, StatsFlag
from . import audit
from .checkpoint import live_numbers
from .checks import plain
from .fetch import Fetch
from .layout import arrange

if TYPE_CHECKING:
    from .adams import AdamS
    from .engine import Engine
    from .. import Stats

_COPIED = ("grad_norm", "clip_coef", "vbar", "inv_sqrt_vbar", "largest_decay", "bad")
_LOGGED = ("grad_norm", "clip_coef", "vbar", "vbar_reference", "largest_decay", "steps_applied", "steps_skipped")
_NORMS = ("param_norm", "update_norm")
_FLAGS = (StatsFlag.CLIPPED, StatsFlag.LARGE_DECAY, StatsFlag.DECAY_CAPPED, StatsFlag.NONFINITE)


def _damaged_parameter(optimizer: AdamS, engines: list[Engine], found: list[Stats]) -> int | None:
    """The number in a state_dict of the first parameter that a rebuild found damaged, or None."""
    damaged = {id(engine.members[stats.damaged_segment - 1].owner)
               for engine, stats in zip(engines, found) if stats.damaged_segment}
    params = (param for group in optimizer.param_groups for param in group["params"])
    return next((i for i, param in enumerate(params) if id(param) in damaged), None)


def stats(optimizer: AdamS) -> dict[str, Any]:
    """All engines decide alike; norms of parameters and updates are joined, and flags, which concern the groups that an
    engine has something of."""
    engines = optimizer._layout.engines if optimizer._layout else []
    found = [fetch.result() for fetch in [Fetch(engine) for engine in engines]]
    _, counters = live_numbers(optimizer)
    out: dict[str, Any] = {"result": "none", "steps_applied": counters.applied, "steps_skipped": counters.skipped,
           "vbar_reference": counters.reference, "lambda_eff": [], **dict.fromkeys(_COPIED, 0.0),
           **dict.fromkeys(_NORMS), "damaged_parameter": _damaged_parameter(optimizer, engines, found)}
    flags = StatsFlag(0)
    if found and found[0].result != Result.NONE:
        first = found[0]
        flags = functools.reduce(operator.or_, (one.flags for one in found))
        out.update(result=first.result.name.lower(), lambda_eff=list(first.lambda_eff))
        out.update({name: getattr(first, name) for name in _COPIED})
        if optimizer.update_norms:
            out.update({name: math.sqrt(sum(getattr(one, name) ** 2 for one in found)) for name in _NORMS})
    out.update({str(flag.name).lower(): bool(flags & flag) for flag in _FLAGS})
    return out


class Log:
    """What AdamS.log has asked for, and what it last got."""

    def __init__(self) -> None:
        self.pending: list[Fetch] | None = None
        self.latest: dict[str, float] = {}

    def collect(self, update_norms: bool) -> None:
        if self.pending is not None and all(fetch.arrived for fetch in self.pending):
            self.latest, self.pending = _flat([fetch.result() for fetch in self.pending], update_norms), None


def _flat(found: list[Stats], update_norms: bool) -> dict[str, float]:
    """The Stats of all engines as floats with names."""
    first = found[0]
    if first.result == Result.NONE:
        return {}
    out = {name: float(getattr(first, name)) for name in _LOGGED}
    out["skipped"] = float(first.result != Result.APPLIED)
    if update_norms:
        out.update({name: math.sqrt(sum(getattr(one, name) ** 2 for one in found)) for name in _NORMS})
    for number, value in enumerate(first.lambda_eff):
        out["lambda_eff" if len(first.lambda_eff) == 1 else f"lambda_eff/{number}"] = value
    return out


def log(optimizer: AdamS, wait: bool) -> dict[str, float]:
    record, engines = optimizer._log, optimizer._layout.engines if optimizer._layout else []
    if wait:
        return _flat([fetch.result() for fetch in [Fetch(engine) for engine in engines]],
                     optimizer.update_norms) if engines else {}
    record.collect(optimizer.update_norms)
    if record.pending is None and engines:
        record.pending = [Fetch(engine) for engine in engines]
        record.collect(optimizer.update_norms)  # on the CPU it is there
    return dict(record.latest)


def memory(optimizer: AdamS) -> dict[str, float]:
    sizes, count = dict.fromkeys(("parameters", "gradients", "states", "workspace"), 0), 0
    for engine in optimizer._layout.engines if optimizer._layout else ():
        for member in engine.members:
            if member.stand_in:
                continue
            count += member.count
            sizes["parameters"] += member.param.nbytes
            sizes["gradients"] += member.param.numel() * member.grad_dtype.itemsize
            sizes["states"] += sum(tensor.nbytes for tensor in member.stored.values())
            sizes["states"] += member.work.nbytes if member.copy is not None else 0
        sizes["workspace"] += engine.workspace.nbytes + engine.image.words.nbytes
    if not count:
        return {}
    sizes["all"] = sum(sizes.values())
    return {name: size / count for name, size in sizes.items()}


def from_adamw(weight_decay: float, vbar: float) -> float:
    if not vbar > 0:
        raise RuntimeError("weight_decay_from_adamw: vbar is 0 before the first step; load a checkpoint or run some")
    return weight_decay * math.sqrt(vbar)


def vbar(optimizer: AdamS) -> float:
    layout, _ = arrange(optimizer)
    engines, hook = layout.engines, layout.joint.hook
    for engine in engines:
        with engine.current_device():
            audit.refresh(engine, optimizer.param_groups)
    numbers, _ = live_numbers(optimizer)
    unknown = [engine for engine in engines if any(
        numbers[id(member.sum)] < 0 and optimizer.param_groups[member.group]["decay"] != "l2" for member in engine.members)]
    for engine in unknown:  # steps with measure_norm=False did not carry them on
        with engine.current_device():
            audit.retake(engine, optimizer.param_groups, True)
    if unknown:
        numbers, _ = live_numbers(optimizer)
    total, count = 0.0, 0
    for engine in engines:
        for member in engine.members if engine.counted else ():
            group = optimizer.param_groups[member.group]
            step, kept = numbers[id(member.step)], numbers[id(member.sum)]
            if group["decay"] != "l2" and step > 0:
                total += kept / (1.0 - plain(group["betas"][1]) ** step)
                count += member.count
    if hook is not None:
        record = torch.zeros_like(engines[0].record)
        record[0], record[1] = total, count
        hook(record)
        total, count = record[:2].tolist()
    return total / count if count else 0.0
