# SPDX-License-Identifier: Apache-2.0
"""What AdamS tells about its steps: statistics over its engines, and the mean second moment. Called by AdamS."""
import math

from .. import StatsFlag, StepStatus
from .checkpoint import live_numbers
from .layout import arrange

_COPIED = ("grad_norm", "clip_coef", "vbar", "inv_sqrt_vbar", "largest_decay", "bad")
_NORMS = ("param_norm", "update_norm")


def _fetch(engine):
    with engine.current_device():
        return engine.plan.stats(engine.workspace, engine.stream(), engine.synchronize)


def stats(optimizer):
    """All engines decide alike; norms of parameters and updates are joined."""
    engines = optimizer._layout.engines if optimizer._layout else []
    found = [_fetch(engine) for engine in engines]
    applied, skipped = live_numbers(optimizer)[1]
    out = {"status": "none", "steps_applied": applied, "steps_skipped": skipped, "lambda_eff": [],
           **dict.fromkeys(_COPIED, 0.0), **dict.fromkeys(_NORMS)}
    flags = StatsFlag(0)
    if found and found[0].status != StepStatus.NONE:
        first = found[0]
        flags = first.flags
        out.update(status=first.status.name.lower(), lambda_eff=list(first.lambda_eff))
        out.update({name: getattr(first, name) for name in _COPIED})
        if optimizer.update_norms:
            out.update({name: math.sqrt(sum(getattr(one, name) ** 2 for one in found)) for name in _NORMS})
    for flag in (StatsFlag.CLIPPED, StatsFlag.LARGE_DECAY, StatsFlag.DECAY_CAPPED, StatsFlag.NONFINITE):
        out[flag.name.lower()] = bool(flags & flag)
    return out


def vbar(optimizer):
    engines, _ = arrange(optimizer)
    numbers, _ = live_numbers(optimizer)
    total, count = 0.0, 0
    for engine in engines:
        for member in engine.members:
            group = optimizer.param_groups[member.group]
            step, kept = numbers[id(member.step)], numbers[id(member.sum)]
            if group["decay"] != "l2" and step > 0:
                total += kept / (1.0 - group["betas"][1] ** step)
                count += member.param.numel()
    return total / count if count else 0.0
