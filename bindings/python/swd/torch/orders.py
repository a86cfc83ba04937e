# SPDX-License-Identifier: Apache-2.0
"""Memory orders: in which order the elements of a tensor lie. Called by tensors, blocks, flat and early."""
from __future__ import annotations

from typing import Sequence

import torch


def same_layout(strides: Sequence[int], other: Sequence[int], shape: Sequence[int]) -> bool:
    """Whether two tensors of this shape have their elements in the same order in memory."""
    return strides == other or all(a == b or n == 1 for a, b, n in zip(strides, other, shape))


def as_stored(tensor: torch.Tensor, strides: Sequence[int]) -> bool:
    """Whether the memory of a tensor is its elements in the order of these strides: no gaps, no pending negation."""
    return same_layout(tensor.stride(), strides, tensor.shape) and not tensor.is_neg()


def dense_strides(tensor: torch.Tensor) -> tuple[int, ...]:
    """The strides of a gapless tensor in the memory order of this one; its own, unless it overlaps or has gaps."""
    return torch.empty_like(tensor, device="meta", requires_grad=False).stride()


def plain_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """The strides of a gapless tensor in the order of its dimensions."""
    return torch.empty(shape, device="meta").stride()


def is_plain(strides: Sequence[int], shape: Sequence[int]) -> bool:
    """Whether these are such strides; those of a tensor without elements always are."""
    return 0 in shape or same_layout(strides, plain_strides(shape), shape)
