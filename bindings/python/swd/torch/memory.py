# SPDX-License-Identifier: Apache-2.0
"""Where the tensors of an engine lie: each on its own, or as views of one flat buffer per kind. Used by Member."""
import torch


class Memory:
    """Gives out zeroed tensors. With an extent, those of a kind are views of one flat buffer, at given offsets."""

    def __init__(self, device, extent=None):
        self.device, self.extent = device, extent
        self.bases = {}  # kind -> flat tensor

    @property
    def is_flat(self):
        return self.extent is not None

    def take(self, kind, dtype, shape, strides, offset, extent=None):
        """extent: of the whole buffer of this kind, if it is not that of the others."""
        if not self.is_flat:
            return torch.empty_strided(shape, strides, dtype=dtype, device=self.device).zero_()
        if kind not in self.bases:
            self.bases[kind] = torch.zeros(self.extent if extent is None else extent, dtype=dtype, device=self.device)
        return self.bases[kind].as_strided(shape, strides, offset)
