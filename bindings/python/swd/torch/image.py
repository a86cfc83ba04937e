# SPDX-License-Identifier: Apache-2.0
"""StateImage: the state image of an engine in its device's memory, and its numbers as tensors that are views of it, so
that ``state[p]["step"]`` is live and costs no copy. Made by Engine, read by checkpoint.

The layout of an image is the library's own. Where a number lies is therefore found, not known: marks are written into
an image with the library's own calls, and looked for.
"""
from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

import torch

from .._structs import Dtype

if TYPE_CHECKING:
    from .. import Plan

_STEP_MARK, _SUM_MARK = 2 ** 40, 2.0 ** 41  # what no other word of a fresh image holds


class Counters(NamedTuple):
    """What a state holds once."""
    applied: int = 0
    skipped: int = 0
    reference: float = 0.0  # the vbar that relative decay refers to; 0: not set yet
    seed: int = 0           # of the bits that narrow states are rounded by

    def merged(self, other: Counters) -> Counters:
        """Of two engines that step together, or of two saved groups: the later."""
        return Counters(max(self.applied, other.applied), max(self.skipped, other.skipped),
                        max(self.reference, other.reference), max(self.seed, other.seed))


class _Places(NamedTuple):
    """Indices of 8-byte words: the header's, and of segment k those at first + k * stride."""
    header: tuple[int, int, int, int]
    step: int
    sum: int
    unit: int
    stride: int


def _bits(value: float) -> int:
    return int(struct.unpack("<q", struct.pack("<d", value))[0])


def _is_narrow(plan: Plan) -> bool:
    return plan.moment_dtype != Dtype.F32


def _unit_mark(plan: Plan, k: int) -> float:
    """A unit that no other word of the image holds; moments in float32 have none."""
    return 0.75 + (k + 1) * 2.0 ** -40 if _is_narrow(plan) else 0.0


def _find(plan: Plan) -> _Places:
    image = torch.zeros(plan.state_bytes // 8, dtype=torch.int64, device="cpu")
    plan.set_header(image, steps_applied=_STEP_MARK - 1, steps_skipped=_STEP_MARK - 2, vbar_reference=_SUM_MARK - 1,
                    rounding_seed=_STEP_MARK - 3)
    last = plan.segment_count - 1
    marked = sorted({0, min(1, last), last}) if last >= 0 else []
    for k in marked:
        plan.set_state(image, k, _STEP_MARK + k, _SUM_MARK + k, _unit_mark(plan, k))
    where = {word: i for i, word in enumerate(image.tolist()) if word}
    try:
        header = (where[_STEP_MARK - 1], where[_STEP_MARK - 2], where[_bits(_SUM_MARK - 1)],
                  where[_STEP_MARK - 3])
        steps = [where[_STEP_MARK + k] for k in marked]
        sums = [where[_bits(_SUM_MARK + k)] for k in marked]
        units = [where[_bits(_unit_mark(plan, k))] for k in marked] if _is_narrow(plan) else sums
    except KeyError:
        raise RuntimeError("libswd's state image holds no int64 step and float64 sum: this package needs them") from None
    stride = steps[1] - steps[0] if last > 0 else 1
    if any(place != first[0] + k * stride for first in (steps, sums, units) for k, place in zip(marked, first)):
        raise RuntimeError("libswd's state image has no fixed distance from segment to segment: this package needs one")
    return _Places(header, *([first[0] if marked else 0 for first in (steps, sums, units)] + [stride]))


class StateImage:
    """words: the image, int64, on `device`. steps (int64), sums and, of narrow moments, units (float64): one element a
    segment, views of it."""

    def __init__(self, plan: Plan, device: torch.device, counters: Counters, steps: list[int], sums: list[float],
                 units: list[float] | None = None) -> None:
        self.places, count = _find(plan), plan.segment_count
        image = torch.zeros(plan.state_bytes // 8, dtype=torch.int64, device="cpu")
        plan.set_header(image, steps_applied=counters.applied, steps_skipped=counters.skipped,
                        vbar_reference=counters.reference, rounding_seed=counters.seed)
        self.has_units = units is not None
        self._view(image, count)
        self.steps.copy_(torch.tensor(steps, dtype=torch.int64, device="cpu"))
        self.sums.copy_(torch.tensor(sums, dtype=torch.float64, device="cpu"))
        if self.units is not None:
            self.units.copy_(torch.tensor(units, dtype=torch.float64, device="cpu"))
        self._view(image.to(device), count)

    def _view(self, words: torch.Tensor, count: int) -> None:
        at = self.places
        self.words, self.doubles = words, words.view(torch.float64)
        self.steps = words[at.step:at.step + count * at.stride:at.stride]
        self.sums = self.doubles[at.sum:at.sum + count * at.stride:at.stride]
        self.units = self.doubles[at.unit:at.unit + count * at.stride:at.stride] if self.has_units else None

    def set_reference(self, value: float) -> None:
        """In stream order; a captured graph sees it at its next replay."""
        self.doubles[self.places.header[2]].fill_(value)

    def read(self) -> tuple[Counters, list[int], list[float], list[float]]:
        """(Counters, steps, sums, units) as Python numbers: one copy from the device, which waits for it."""
        applied, skipped, reference, seed = self.places.header
        words = self.words.cpu()
        doubles, counts = words.view(torch.float64).tolist(), words.tolist()
        at, end = self.places, len(self.steps) * self.places.stride
        steps, sums, units = (numbers[first:first + end:at.stride]
                              for numbers, first in ((counts, at.step), (doubles, at.sum), (doubles, at.unit)))
        if not self.has_units:
            units = [0.0] * len(steps)
        return Counters(counts[applied], counts[skipped], doubles[reference], counts[seed]), steps, sums, units
