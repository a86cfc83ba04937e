# SPDX-License-Identifier: Apache-2.0
"""What a process holds of a parameter and of its gradient, and whether it is the one that counts it. Called by layout,
tensors and checkpoint; who sums over processes is in joint.

A DTensor is stepped by its local part. What several processes hold alike counts once, at the first of them. The state
is DTensors of the parameter's placements, so that torch.distributed.checkpoint stores and reshards it as it is.
"""
from __future__ import annotations

import math
from typing import Any, Sequence, cast

import torch

from . import orders

_PLAIN = (torch.Tensor, torch.nn.Parameter)


def is_sharded(tensor: torch.Tensor) -> bool:
    """Whether it is a DTensor."""
    return type(tensor) not in _PLAIN and hasattr(tensor, "to_local")


def local(tensor: Any) -> torch.Tensor:
    """This process's part of a DTensor; other tensors as they are."""
    if not is_sharded(tensor):
        return cast(torch.Tensor, tensor)
    with torch.no_grad():
        part: torch.Tensor = tensor.to_local()
        return part


def like(param: Any, tensor: torch.Tensor, shape: Sequence[int] | None = None) -> torch.Tensor:
    """A DTensor of the parameter's placements around its local part, for the state. shape: of the whole, if another."""
    if not is_sharded(param):
        return tensor
    from torch.distributed.tensor import DTensor
    size, stride = (param.shape, param.stride()) if shape is None else (torch.Size(shape), orders.plain_strides(shape))
    made: torch.Tensor = DTensor.from_local(tensor, param.device_mesh, param.placements, run_check=False,
                                            shape=size, stride=stride)
    return made


def same_cut(param: Any, tensor: Any) -> bool:
    """Whether a tensor is cut as the parameter is, or neither is cut."""
    return (getattr(tensor, "placements", None), getattr(tensor, "device_mesh", None)) == (
        getattr(param, "placements", None), getattr(param, "device_mesh", None))


def cut(param: Any, whole: torch.Tensor) -> torch.Tensor:
    """This process's part of a plain tensor that is cut along the dimensions of its parameter: a view."""
    from torch.distributed.tensor._utils import compute_local_shape_and_global_offset
    shape, offset = compute_local_shape_and_global_offset(whole.shape, param.device_mesh, param.placements)
    return whole[tuple(slice(first, first + size) for size, first in zip(shape, offset))]


def cuts(param: Any) -> dict[int, list[tuple[int, int | None]]]:
    """{dimension: (processes, split_factor of a strided cut or None) of each cut along it}; of a plain tensor {}."""
    found: dict[int, list[tuple[int, int | None]]] = {}
    for size, placement in zip(param.device_mesh.shape, param.placements) if is_sharded(param) else ():
        if hasattr(placement, "dim"):
            found.setdefault(placement.dim, []).append((size, getattr(placement, "split_factor", None)))
    return found


def in_order(param: Any) -> bool:
    """Whether each process's part is one piece of the whole, so that first_element tells where all of it lies. FSDP2 after
    tensor parallelism cuts in strides, which the other cut of that dimension makes one piece again."""
    found = {dim: [one for one in some if one[0] > 1] for dim, some in cuts(param).items()}
    rows = found.pop(0, [])
    strided = [factor for _, factor in rows if factor is not None]
    plain = math.prod(size for size, factor in rows if factor is None)
    return not any(found.values()) and all(factor == plain for factor in strided)


def gradient(param: Any, grad: Any) -> torch.Tensor:
    """What the step reads of a gradient: waited for, of its parameter's placements, with memory of its own."""
    if hasattr(grad, "to_local"):
        if not is_sharded(param):
            raise RuntimeError("AdamS: a gradient is a DTensor, but its parameter is a plain tensor; give its full_tensor()")
        if grad.placements != param.placements or grad.device_mesh != param.device_mesh:
            grad = grad.redistribute(param.device_mesh, param.placements)
        grad = local(grad)
    elif is_sharded(param):
        raise RuntimeError("AdamS: a parameter is a DTensor, but its gradient is a plain tensor")
    if hasattr(grad, "trigger_wait"):  # an AsyncCollectiveTensor, whose collective is still under way
        grad = grad.wait()
    if type(grad).__torch_dispatch__ is not torch.Tensor.__torch_dispatch__:
        raise RuntimeError(f"AdamS: a gradient is a {type(grad).__name__}, a tensor without memory of its own (a wrapper "
                           "around others, or a fake one)")
    whole: torch.Tensor = grad.clone() if torch._is_zerotensor(grad) else grad  # autograd's way to say zeros without memory
    return whole


def first_element(param: Any) -> int:
    """Where this process's part begins in the whole parameter, in elements: of parts that are cut along their first
    dimension. Of others 0: their elements are rounded by the bits of other elements of the parameter."""
    if not is_sharded(param):
        return 0
    from torch.distributed.tensor._utils import compute_local_shape_and_global_offset
    shape, offset = compute_local_shape_and_global_offset(param.shape, param.device_mesh, param.placements)
    rows = list(shape[1:]) == list(param.shape[1:])
    inner = 1
    for size in param.shape[1:]:
        inner *= size
    return offset[0] * inner if rows and len(offset) else 0


def holds_nothing(param: Any) -> bool:
    """Whether other processes have all of a DTensor's elements."""
    return is_sharded(param) and param.numel() > 0 and local(param).numel() == 0


def padding(param: Any) -> int:
    """Elements at the end of FSDP1's flat parameter that belong to nobody."""
    return getattr(param, "_shard_numel_padded", 0) or 0


def is_fsdp1(param: Any) -> bool:
    """Whether FullyShardedDataParallel made it: a part that looks like a whole."""
    return getattr(param, "_fsdp_flattened", False)


def first_in_mesh(param: Any) -> bool:
    """Whether this process is the first of those of the parameter's mesh that hold the same of it."""
    where = param.device_mesh.get_coordinate()
    if where is None:
        return False
    for at, placement in zip(where, param.placements):
        if placement.is_partial():
            raise TypeError("params: a DTensor of partial sums, which no process could step; expected Shard or Replicate")
        if placement.is_replicate() and at != 0:
            return False
    return True
