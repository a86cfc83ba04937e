# SPDX-License-Identifier: Apache-2.0
"""Options: looks at what users write into an optimizer and its groups between steps, as at construction. Asked by AdamS.step
before anything is touched."""
from __future__ import annotations

from itertools import chain
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any

from . import checks
from .steady import same

if TYPE_CHECKING:
    from .adams import AdamS

_whole, _rate = attrgetter(*checks.WHOLE), itemgetter("lr")
_others = itemgetter(*(name for name in checks.GROUP if name != "lr"))


class Options:
    """Those that are the very same objects as at the last look need no other one: a microsecond or two a group. A
    schedule writes lr alone, into many groups maybe, and has nothing else looked at."""

    def __init__(self) -> None:
        self._rates: list[Any] = []
        self._others: list[Any] = []

    def look(self, optimizer: AdamS) -> None:
        """Raises what the constructor would."""
        groups = optimizer.param_groups
        try:
            others = [*_whole(optimizer), *chain.from_iterable(map(_others, groups)), *(group.get("differentiable") for group in groups)]
            rates = list(map(_rate, groups))
        except KeyError:  # a group that checks will complain of
            others, rates = [], []
        if not others or not same(others, self._others):
            for group in groups:
                checks.group(group)
            checks.whole(optimizer)
        elif not same(rates, self._rates):
            for rate in rates:
                checks.learning_rate(rate)
        self._rates, self._others = rates, others
