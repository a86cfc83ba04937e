# SPDX-License-Identifier: Apache-2.0
"""Remainders of 16 bits in a state_dict: as bytes, in a last dimension of two. Neither gloo nor NCCL has int16, so a full
state_dict of DTensors could not be gathered. Views of the same memory: what torch.distributed.checkpoint loads in place
arrives. Called by checkpoint and loading."""
from __future__ import annotations

from typing import Any

import torch

from . import shards


def _viewed(shown: Any, local: torch.Tensor, shape: tuple[int, ...], stride: tuple[int, ...]) -> torch.Tensor:
    if not shards.is_sharded(shown):
        return local
    from torch.distributed.tensor import DTensor
    made: torch.Tensor = DTensor.from_local(local, shown.device_mesh, shown.placements, run_check=False, shape=torch.Size(shape),
                                            stride=stride)
    return made


def to_bytes(shown: torch.Tensor) -> torch.Tensor:
    """Of int16; others are as they are."""
    if shown.dtype != torch.int16:
        return shown
    local = shards.local(shown).unsqueeze(-1).view(torch.uint8)
    return _viewed(shown, local, (*shown.shape, 2), (*(2 * step for step in shown.stride()), 1))


def from_bytes(shown: torch.Tensor) -> torch.Tensor:
    """Back, where they are bytes."""
    if shown.dtype != torch.uint8:
        return shown
    if not shown.dim() or shown.shape[-1] != 2:
        raise ValueError(f"remainder: the state has bytes of shape {tuple(shown.shape)}, expected two for each element")
    local = shards.local(shown)
    if local.stride(-1) != 1 or any(step % 2 for step in local.stride()[:-1]) or local.storage_offset() % 2:
        local = local.clone(memory_format=torch.contiguous_format)
    return _viewed(shown, local.view(torch.int16).squeeze(-1), tuple(shown.shape[:-1]),
                   tuple(step // 2 for step in shown.stride()[:-1]))
