# SPDX-License-Identifier: Apache-2.0
"""The state image in host memory: header, entries, blobs. The calls for them, which Plan has."""
from __future__ import annotations

import ctypes
from ctypes import byref, c_uint64, c_void_p
from typing import Any, Iterable

from ._arrays import ArrayLike, locate
from ._ffi import check, lib
from ._structs import SegmentState, StateHeader


class StateImages:
    """Calls of every Plan for the state image. state_bytes: its size."""
    _handle: Any
    state_bytes: int

    def _image(self, image: ArrayLike, writable: bool) -> tuple[int | None, int]:
        at = locate(image, "image", least_bytes=self.state_bytes, cuda=False, writable=writable)
        return at.address or None, self.state_bytes if at.bytes is None else at.bytes

    def get_header(self, image: ArrayLike) -> StateHeader:
        """The StateHeader of a state image in host memory."""
        out = StateHeader()
        check(lib.swd_state_header_get(self._handle, *self._image(image, False), byref(out), ctypes.sizeof(out)))
        return out

    def set_header(self, image: ArrayLike, **members: float) -> None:
        """Writes members of the header, as ``vbar_reference=...``: 0 has the reference of relative decay taken anew."""
        header = self.get_header(image)
        for name, value in members.items():
            if name not in (field[0] for field in StateHeader._fields_):
                raise TypeError(f"{name}: a state header has no such member")
            setattr(header, name, value)
        check(lib.swd_state_header_set(self._handle, *self._image(image, True), byref(header), ctypes.sizeof(header)))

    def get_state(self, image: ArrayLike, segment: int) -> SegmentState:
        """The SegmentState of one segment in a state image in host memory."""
        out = SegmentState()
        check(lib.swd_state_get(self._handle, *self._image(image, False), segment, byref(out), ctypes.sizeof(out)))
        return out

    def set_state(self, image: ArrayLike, segment: int, step: int, exp_avg_sq_sum: float,
                  exp_avg_sq_unit: float = 0.0) -> None:
        """Writes one segment's entry; exp_avg_sq_sum -1: unknown. exp_avg_sq_unit belongs to what a narrow exp_avg_sq
        holds; 0 is 1."""
        entry = SegmentState(step, exp_avg_sq_sum, exp_avg_sq_unit, 0)
        check(lib.swd_state_set(self._handle, *self._image(image, True), segment, byref(entry), ctypes.sizeof(entry)))

    def export_state(self, image: ArrayLike) -> bytes:
        """A state image in host memory as a versioned, checksummed blob (bytes)."""
        needed = c_uint64()
        check(lib.swd_state_blob_size(self._handle, byref(needed)))
        blob = ctypes.create_string_buffer(needed.value)
        check(lib.swd_state_export(self._handle, *self._image(image, False), blob, needed.value))
        return blob.raw

    def import_state(self, blobs: bytes | bytearray | memoryview | Iterable[bytes], image: ArrayLike) -> None:
        """Fills a state image in host memory from one blob, or from the blobs of all shards, however they were cut."""
        parts = [bytes(b) for b in ([blobs] if isinstance(blobs, (bytes, bytearray, memoryview)) else blobs)]
        texts = [ctypes.c_char_p(part) for part in parts]
        pointers = (c_void_p * len(parts))(*(ctypes.cast(text, c_void_p).value for text in texts))
        sizes = (c_uint64 * len(parts))(*(len(part) for part in parts))
        check(lib.swd_state_import(self._handle, pointers, sizes, len(parts), *self._image(image, True)))
