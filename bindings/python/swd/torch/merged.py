# SPDX-License-Identifier: Apache-2.0
"""What of a parameter's state was loaded, where it comes beside what the optimizer had. Called by loading.

set_optimizer_state_dict lays a full state_dict over the optimizer's own, name by name. Forms have names of their own, so
moments of one form leave those of another in place. A live state holds moments of one form only, between two loads, too:
those of another form beside them are the loaded ones. They come whole, also to DTensors.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from . import blocks, shards, states
from .states import REMAINDER, REMAINDER_BYTES

if TYPE_CHECKING:
    from .states import Form

_REMAINDERS = (REMAINDER, REMAINDER_BYTES)


def kept_remainder(live: dict[str, Any], own: Form) -> str | None:
    """The dtype of the remainder that an optimizer had before it loaded, or would have: see remainders.unpack."""
    found = [dtype for name, dtype in zip(_REMAINDERS, ("int8", "int16")) if name in live]
    return found[0] if found else own.remainder


def only_loaded(param: torch.Tensor, state: dict[str, Any], live: dict[str, Any], own: Form) -> dict[str, Any]:
    """A state without what was left in it of the live one before. own: the Form that the optimizer stores."""
    held, had = states.held(state), states.held(live)
    if not held:
        return state
    loaded = min(held, key=lambda moment: (moment in had, moment == own.moment))
    left = {name for moment in held if moment != loaded for name in states.names_of(moment)}
    # A state without a remainder leaves the one of before in place, the very same tensor, beside moments that are new.
    if not any(state[name] is live.get(name) for name in states.names_of(loaded) if name in state):
        left.update(name for name in _REMAINDERS if name in live and state.get(name) is live[name])
    found = {name: value for name, value in state.items() if name not in left}
    if len(held) > 1 and shards.is_sharded(param):
        for name in (slot.name for slot in own.slots(True) if slot.name in found):
            found[name] = _cut(param, found[name])
        if REMAINDER_BYTES in found:
            found[REMAINDER_BYTES] = _cut(param, found[REMAINDER_BYTES])
    return found


def _cut(param: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
    """This process's part of what a parameter has of its own form, as a DTensor."""
    shape = tuple(param.shape)
    if shards.is_sharded(whole) or tuple(whole.shape) not in (shape, (*shape, 2), blocks.scale_shape(shape)):
        return whole
    return shards.like(param, shards.cut(param, whole), None if tuple(whole.shape) == shape else whole.shape)
