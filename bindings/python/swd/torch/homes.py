# SPDX-License-Identifier: Apache-2.0
"""Homes: the flat buffers of an optimizer's parameters, as AdamS.zero_grad clears them before each backward. Owned by AdamS.

To find the buffer of a parameter takes some microseconds, a look at whether nothing moved a third of one.
"""
from __future__ import annotations

from typing import Sequence

import torch

from . import forms
from .flat import Flat, homes, put_back
from .steady import same

_address = torch.Tensor.data_ptr


class _Part:
    """The parameters that one Flat holds."""

    def __init__(self, flat: Flat, params: Sequence[torch.Tensor]) -> None:
        self.flat, self.params, self.whole = flat, params, len(params) == flat.count
        self.views = [flat.view(param) for param in params]
        self._held = [*params, *self.views]
        self._known, self._forms = list(map(_address, self._held)), forms.of(self._held)

    def is_as_it_was(self) -> bool:
        return list(map(_address, self._held)) == self._known and self._forms(self._held)

    def zero_grad(self) -> None:
        if self.whole:
            self.flat.grad.zero_()
        else:
            torch._foreach_zero_(self.views)
        put_back(self.params, self.views)


class Homes:
    def __init__(self) -> None:
        self._params: list[torch.Tensor] = []
        self._parts: list[_Part] = []
        self._made = -1

    def zero_grad(self, params: list[torch.Tensor]) -> None:
        """Zeroes the gradients of those that are flat and puts the views back."""
        if not Flat.made:
            return
        if not (self._made == Flat.made and same(params, self._params) and all(part.is_as_it_was() for part in self._parts)):
            self._params, self._made = params, Flat.made
            self._parts = [_Part(flat, some) for flat, some in homes(params).items()]
        for part in self._parts:
            part.zero_grad()
