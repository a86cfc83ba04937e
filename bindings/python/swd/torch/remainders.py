# SPDX-License-Identifier: Apache-2.0
"""Remainders of 16 bits in the state of a parameter: as bytes, in a last dimension of two. Neither gloo nor NCCL has
int16, so a full state_dict of DTensors could not be gathered. Views of the memory that the step uses. Under a name of
their own, so that no tool puts a remainder of 8 bits in their place; in the live state, too, since torch takes of a
flattened state_dict what has a name there. Called by tensors and loading."""
from __future__ import annotations

from typing import Any

import torch

from . import shards
from .states import REMAINDER, REMAINDER_BYTES as BYTES


def _viewed(shown: Any, local: torch.Tensor, shape: tuple[int, ...], stride: tuple[int, ...]) -> torch.Tensor:
    if not shards.is_sharded(shown):
        return local
    from torch.distributed.tensor import DTensor
    made: torch.Tensor = DTensor.from_local(local, shown.device_mesh, shown.placements, run_check=False,
                                            shape=torch.Size(shape), stride=stride)
    return made


def pack(state: dict[str, Any]) -> None:
    """Shows the remainder of a parameter's state as bytes, if it has 16 bits."""
    low = state.get(REMAINDER)
    if low is None or low.dtype != torch.int16:
        return
    local = shards.local(low).unsqueeze(-1).view(torch.uint8)
    del state[REMAINDER]
    state[BYTES] = _viewed(low, local, (*low.shape, 2), (*(2 * step for step in low.stride()), 1))


def check(state: dict[str, Any]) -> None:
    """Refuses bytes that are not two for each element."""
    shown = state.get(BYTES)
    if isinstance(shown, torch.Tensor) and shown.dtype == torch.uint8 and (not shown.dim() or shown.shape[-1] != 2):
        raise ValueError(f"{BYTES}: the state has shape {tuple(shown.shape)}, expected two for each element")


def unpack(state: dict[str, Any], own: str | None) -> torch.Tensor | None:
    """The remainder of a state, loaded or live, as a tensor of the parameter's shape. own: the dtype that the optimizer
    keeps. Where set_optimizer_state_dict found another, it leaves the optimizer's beside it: the other one was loaded."""
    shown, low = (value if isinstance(value, torch.Tensor) else None for value in (state.get(BYTES), state.get(REMAINDER)))
    if shown is None or shown.dtype != torch.uint8 or (low is not None and own == "int16"):
        return low  # bytes that are none were cast by an optimizer that carried them along
    check(state)
    local = shards.local(shown)
    if local.stride(-1) != 1 or any(step % 2 for step in local.stride()[:-1]) or local.storage_offset() % 2:
        local = local.clone(memory_format=torch.contiguous_format)
    return _viewed(shown, local.view(torch.int16).squeeze(-1), tuple(shown.shape[:-1]),
                   tuple(step // 2 for step in shown.stride()[:-1]))


def take(state: dict[str, Any], own: str | None) -> None:
    """Puts what unpack gives in its place."""
    low = unpack(state, own)
    for name in (BYTES, REMAINDER):
        state.pop(name, None)
    if low is not None:
        state[REMAINDER] = low
