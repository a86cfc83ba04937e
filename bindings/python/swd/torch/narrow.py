# SPDX-License-Identifier: Apache-2.0
"""Engines whose parameters or moments are not float32: what is loaded into them and exported from them, and where rounding
bits count from. Called by tensors, engine and export.

A loaded state may hold another form than is stored here. It goes through float32, part by part of what is sharded.
"""
from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from .. import Buffer
from . import blocks, orders, shards, states
from .states import UNIT

if TYPE_CHECKING:
    from .adams import AdamS
    from .engine import Engine
    from .states import Form
    from .tensors import Member

_WIDE, _MASTER = ("exp_avg", "exp_avg_sq"), "master_param"


def first_elements(optimizer: AdamS) -> dict[torch.Tensor, int]:
    """The number of each parameter's first element in the model: all parameters in the order of the groups."""
    out, end = {}, 0
    for group in optimizer.param_groups:
        for param in group["params"]:
            out[param], end = end, end + param.numel()
    return out


def _part(member: Member, name: str, shown: torch.Tensor) -> torch.Tensor:
    """What this process has of a loaded tensor in another form; of a whole one it cuts its part, see whole."""
    owner = member.owner
    if shards.is_sharded(owner) and not shards.is_sharded(shown) and shown.shape == owner.shape:
        part = shards.cut(owner, shown)
    else:
        part = member.part(name, shown)
    if part.shape != member.shape:
        raise ValueError(f"{name}: the state has shape {tuple(part.shape)}, its parameter {tuple(member.shape)}")
    return part


def _dense(member: Member, tensor: torch.Tensor) -> torch.Tensor:
    """As float32 in the order of work."""
    return torch.empty_strided(member.shape, member.strides, dtype=torch.float32, device=member.param.device).copy_(tensor)


def _order(stored: dict[str, torch.Tensor], form: Form) -> tuple[int, ...]:
    """The memory order in which stored moments are to be read."""
    codes, *scales = (slot.name for slot in form.moments if slot.scales or slot.buffer == Buffer.EXP_AVG)
    found = [blocks.order_of(stored[codes], stored[name], name) for name in scales]
    return found[0] if found else orders.plain_strides(stored[codes].shape)


def _widen(member: Member, form: Form) -> None:
    """Turns the narrow moments of a state, which lie in another form or order than is wanted, into exp_avg and exp_avg_sq."""
    state, owner = member.state, member.owner
    shown = {slot.name: state[slot.name] for slot in form.moments}
    whole = shards.is_sharded(owner) and not any(map(shards.is_sharded, shown.values()))
    stored = shown if whole else {name: member.part(name, tensor) for name, tensor in shown.items()}
    shape = owner.shape if whole else member.shape
    for slot in form.moments:
        if not slot.scales and stored[slot.name].shape != shape:
            raise ValueError(f"{slot.name}: the state has shape {tuple(stored[slot.name].shape)}, its parameter {tuple(shape)}")
    strides, device = _order(stored, form), member.param.device
    arrays = {slot.buffer: [stored[slot.name].contiguous() if slot.scales else torch.empty_strided(
        shape, strides, dtype=slot.dtype, device=device).copy_(stored[slot.name])] for slot in form.moments}
    wide = {name: torch.empty_strided(shape, strides, dtype=torch.float32, device=device).zero_() for name in _WIDE}
    states.convert(form, device, arrays, [shape.numel()], [float(state.get(UNIT, 0.0))],
                   {name: [tensor] for name, tensor in wide.items()}, store=True)
    for name in (*shown, UNIT):
        state.pop(name, None)
    state.update({name: shards.like(owner, shards.cut(owner, tensor).contiguous() if whole else tensor)
                  for name, tensor in wide.items()})


def names_taken(form: Form) -> set[str]:
    """The names of all that settle rounds or drops, those that are stored among them."""
    return {*states.NATIVE, *(_WIDE if form.narrow else ()), *((_MASTER,) if form.split else ())}


def settle(member: Member) -> dict[str, torch.Tensor]:
    """What a state holds in another form than is stored: float32 tensors by the names of Plan.load, to be rounded to it."""
    state, form = member.state, member.form
    states.check_complete(state)
    own, other = [slot.name for slot in form.moments], states.other_form(state, form)
    if other is not None:
        _widen(member, other)
    elif form.moment == "block8" and own[0] in state and not any(name in state for name in _WIDE):
        stored = {name: member.part(name, state[name]) for name in own}
        if not orders.same_layout(_order(stored, form), member.strides, member.shape) and member.shape.numel():
            _widen(member, form)
    pending = {name: _dense(member, _part(member, name, state[name])) for name in _WIDE
               if form.narrow and name in state}
    low = state.get(states.REMAINDER)
    if low is not None and low.dtype not in (torch.int16, torch.int8):  # cast by an optimizer that carried it along
        del state[states.REMAINDER]
        low = None
    foreign = low is not None and low.dtype != form.slots(False)[-1].dtype
    if form.split and _MASTER in state:
        master = _dense(member, _part(member, _MASTER, state[_MASTER]))
        pending["param"] = states.split_master(master, member.param)
    elif form.remainder and low is not None and foreign:
        pending["param"] = _dense(member, states.joined(member.param, _part(member, states.REMAINDER, low)))
    names = {slot.name for slot in form.slots(False)}
    for name in states.NATIVE:
        if name not in names or name == states.REMAINDER and foreign:
            state.pop(name, None)
    return pending


def load_pending(engine: Engine) -> None:
    """Rounds what a loaded state holds in float32 to what is stored here, and says so."""
    for member in engine.members:
        if member.stand_in:
            member.drop_pending()
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
    held = [member for member in members if not member.stand_in]
    out = [{name: torch.empty_strided(member.shape, member.strides, dtype=torch.float32, device=engine.device)
            for name in ("exp_avg", "exp_avg_sq")} for member in members]
    if not held:
        return out
    arrays = {buffer: [member.stored[buffer] for member in held] for buffer in held[0].stored}
    arrays[Buffer.PARAM] = [member.work for member in held]
    *_, units = engine.image.read()
    fp32 = {name: [one[name] for one, member in zip(out, members) if not member.stand_in] for name in ("exp_avg", "exp_avg_sq")}
    units = [unit for unit, member in zip(units, members) if not member.stand_in]
    states.convert(engine.form, engine.device, arrays, [member.count for member in held], units, fp32, store=True)
    return out
