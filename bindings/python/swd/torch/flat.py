# SPDX-License-Identifier: Apache-2.0
"""flatten: parameters and gradients in flat buffers, so that a step is two launches and needs no pointer table. Called
by users; Engine asks for the buffers, AdamS.zero_grad clears them."""
from __future__ import annotations

from typing import Iterable, NamedTuple, Sequence

import torch
from torch.utils.weak import WeakIdKeyDictionary

from . import checks, shards, sharing
from .orders import as_stored, dense_strides

_ALIGNMENT = 32  # elements; a parameter starts on a 128-byte line in float32

_flat_of = WeakIdKeyDictionary()  # parameter -> its Flat


class _Place(NamedTuple):
    """Where a parameter lies in the buffers, and its gradient: numbers, as tensors may be made to look elsewhere."""
    offset: int
    shape: torch.Size
    strides: tuple[int, ...]


class Flat:
    """The flat buffers of parameters of one device and dtype.

    param, grad: one-dimensional tensors. Each parameter's data and .grad are views of them, at the same offset.
    """
    made = 0  # how many there have been

    def __init__(self, params: Sequence[torch.Tensor]) -> None:
        first = params[0]
        self._places, self._views, end = WeakIdKeyDictionary(), WeakIdKeyDictionary(), 0
        for param in params:
            self._places[param] = _Place(end, param.shape, dense_strides(param))
            end += -(-param.numel() // _ALIGNMENT) * _ALIGNMENT
        self.extent = end
        self.param = torch.zeros(end, dtype=first.dtype, device=first.device)
        self.grad = torch.zeros(end, dtype=first.dtype, device=first.device)
        for param in params:
            offset, shape, strides = self._places[param]
            view = self.param.as_strided(shape, strides, offset)
            view.copy_(param.detach())
            if param.grad is not None:
                self.view(param).copy_(param.grad)
            param.data = view
            if param.grad is not None or param.requires_grad:
                param.grad = self.view(param)
            _flat_of[param] = self
        Flat.made += 1

    @property
    def count(self) -> int:
        """The number of its parameters."""
        return len(self._places)

    def offset_of(self, param: torch.Tensor) -> int:
        """The first element of a parameter in the flat buffers."""
        return int(self._places[param].offset)

    def address_of_grad(self, param: torch.Tensor) -> int:
        """Where the gradient of a parameter lies."""
        return self.grad.data_ptr() + self.offset_of(param) * self.grad.element_size() if param.numel() else 0

    def _is_home(self, param: torch.Tensor, grad: torch.Tensor) -> bool:
        place = self._places[param]
        return (grad.data_ptr() == self.address_of_grad(param) and grad.dtype == self.grad.dtype and grad.shape == place.shape
                and as_stored(grad, place.strides))

    def view(self, param: torch.Tensor) -> torch.Tensor:
        """The tensor that is the parameter's gradient: always the same one, unless somebody had it look elsewhere."""
        view: torch.Tensor | None = self._views.get(param)
        if view is None or not self._is_home(param, view):
            offset, shape, strides = self._places[param]
            view = self._views[param] = self.grad.data.as_strided(shape, strides, offset)  # .data: each counts its own versions
        return view

    def holds(self, param: torch.Tensor) -> bool:
        """Whether the parameter's data still lies here, as it did."""
        place = self._places.get(param)
        if place is None or param.dtype != self.param.dtype or param.device != self.param.device or param.shape != place.shape:
            return False
        address = self.param.data_ptr() + place.offset * self.param.element_size()
        return param.numel() == 0 or param.data_ptr() == address and as_stored(param, place.strides)

    def gather(self, pairs: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> None:
        """Makes each (parameter, its gradient) the view again where somebody put another tensor there: a copy."""
        moved = [(param, grad) for param, grad in pairs if not self._is_home(param, grad)]
        here = self.grad.untyped_storage().data_ptr()
        # What lies in this buffer may be another parameter's, and would be written before it is read.
        found = [grad.clone() if grad.untyped_storage().data_ptr() == here else grad for _, grad in moved]
        for (param, _), grad in zip(moved, found):
            view = self.view(param)
            view.copy_(grad)
            param.grad = view

    def zero_grad(self) -> None:
        """Zeroes all gradients in one launch and puts the views back, but for parameters that require no gradient."""
        self.grad.zero_()
        params = list(self._places)
        put_back(params, map(self.view, params))


def put_back(params: Iterable[torch.Tensor], views: Iterable[torch.Tensor]) -> None:
    """Gives parameters their views for gradients. Who requires no gradient gets none, and would be decayed with one."""
    for param, view in zip(params, views):
        param.grad = view if param.requires_grad else None


def flatten(params: Iterable[torch.Tensor]) -> list[Flat]:
    """Moves parameters and gradients into flat buffers; returns a list of Flat, one per device and dtype.

    Call it after the model is on its device and in its dtype, before the optimizer's first step. Parameters keep
    their identity, shape and memory order; views of the old memory are left behind. Every parameter that requires a
    gradient gets one at once, zeros where it had none: it then takes part in each step, unless its .grad is set to None.
    Parameters that share memory are refused: they would not share it any more.

    AdamS.zero_grad clears the flat gradients in place. Use it instead of model.zero_grad(), which lets go of the views
    and so costs a copy of the gradients per step. It leaves parameters without a gradient that no longer require one.
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
    sharing.refuse((param for bucket in buckets.values() for param in bucket), gapless=True)
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
