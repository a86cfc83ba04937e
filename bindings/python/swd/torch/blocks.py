# SPDX-License-Identifier: Apache-2.0
"""Blocks: how the scales of 8-bit moments lie, which sharded parameters have such moments, and what is said of the others.
Called by layout, tensors and narrow.

A scale is one for 128 consecutive elements. The shape of the scales follows from the unsharded shape of their parameter,
and its dimensions are the parameter's: cut along the same ones they are the scales of the parts, if these end where blocks
do. So they are DTensors of the parameter's placements, which torch.distributed.checkpoint stores and reshards, and neither
blocks nor rounding depend on the number of processes. Elsewhere no checkpoint could cut them, and moments are bfloat16.
"""
from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any, Sequence

import torch

from . import orders, shards, states
from .states import Form

if TYPE_CHECKING:
    from .adams import AdamS

SIZE = 128
_INSTEAD = {"compact8": "mixed16", "tiny8": "tiny8"}  # tiny8 keeps its parameters without a remainder, as it says


def count(elements: int) -> int:
    return -(-elements // SIZE)


def scale_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """Of a parameter in the order of its dimensions."""
    inner = math.prod(shape[1:])
    if shape and shape[-1] % SIZE == 0:
        return (*shape[:-1], shape[-1] // SIZE)
    if len(shape) > 1 and inner % SIZE == 0:
        return shape[0], inner // SIZE
    return (count(math.prod(shape)),)


def scales_of(shape: Sequence[int], strides: Sequence[int]) -> tuple[int, ...]:
    """Of a parameter, in any memory order, which its blocks follow. Another order has a shape that no parameter in the order
    of its dimensions has: loaded for another, codes and scales would not belong together, and no number would look wrong."""
    return scale_shape(shape) if orders.is_plain(strides, shape) else (1, 1, count(math.prod(shape)))


def order_of(codes: torch.Tensor, scales: torch.Tensor, name: str) -> tuple[int, ...]:
    """The strides of stored codes whose blocks lie one after the other."""
    shape, dense = tuple(codes.shape), orders.dense_strides(codes)
    other = (1, 1, count(codes.numel()))
    if tuple(scales.shape) == scale_shape(shape) and scales.dim() > 1:
        return orders.plain_strides(shape)
    if scales.shape == other[2:]:  # of a parameter without another shape, or from before there were any
        return dense
    if tuple(scales.shape) != other:
        raise ValueError(f"{name}: the state has shape {tuple(scales.shape)}, expected {scale_shape(shape)}")
    if orders.is_plain(dense, shape):
        raise ValueError(f"{name}: the state has the scales of another memory order (channels_last, say), but its codes were "
                         "written in the order of their dimensions since; save it by torch.save, which keeps orders")
    return dense


def fit(param: Any) -> bool:
    """Whether a parameter's parts on all processes end where blocks do. Not of one dimension, whose length few numbers of
    processes would cut so: it has the same moments on any. Alike on all processes."""
    shape, cuts = tuple(param.shape), shards.cuts(param)
    scales = scale_shape(shape)
    if not cuts or not param.numel():
        return True
    if len(shape) < 2 or len(scales) < 2 or len(scales) < len(shape) and set(cuts) != {0}:
        return False
    last = cuts.get(len(shape) - 1, [])
    return all(factor is None for _, factor in last) and scales[-1] % math.prod(size for size, _ in last) == 0


def form_of(preset: str, param: torch.Tensor, amsgrad: bool) -> Form:
    """What is stored of a parameter: that of the preset, or bfloat16 moments where 8-bit ones have no whole blocks."""
    form = states.form_of(preset, param.dtype, amsgrad)
    if form.moment != "block8":
        return form
    if shards.is_fsdp1(param):
        raise ValueError("states: 8-bit moments of a parameter that FullyShardedDataParallel flattened, whose checkpoints "
                         "could not cut their scales; expected 'mixed16' or 'fp32', or fully_shard in its place")
    if fit(param):
        return form
    return states.form_of(_INSTEAD[preset], param.dtype, amsgrad)._replace(moment="bfloat16")


def strides_of(param: torch.Tensor, part: torch.Tensor, form: Form) -> tuple[int, ...]:
    """The memory order that a step works in. Of 8-bit moments of a DTensor that of the dimensions: the blocks are those of
    the whole. Price, where the part lies otherwise: a copy of it."""
    if form.moment == "block8" and shards.is_sharded(param):
        return orders.plain_strides(part.shape)
    return orders.dense_strides(part)


def _listed(params: list[torch.Tensor]) -> str:
    return f"{len(params)} parameters of {sum(param.numel() for param in params):,} elements"


def say(optimizer: AdamS) -> None:
    """Says once what sharding takes from narrow states."""
    if optimizer.states == "fp32" or optimizer._said_shards:
        return
    optimizer._said_shards = True
    params = [param for group in optimizer.param_groups for param in group["params"] if param.dtype != torch.float16]
    whole = [param for param in params if not fit(param)] if optimizer.states != "mixed16" else []
    moved = [param for param in params if not shards.in_order(param)]
    if whole:
        warnings.warn(f"states: {optimizer.states!r} keeps the moments of {_listed(whole)} in bfloat16 instead of 8 bits: they "
                      f"are sharded, and not where a block of {SIZE} elements ends (vectors never are)", stacklevel=8)
    if moved:
        warnings.warn(f"states: {_listed(moved)} are sharded along another dimension than the first, and are rounded by other "
                      "random bits than on one process: results agree as two seeds do, not to the bit", stacklevel=8)
