# SPDX-License-Identifier: Apache-2.0
"""PyTorch's version counters: of second moments, which tell what others edited, and of parameters, which tell autograd
that a step wrote them. Called by engine and audit."""
from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from .engine import Engine


def of(engine: Engine) -> list[int]:
    """Those of exp_avg_sq of each member; of 8-bit moments, codes and scales together."""
    if engine.addresses is not None:
        counts = [[tensor._version for tensor in tensors] for tensors in engine.second_moments]
        return counts[0] if len(counts) == 1 else list(map(sum, zip(*counts)))
    return [member.version() for member in engine.members]


def increment(params: list[torch.Tensor]) -> None:
    """Tells autograd that they were written."""
    if _LISTS:
        torch.autograd.graph.increment_version(params)
    else:
        for param in params:
            torch.autograd.graph.increment_version(param)


def _takes_lists() -> bool:
    """Whether increment_version does: not in the oldest versions of PyTorch that this package runs with."""
    try:
        torch.autograd.graph.increment_version([torch.empty(0, device="cpu")])
    except Exception:
        return False
    return True


_LISTS = _takes_lists()
