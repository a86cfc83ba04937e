# SPDX-License-Identifier: Apache-2.0
"""Where the tensors of an engine lie: each on its own, or as views of one flat buffer per kind. Used by Member."""
from __future__ import annotations

from typing import Sequence

import torch


class Memory:
    """Gives out zeroed tensors. With an extent, those of a kind are views of one flat buffer, at given offsets."""

    def __init__(self, device: torch.device, extent: int | None = None) -> None:
        self.device, self.extent = device, extent
        self.bases: dict[str, torch.Tensor] = {}  # kind -> flat tensor

    @property
    def is_flat(self) -> bool:
        return self.extent is not None

    def take(self, kind: str, dtype: torch.dtype, shape: Sequence[int], strides: Sequence[int], offset: int,
             extent: int | None = None) -> torch.Tensor:
        """extent: of the whole buffer of this kind, if it is not that of the others."""
        if self.extent is None:
            return torch.empty_strided(shape, strides, dtype=dtype, device=self.device).zero_()
        if kind not in self.bases:
            self.bases[kind] = torch.zeros(self.extent if extent is None else extent, dtype=dtype, device=self.device)
        return self.bases[kind].data.as_strided(shape, strides, offset)  # .data: each counts its own versions
