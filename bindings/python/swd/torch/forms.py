# SPDX-License-Identifier: Apache-2.0
"""Forms: whether the tensors of a list lie as they did, apart from their addresses. Made and asked by Steady.

torch.compile guards its graphs with one compiled check of type, dispatch keys (lazy negation and conjugation among them),
dtype, device, requires_grad, shape and strides for a whole list: 0.08 us a tensor, where asking each attribute takes 0.5
(bench/host_time.py). It is private to PyTorch. So it is used where it passes the trial below at import, and what it turns
down is looked at member by member, as always; where it is not, the attributes are asked."""
from __future__ import annotations

from operator import attrgetter
from typing import Any, Callable, Sequence

import torch

_ATTRIBUTES = (type, attrgetter("dtype"), attrgetter("device"), attrgetter("shape"), torch.Tensor.stride, torch.Tensor.is_neg)
Same = Callable[[Sequence[Any]], bool]


def _asked(tensors: Sequence[torch.Tensor]) -> Same:
    known = [list(map(attribute, tensors)) for attribute in _ATTRIBUTES]

    def same(found: Sequence[Any]) -> bool:
        return (set(map(type, found)) == set(known[0])  # only tensors have the others
                and [list(map(attribute, found)) for attribute in _ATTRIBUTES] == known)
    return same


def _guarded(tensors: Sequence[torch.Tensor]) -> Same:
    check = torch._C._dynamo.guards.TensorGuards(*tensors, dynamic_dims_sizes=None, dynamic_dims_strides=None).check
    return lambda found: len(found) == len(tensors) and check(*found) is True


def _tells(make: Callable[[Sequence[torch.Tensor]], Same]) -> bool:
    """Whether a way to look finds all that Steady must know."""
    matrix, row = torch.zeros(2, 3, device="cpu"), torch.zeros(3, device="cpu")
    others = [matrix.double(), torch.zeros(3, 2, device="cpu").t(), torch._neg_view(matrix), matrix[:, :2], matrix[0],
              torch.nn.Parameter(matrix), matrix.to_sparse(), torch.zeros(2, 3, device="meta"), matrix.reshape(2, 3, 1),
              torch.zeros(2, 3, dtype=torch.complex64, device="cpu").conj(), torch.zeros(2, 4, device="cpu")[:, :3], None]
    try:
        same = make([matrix, row])
        return (same([torch.ones(2, 3, device="cpu"), row]) and not same([matrix])
                and not any(same([other, row]) for other in others))
    except Exception:
        return False


of: Callable[[Sequence[torch.Tensor]], Same] = _guarded if _tells(_guarded) else _asked
