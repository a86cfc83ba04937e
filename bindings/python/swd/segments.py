# SPDX-License-Identifier: Apache-2.0
"""Segments of a plan, and the array of them that swd_plan_create takes. Used by plan."""
from __future__ import annotations

import ctypes
from typing import Sequence

from ._structs import SegmentStruct


class Segment:
    """A contiguous run of elements with one step counter and one running sum: a tensor, or a shard of one.

    count: elements. offset: first element from the flat bases (None: right after the segment before it). group: its
    group. flags: SegmentFlag bits. index: with ``Plan(indexed=True)``, of its first element in the unsharded model.
    """
    __slots__ = ("count", "offset", "group", "flags", "index")

    def __init__(self, count: int, offset: int | None = None, group: int = 0, flags: int = 0, index: int = 0) -> None:
        self.count, self.offset, self.group, self.flags, self.index = count, offset, group, flags, index


def segment_array(segments: Sequence[Segment | int], as_list: bool) -> tuple[ctypes.Array[SegmentStruct], int]:
    array, end = (SegmentStruct * len(segments))(), 0
    for entry, segment in zip(array, segments):
        if isinstance(segment, int):
            segment = Segment(segment)
        offset = end if segment.offset is None else segment.offset
        entry.offset = 0 if as_list else offset
        entry.count, entry.group, entry.flags = segment.count, segment.group, segment.flags
        entry.index = segment.index
        end = offset + segment.count
    return array, end
