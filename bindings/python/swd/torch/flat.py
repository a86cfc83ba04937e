# SPDX-License-Identifier: Apache-2.0
"""flatten: parameters and gradients in flat buffers, so that a step is two launches and needs no pointer table. Called
by users; Engine asks for the buffers, AdamS.zero_grad clears them."""
from __future__ import annotations

from typing import Iterable, Sequence

import torch
from torch.utils.weak import WeakIdKeyDictionary

from . import checks, shards
from .orders import dense_strides

_ALIGNMENT = 32  # elements; a parameter starts on a 128-byte line in float32

_flat_of = WeakIdKeyDictionary()  # parameter -> its Flat


class Flat:
    """The flat buffers of parameters of one device and dtype.

    param, grad: one-dimensional tensors. Each parameter's data and .grad are views of them, at the same offset.
    """

    def __init__(self, params: Sequence[torch.Tensor]) -> None:
        first = params[0]
        self._offsets, self._views, end = WeakIdKeyDictionary(), WeakIdKeyDictionary(), 0
        for param in params:
            self._offsets[param] = end
            end += -(-param.numel() // _ALIGNMENT) * _ALIGNMENT
        self.extent = end
        self.param = torch.zeros(end, dtype=first.dtype, device=first.device)
        self.grad = torch.zeros(end, dtype=first.dtype, device=first.device)
        for param in params:
            shape, strides, offset = param.shape, dense_strides(param), self._offsets[param]
            view = self.param.as_strided(shape, strides, offset)
            view.copy_(param.detach())
            gradient = self.grad.data.as_strided(shape, strides, offset)  # .data: each counts its own versions
            if param.grad is not None:
                gradient.copy_(param.grad)
            param.data = view
            self._views[param] = gradient
            param.grad = gradient
            _flat_of[param] = self

    def offset_of(self, param: torch.Tensor) -> int:
        """The first element of a parameter in the flat buffers."""
        return int(self._offsets[param])

    def address_of_grad(self, param: torch.Tensor) -> int:
        """Where the view lies that is the parameter's gradient."""
        return int(self._views[param].data_ptr())

    def holds(self, param: torch.Tensor) -> bool:
        """Whether the parameter's data still lies here."""
        if param not in self._offsets or param.dtype != self.param.dtype or param.device != self.param.device:
            return False
        address = self.param.data_ptr() + self._offsets[param] * self.param.element_size()
        return param.numel() == 0 or param.data_ptr() == address

    def gather(self, param: torch.Tensor, grad: torch.Tensor) -> None:
        """Makes param.grad the view again, if somebody put another tensor there: a copy."""
        view = self._views[param]
        if grad.data_ptr() != view.data_ptr() or grad.stride() != view.stride() or grad.is_neg():
            view.copy_(grad)
            param.grad = view

    def zero_grad(self, params: Sequence[torch.Tensor] | None = None) -> None:
        """Zeroes gradients and puts the views back: those of some parameters, or all in one launch."""
        whole = params is None or len(params) == len(self._views)
        if whole:
            self.grad.zero_()
        for param in list(self._views) if params is None or whole else params:
            param.grad = self._views[param] if whole else self._views[param].zero_()


def flatten(params: Iterable[torch.Tensor]) -> list[Flat]:
    """Moves parameters and gradients into flat buffers; returns a list of Flat, one per device and dtype.

    Call it after the model is on its device and in its dtype, before the optimizer's first step. Parameters keep
    their identity, shape and memory order; views of the old memory are left behind. Every parameter gets a gradient at
    once, zeros where it had none: it then takes part in each step, unless its .grad is set to None.

    AdamS.zero_grad clears the flat gradients in place. Use it instead of model.zero_grad(), which lets go of the views
    and so costs a copy of the gradients per step.
    """
    buckets: dict[tuple[torch.device, torch.dtype], list[torch.Tensor]] = {}
    seen = set()
    for param in params:
        if not isinstance(param, torch.Tensor):
            raise TypeError(f"params: {type(param).__name__} is no tensor")
        if shards.is_sharded(param):
            raise TypeError("params: a DTensor, whose memory is its sharding's own; AdamS steps it as it is")
        checks.parameter(param)
        if not param.is_leaf:
            raise ValueError("params: a tensor that is no leaf")
        if id(param) not in seen:
            seen.add(id(param))
            buckets.setdefault((param.device, param.dtype), []).append(param)
    with torch.no_grad():
        return [Flat(bucket) for bucket in buckets.values()]


def flat_of(param: torch.Tensor) -> Flat | None:
    """The Flat that holds a parameter, or None."""
    flat: Flat | None = _flat_of.get(param)
    return flat if flat is not None and flat.holds(param) else None


def homes(params: Iterable[torch.Tensor]) -> dict[Flat, list[torch.Tensor]]:
    """{Flat: the parameters of these that it holds}."""
    found: dict[Flat, list[torch.Tensor]] = {}
    if len(_flat_of):
        for param in params:
            flat = flat_of(param)
            if flat is not None:
                found.setdefault(flat, []).append(param)
    return found


def common_flat(params: Sequence[torch.Tensor]) -> Flat | None:
    """The Flat that holds all of these parameters, or None."""
    flat = flat_of(params[0]) if params else None
    return flat if flat is not None and all(flat_of(param) is flat for param in params) else None
