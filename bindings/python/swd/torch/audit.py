# SPDX-License-Identifier: Apache-2.0
"""The running sums of exp_avg_sq against the moments themselves. Called by Engine.

A step carries each sum on and never reads a moment again for it; so a moment that somebody edits leaves its sum behind.
What torch's version counters show is taken anew at the next step. What they do not show (.data, numpy) is found by
comparing all sums every 100 steps: the library's rebuild reads 4 bytes an element then, 0.04 a step, where a step moves
32. Where both agree as far as rounding lets them, the running sum keeps its bits.
"""
from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from . import versions
from .checks import plain

if TYPE_CHECKING:
    from .engine import Engine
    from .kinds import Groups

EVERY = 100
_HALF_ULP, _FLT_MIN = 2.0 ** -24, 2.0 ** -126
# Narrow moments are rounded stochastically, and of a small tensor one element may be most of the sum; 1 lets all pass.
_NOISE = {"float32": 0.0, "bfloat16": 0.25, "block8": 1.0}


def _tolerances(engine: Engine, groups: Groups) -> torch.Tensor:
    """How far rounding takes the moments of a segment from its running sum: (relative, absolute), float64 on the device.

    A moment stops within half an ulp over 1 - beta2 of where it should go, and what is below FLT_MIN becomes 0."""
    betas = tuple(plain(group["betas"][1]) for group in groups)
    if engine.tolerances[0] != betas:
        noise = _NOISE[engine.form.moment]
        rates = [1.0 - betas[member.group] for member in engine.members]
        table = [[4.0 * _HALF_ULP / rate + 1e-6 + noise for rate in rates],
                 [member.count * 2.0 * _FLT_MIN / rate for member, rate in zip(engine.members, rates)]]
        engine.tolerances = betas, torch.tensor(table, dtype=torch.float64, device=engine.device)
    return engine.tolerances[1]


def keep(engine: Engine, groups: Groups) -> None:
    """Before each step. A replayed graph is not looked at."""
    engine.steps += 1
    refresh(engine, groups, engine.steps % EVERY == 0)


def refresh(engine: Engine, groups: Groups, everything: bool = False) -> None:
    """Takes anew the sums of what was edited, as far as torch shows it; everything: compares all others, too."""
    now = versions.of(engine)
    edited = now != engine.versions
    if not edited and not everything:
        return
    if engine.on_cuda and torch.cuda.is_current_stream_capturing():
        if edited:
            raise RuntimeError("AdamS: exp_avg_sq was changed since the last step, and the next one cannot be captured; "
                               "run one before")
        return
    retake(engine, groups, [one == then for one, then in zip(now, engine.versions)] if edited else True)
    engine.versions = now


def retake(engine: Engine, groups: Groups, trusted: list[bool] | bool) -> torch.Tensor:
    """Takes the sums from the moments: those that are not trusted (a bool for each member, or True), those that are
    unknown, and those that are not the moments'. Returns a bool tensor: which of the trusted ones were not."""
    sums = engine.image.sums
    before, (relative, absolute) = sums.clone(), _tolerances(engine, groups)
    engine.plan.rebuild_state(engine.buffers, engine.stream())
    agree = (sums - before).abs() <= relative * torch.maximum(sums, before) + absolute
    agree &= (sums != 0) | (before <= absolute)  # moments that never came
    known = before >= 0
    if trusted is not True:
        known &= torch.tensor(trusted, device=engine.device)
    keep = known & (agree | (sums < 0))  # l2: there is no sum to compare with
    wrong: torch.Tensor = known & ~keep
    sums.copy_(torch.where(keep, before, sums))
    return wrong
