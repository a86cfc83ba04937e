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

from . import forms

if TYPE_CHECKING:
    from .adams import AdamS
    from .engine import Engine
    from .kinds import Grads
    from .layout import Layout

PLAIN = (torch.Tensor, torch.nn.Parameter)  # no wrapper, whose memory would be elsewhere
_grad, _address = attrgetter("grad"), torch.Tensor.data_ptr
_END = [object()]


def same(found: Iterable[Any], known: Iterable[Any]) -> bool:
    """Whether these are the very same objects, as many. Tensors must not be compared by ==."""
    return all(map(is_, chain(found, _END), chain(known, _END)))


def params_of(groups: Iterable[dict[str, Any]]) -> list[torch.Tensor]:
    """All parameters of some groups, in their order."""
    return list(chain(*(group["params"] for group in groups)))


class _Entries:
    """What lies in states that have the same names, under each name."""

    def __init__(self, names: tuple[str, ...], states: list[dict[str, Any]]) -> None:
        self.states, self.number = states, len(names)
        self.get: Callable[[dict[str, Any]], Sequence[Any]] = (
            itemgetter(*names) if len(names) > 1 else lambda state: [state[name] for name in names])
        self.values = list(chain.from_iterable(map(self.get, states)))

    def same(self) -> bool:
        try:
            return (set(map(len, self.states)) == {self.number}
                    and same(chain.from_iterable(map(self.get, self.states)), self.values))
        except KeyError:
            return False


class _Part:
    """The members of one engine: where their parameters and moments lie, and how."""

    def __init__(self, engine: Engine, places: dict[torch.Tensor, int], grads: Grads) -> None:
        members = engine.members
        self.engine = engine
        indices = [places[member.owner] for member in members]
        self.pick: Callable[[Grads], Sequence[torch.Tensor | None]] = (
            itemgetter(*indices) if len(indices) > 1 else lambda grads: [grads[indices[0]]])
        self.held = [*(member.param for member in members), *(tensor for member in members for tensor, _, _ in member.places)]
        self.empty = sum(member.param.numel() == 0 for member in members)
        flat = engine.flat
        self.views = None if flat is None else [flat.address_of_grad(member.param) for member in members]
        self.known = list(map(_address, self.held))
        present = [grad for grad in grads if grad is not None]
        # Those in another order than their parameter, and lazily negated ones, have to be written out first.
        plain = ([grad.stride() for grad in present] == [member.strides for member in members]
                 and not any(tensor.is_neg() for tensor in (*present, *self.held)))
        self.forms = forms.of(self.held)
        self.grad_forms: forms.Same = forms.of(present) if plain else lambda found: False

    def addresses(self, grads: Sequence[Any]) -> list[int] | None:
        """Where the gradients lie, if the step can read them as they are and all else is as it was, and as the library
        was told: who only asks for vbar() tells it nothing."""
        try:  # a gradient without an address has one of 0, or raises
            found = list(map(_address, grads)) if self.grad_forms(grads) else None
        except RuntimeError:
            return None
        now = list(map(_address, self.held))
        fits = (found is not None and found.count(0) == self.empty and self.views in (None, found)
                and now == self.known and self.forms(self.held)
                and (self.views is not None or self.engine.pointers.told_of(now[:len(found)])))
        return found if fits else None


class Steady:
    def __init__(self, layout: Layout, optimizer: AdamS, grads: list[Grads]) -> None:
        """grads: of the step that looked at each member, all there."""
        groups = optimizer.param_groups
        self.counts, self.params = [len(group["params"]) for group in groups], params_of(groups)
        self.owners, self.states = list(optimizer.state), list(optimizer.state.values())
        named: dict[tuple[str, ...], list[dict[str, Any]]] = {}
        for state in self.states:
            named.setdefault(tuple(state), []).append(state)
        self.entries = [_Entries(names, states) for names, states in named.items()]
        places = {param: i for i, param in enumerate(self.params)}
        self.idle = [i for i, param in enumerate(self.params) if param not in layout.where]
        self.parts = [_Part(engine, places, some) for engine, some in zip(layout.engines, grads)]

    @staticmethod
    def can_be(layout: Layout, optimizer: AdamS) -> bool:
        """Whether all that it would have to vouch for is plain: gapless tensors."""
        members = [member for engine in layout.engines for member in engine.members]
        return (bool(members) and all(engine.members for engine in layout.engines)
                and all(type(state) is dict for state in optimizer.state.values())
                and all(member.gapless and type(member.owner) in PLAIN for member in members))

    def gradients(self, optimizer: AdamS) -> list[Grads] | None:
        """As Layout.gradients, and leaves their addresses with each engine; None if it must look itself."""
        groups, state = optimizer.param_groups, optimizer.state
        if not (self.counts == [len(group["params"]) for group in groups] and same(params_of(groups), self.params)
                and same(state, self.owners) and same(state.values(), self.states)
                and all(entries.same() for entries in self.entries)):
            return None
        grads = list(map(_grad, self.params))
        if any(grads[i] is not None for i in self.idle):
            return None
        out, found = [], []
        for part in self.parts:
            some = part.pick(grads)
            addresses = part.addresses(some)
            if addresses is None:
                return None
            out.append(list(some))
            found.append(addresses)
        for part, addresses in zip(self.parts, found):
            part.engine.addresses = addresses
        return out
