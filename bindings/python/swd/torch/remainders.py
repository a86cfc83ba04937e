# SPDX-License-Identifier: Apache-2.0
"""Remainders of 16 bits in a state_dict: as bytes, in a last dimension of two. Neither gloo nor NCCL has int16, so a full
state_dict of DTensors could not be gathered. Views of the same memory: what torch.distributed.checkpoint loads in place
arrives. Under a name of their own, so that no tool puts a remainder of 8 bits in their place. Called by checkpoint and
loading."""
from __future__ import annotations

from typing import Any

import torch

from . import shards
from .states import REMAINDER

BYTES = "remainder_bytes"


def _viewed(shown: Any, local: torch.Tensor, shape: tuple[int, ...], stride: tuple[int, ...]) -> torch.Tensor:
    if not shards.is_sharded(shown):
        return local
    from torch.distributed.tensor import DTensor
    made: torch.Tensor = DTensor.from_local(local, shown.device_mesh, shown.placements, run_check=False, shape=torch.Size(shape),
                                            stride=stride)
    return made


def pack(state: dict[str, Any]) -> None:
    """Of a parameter's state, as a state_dict has it."""
    low = state.get(REMAINDER)
    if low is None or low.dtype != torch.int16:
        return
    local = shards.local(low).unsqueeze(-1).view(torch.uint8)
    del state[REMAINDER]
    state[BYTES] = _viewed(low, local, (*low.shape, 2), (*(2 * step for step in low.stride()), 1))


def unpack(state: dict[str, Any], own: str | None) -> torch.Tensor | None:
    """The remainder of a loaded state, under either name. own: the dtype that the optimizer keeps. Where
    set_optimizer_state_dict found another, it leaves the optimizer's beside it: the other one was loaded."""
    shown, low = (value if isinstance(value, torch.Tensor) else None for value in (state.get(BYTES), state.get(REMAINDER)))
    if shown is None or shown.dtype != torch.uint8 or (low is not None and own == "int16"):
        return low  # bytes that are none were cast by an optimizer that carried them along
    if not shown.dim() or shown.shape[-1] != 2:
        raise ValueError(f"{BYTES}: the state has shape {tuple(shown.shape)}, expected two for each element")
    local = shards.local(shown)
    if local.stride(-1) != 1 or any(step % 2 for step in local.stride()[:-1]) or local.storage_offset() % 2:
        local = local.clone(memory_format=torch.contiguous_format)
    return _viewed(shown, local.view(torch.int16).squeeze(-1), tuple(shown.shape[:-1]),
                   tuple(step // 2 for step in shown.stride()[:-1]))
