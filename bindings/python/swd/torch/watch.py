# SPDX-License-Identifier: Apache-2.0
"""Watch: looks at the decay once in a while and warns before a model is decayed to nothing. Asked by AdamS.step.

Scheduled decay has a cliff that AdamW's has not: where a loss does not depend on the scale of weights, smaller weights
make smaller gradients, these a smaller vbar, and that more decay. Every number stays finite meanwhile. A look costs
what a fetch of the statistics costs; on CUDA it is read at a later step, when it has arrived, and nothing waits.
"""
from __future__ import annotations

import functools
import operator
import warnings
from typing import TYPE_CHECKING, Any

from .. import Result, StatsFlag
from .fetch import Fetch

if TYPE_CHECKING:
    from .. import Stats
    from .adams import AdamS
    from .engine import Engine

LARGE, GROWING = 0.01, 0.003  # shares of the parameters that a step takes; trainings die at the first
_EARLY, _EVERY = (1, 10, 100), 1000

_SCHEDULED = ("Set decay=\"relative\", which takes AdamW's weight_decay as it is, or convert it: "
              "optimizer.weight_decay_from_adamw(0.1), after some steps")
_RELATIVE = "Lower weight_decay, or set optimizer.vbar_reference = 0 to have the reference taken anew"
_OTHER = "Lower lr or weight_decay"


class DecayWarning(UserWarning):
    """Weight decay is about to destroy the model."""


class Watch:
    def __init__(self) -> None:
        self.steps, self._owed, self.warned = 0, False, set[str]()
        self._pending: tuple[list[Fetch], list[tuple[str, float]]] | None = None
        self._last: list[tuple[str, float, float]] = []

    def look(self, optimizer: AdamS, engines: list[Engine]) -> None:
        """After a step. Says each thing once."""
        self.steps += 1
        self._owed = self._owed or self.steps in _EARLY or self.steps % _EVERY == 0
        self._read()
        if self._owed and self._pending is None and engines:
            self._owed = False
            self._pending = ([Fetch(engine) for engine in engines],
                             [(group["decay"], float(group["weight_decay"])) for group in optimizer.param_groups])
            self._read()  # on the CPU it is there

    def _read(self) -> None:
        if self._pending is not None and all(fetch.arrived for fetch in self._pending[0]):
            (fetches, decays), self._pending = self._pending, None
            self._judge([fetch.result() for fetch in fetches], decays)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pending": None}  # what is on its way stays with the original

    def _judge(self, found: list[Stats], decays: list[tuple[str, float]]) -> None:
        """found: the Stats of each engine. They decide alike, but an engine flags its own groups only. decays: mode and
        weight_decay of each group."""
        first = found[0]
        if first.result != Result.APPLIED:
            self._owed = True  # says nothing about the decay: look again
            return
        # What the user changed meanwhile is no growth: weight_decay is divided out, the rest must be as it was.
        strengths = [(mode, first.vbar_reference, effective / given if given > 0 else 0.0)
                     for effective, (mode, given) in zip(first.lambda_eff, decays)]
        last, self._last = self._last, strengths
        doubled = any(now[:2] == then[:2] and now[2] >= 2 * then[2] > 0 for now, then in zip(strengths, last))
        share, groups = first.largest_decay, ", ".join(f"{value:.3g}" for value in first.lambda_eff)
        flags = functools.reduce(operator.or_, (stats.flags for stats in found))
        cut = ", which is max_decay, and would take more" if flags & StatsFlag.DECAY_CAPPED else ""
        state = f"a step takes {share:.3g} of the parameters{cut}. In AdamW's unit the groups have {groups}."
        modes = {mode for mode, given in decays if given > 0}
        advice = _SCHEDULED if "scheduled" in modes else _RELATIVE if "relative" in modes else _OTHER
        if flags & StatsFlag.LARGE_DECAY:
            self._warn("large", f"weight_decay: {state} Trainings die above {LARGE}. {advice}.")
        if doubled and share > GROWING:
            self._warn("growing", f"weight_decay: the decay has doubled since the last look, and {state} Smaller weights "
                                  f"make smaller gradients, and these more decay: it will go on. {advice}.")

    def _warn(self, kind: str, text: str) -> None:
        if kind not in self.warned:
            self.warned.add(kind)
            warnings.warn(text, DecayWarning, stacklevel=9)  # where step was called
