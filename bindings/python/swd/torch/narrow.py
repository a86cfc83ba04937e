# SPDX-License-Identifier: Apache-2.0
"""Engines whose parameters or moments are not float32: what is loaded into them and exported from them, and where rounding
bits count from. Called by engine and checkpoint."""
from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from .. import Buffer
from . import states

if TYPE_CHECKING:
    from .adams import AdamS
    from .engine import Engine


def first_elements(optimizer: AdamS) -> dict[torch.Tensor, int]:
    """The number of each parameter's first element in the model: all parameters in the order of the groups."""
    out, end = {}, 0
    for group in optimizer.param_groups:
        for param in group["params"]:
            out[param], end = end, end + param.numel()
    return out


def load_pending(engine: Engine) -> None:
    """Rounds what a loaded state holds in float32 to what is stored here, and says so."""
    members = [member for member in engine.members if member.pending]
    if not members:
        return
    arrays = {Buffer.PARAM: [member.work for member in members]}
    arrays.update({buffer: [member.stored[buffer] for member in members] for buffer in members[0].stored})
    fp32 = {name: [member.pending.get(name) for member in members] for name in ("param", "exp_avg", "exp_avg_sq")
            if any(name in member.pending for member in members)}
    counts = [member.count for member in members]
    states.convert(engine.form, engine.device, arrays, counts, [0.0] * len(members), fp32, store=False)
    for member in members:
        member.drop_pending()
        if not member.gapless:
            member.param.copy_(member.work)
    rounded = set(fp32) - (set() if engine.form.remainder == "int8" else {"param"})
    if rounded:
        states.say_rounded(rounded)


def export(engine: Engine) -> list[dict[str, torch.Tensor]]:
    """Moments in float32, whatever the form: [{"exp_avg": ..., "exp_avg_sq": ...}] of each member."""
    members = engine.members
    out = [{name: torch.empty_strided(member.shape, member.strides, dtype=torch.float32, device=engine.device)
            for name in ("exp_avg", "exp_avg_sq")} for member in members]
    arrays = {buffer: [member.stored[buffer] for member in members] for buffer in members[0].stored}
    arrays[Buffer.PARAM] = [member.work for member in members]
    *_, units = engine.image.read()
    fp32 = {name: [one[name] for one in out] for name in ("exp_avg", "exp_avg_sq")}
    states.convert(engine.form, engine.device, arrays, [member.count for member in members], units, fp32, store=True)
    return out
