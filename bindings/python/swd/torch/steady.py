# SPDX-License-Identifier: Apache-2.0
"""Steady: the checks of a step, over whole lists at a time, for optimizers where nothing moved since the last one. Made
and asked by Layout; what it cannot vouch for is looked at member by member there.

A check here costs a tenth of a microsecond a tensor, most of it PyTorch's attribute; a loop over members costs more than
all of them together (bench/host_time.py).
"""
from __future__ import annotations

from itertools import chain
from operator import attrgetter, is_, itemgetter
from typing import TYPE_CHECKING, Any, Callable, Iterable, Sequence

import torch

if TYPE_CHECKING:
    from .adams import AdamS
    from .engine import Engine
    from .kinds import Grads
    from .layout import Layout

PLAIN = (torch.Tensor, torch.nn.Parameter)  # no wrapper, whose memory would be elsewhere
_grad, _dtype, _shape, _type = attrgetter("grad"), attrgetter("dtype"), attrgetter("shape"), type
_address, _stride, _negated = torch.Tensor.data_ptr, torch.Tensor.stride, torch.Tensor.is_neg


def _same(found: Iterable[Any], known: Sequence[Any]) -> bool:
    """Whether these are the very same objects. Tensors must not be compared by ==."""
    found = list(found)
    return len(found) == len(known) and all(map(is_, found, known))


class _Part:
    """The members of one engine: where their parameters and moments lie, and how."""

    def __init__(self, engine: Engine, places: dict[torch.Tensor, int]) -> None:
        members = engine.members
        self.engine = engine
        indices = [places[member.owner] for member in members]
        self.pick: Callable[[Grads], Sequence[torch.Tensor | None]] = (
            itemgetter(*indices) if len(indices) > 1 else lambda grads: [grads[indices[0]]])
        self.params = [member.param for member in members]
        self.moments = [tensor for member in members for tensor, _, _ in member.places]
        self.strides = [member.strides for member in members]
        self.grad_dtypes = {members[0].grad_dtype}
        self.empty = sum(param.numel() == 0 for param in self.params)
        flat = engine.flat
        self.views = None if flat is None else [flat.address_of_grad(param) for param in self.params]
        self.known = self._look()

    def _look(self) -> list[list[Any]]:
        params, moments = self.params, self.moments
        return [list(map(_address, params)), list(map(_dtype, params)), list(map(_shape, params)),
                list(map(_stride, params)), list(map(_negated, params)), list(map(_address, moments)),
                list(map(_shape, moments))]

    def addresses(self, grads: Sequence[Any]) -> list[int] | None:
        """Where the gradients lie, if the step can read them as they are and all else is as it was, and as the library
        was told: who only asks for vbar() tells it nothing."""
        try:  # a gradient without an address has one of 0, or raises
            found = list(map(_address, grads))
        except RuntimeError:
            return None
        now = self._look()
        fits = (found.count(0) == self.empty and self.views in (None, found) and set(map(_dtype, grads)) == self.grad_dtypes
                and list(map(_stride, grads)) == self.strides and not any(map(_negated, grads))
                and now == self.known and (self.views is not None or self.engine.pointers.told_of(now[0])))
        return found if fits else None


class Steady:
    def __init__(self, layout: Layout, optimizer: AdamS) -> None:
        groups = optimizer.param_groups
        self.counts, self.params = [len(group["params"]) for group in groups], self._params(groups)
        self.owners, self.states = list(optimizer.state), list(optimizer.state.values())
        self.names, self.values = list(chain(*self.states)), list(chain(*map(dict.values, self.states)))
        places = {param: i for i, param in enumerate(self.params)}
        self.idle = [i for i, param in enumerate(self.params) if param not in layout.where]
        self.parts = [_Part(engine, places) for engine in layout.engines]

    @staticmethod
    def can_be(layout: Layout, optimizer: AdamS) -> bool:
        """Whether all that it would have to vouch for is plain: gapless tensors without masters."""
        members = [member for engine in layout.engines for member in engine.members]
        return (bool(members) and all(engine.members for engine in layout.engines)
                and all(type(state) is dict for state in optimizer.state.values())
                and all(member.gapless and member.copy is None and type(member.owner) in PLAIN for member in members))

    @staticmethod
    def _params(groups: Iterable[dict[str, Any]]) -> list[torch.Tensor]:
        return list(chain(*(group["params"] for group in groups)))

    def gradients(self, optimizer: AdamS) -> list[Grads] | None:
        """As Layout.gradients, and leaves their addresses with each engine; None if it must look itself."""
        groups, state = optimizer.param_groups, optimizer.state
        if not (self.counts == [len(group["params"]) for group in groups] and _same(self._params(groups), self.params)
                and _same(state, self.owners) and _same(state.values(), self.states)
                and _same(chain(*self.states), self.names) and _same(chain(*map(dict.values, self.states)), self.values)):
            return None
        grads = list(map(_grad, self.params))
        if any(grads[i] is not None for i in self.idle):
            return None
        out, found = [], []
        for part in self.parts:
            some = part.pick(grads)
            addresses = part.addresses(some) if set(map(_type, some)) == {torch.Tensor} else None
            if addresses is None:
                return None
            out.append(list(some))
            found.append(addresses)
        for part, addresses in zip(self.parts, found):
            part.engine.addresses = addresses
        return out
