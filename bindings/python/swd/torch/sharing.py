# SPDX-License-Identifier: Apache-2.0
"""Memory that several tensors share. The library refuses parameters that overlap, but does not see those with gaps, which are
stepped in copies, nor those that flatten moves apart. Called by layout, flat and engine."""
from __future__ import annotations

import math
from typing import Iterable, Sequence

import torch

from . import shards
from .orders import as_stored, dense_strides


def _bytes(tensor: torch.Tensor) -> tuple[int, int]:
    """The addresses of the first byte of a tensor and behind the last one."""
    extent = sum(step * (size - 1) for step, size in zip(tensor.stride(), tensor.shape)) + 1
    first = tensor.data_ptr()
    return first, first + extent * tensor.element_size()


def _meet(tensors: Sequence[torch.Tensor], first: int, end: int) -> torch.Tensor | None:
    """The first of some tensors between two addresses that has a byte of one before it. Price: a byte for each element
    between them, for as long as this looks."""
    unit = math.gcd(*(tensor.element_size() for tensor in tensors), *(tensor.data_ptr() - first for tensor in tensors))
    taken = torch.zeros((end - first) // unit, dtype=torch.bool, device="cpu")
    for tensor in tensors:
        size = tensor.element_size() // unit
        own = taken.as_strided((*tensor.shape, size), (*(step * size for step in tensor.stride()), 1),
                               (tensor.data_ptr() - first) // unit)
        if bool(own.any()):
            return tensor
        own.fill_(True)
    return None


def _clusters(tensors: Iterable[torch.Tensor]) -> list[tuple[list[torch.Tensor], int, int]]:
    """Those that reach into each other, with the addresses between which they lie. Addresses tell devices apart, too."""
    found: list[tuple[list[torch.Tensor], int, int]] = []
    for tensor in sorted((tensor for tensor in tensors if tensor.numel()), key=torch.Tensor.data_ptr):
        first, end = _bytes(tensor)
        if found and first < found[-1][2]:
            some, begin, last = found[-1]
            found[-1] = [*some, tensor], begin, max(last, end)
        else:
            found.append(([tensor], first, end))
    return [cluster for cluster in found if len(cluster[0]) > 1]


def refuse(params: Iterable[torch.Tensor], gapless: bool) -> None:
    """Raises where two parameters have elements in common; gapless: also where none of them has gaps, which the library
    sees by itself. Views that lie between each other, as columns do, have none."""
    for some, first, end in _clusters(map(shards.local, params)):
        if gapless or any(not as_stored(param, dense_strides(param)) for param in some):
            found = _meet(some, first, end)
            if found is not None:
                raise ValueError(f"params: a tensor of shape {tuple(found.shape)}, strides {found.stride()}, has elements in "
                                 "common with another one, and would be stepped apart from it; give the memory that they "
                                 "share as one parameter, or only one of them")


def apart(grads: list[torch.Tensor | None]) -> list[torch.Tensor | None]:
    """Gradients without two at one address: autograd hands the same tensor to the terms of a sum."""
    seen: set[int] = set()
    out: list[torch.Tensor | None] = []
    for grad in grads:
        address = 0 if grad is None else grad.data_ptr()
        out.append(grad.clone() if grad is not None and address and address in seen else grad)
        seen.add(address)
    return out
