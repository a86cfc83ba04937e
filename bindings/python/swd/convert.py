# SPDX-License-Identifier: Apache-2.0
"""Between float32 arrays and what a plan stores: Plan.load and Plan.store."""
from __future__ import annotations

import ctypes
from ctypes import byref, c_void_p
from typing import TYPE_CHECKING, Any, Callable, Iterable

from ._arrays import ArrayLike, locate
from ._ffi import check, lib
from ._structs import Fp32ArraysStruct, PlanFlag

if TYPE_CHECKING:
    from .buffers import Buffers


def _pointers(plan: Any, name: str, arrays: Iterable[ArrayLike], writable: bool, stream: int) -> ctypes.Array[c_void_p]:
    """One address a segment, for a plan that is a list."""
    arrays = list(arrays)
    if len(arrays) != plan.segment_count:
        raise ValueError(f"{name} has {len(arrays)} arrays, but the plan has {plan.segment_count} segments")
    return (c_void_p * len(arrays))(*(
        array if array is None or type(array) is int else locate(
            array, f"{name}[{k}]", dtype="float32", cuda=plan.on_cuda, writable=writable, stream=stream).address
        for k, array in enumerate(arrays)))


def _convert(plan: Any, function: Callable[..., int], buffers: Buffers, arrays: Iterable[ArrayLike], writable: bool,
             stream: int) -> None:
    struct, alive = Fp32ArraysStruct(), []
    check(lib.swd_fp32_arrays_init(byref(struct), ctypes.sizeof(struct)))
    for name, array in zip(("param", "exp_avg", "exp_avg_sq"), arrays):
        if array is None:
            continue
        if plan.flags & PlanFlag.LIST:
            pointers = _pointers(plan, name, array, writable, stream)
            alive.append(pointers)
            setattr(struct, name, ctypes.addressof(pointers))
        else:
            at = locate(array, name, dtype="float32", least_bytes=4 * plan.extent, cuda=plan.on_cuda,
                        writable=writable, stream=stream)
            alive.append(at.owner)
            setattr(struct, name, at.address or None)
    check(function(plan._handle, buffers.ref, byref(struct), stream))


class Conversions:
    """The two calls, which Plan has."""

    def load(self, buffers: Buffers, *, param: ArrayLike = None, exp_avg: ArrayLike = None, exp_avg_sq: ArrayLike = None,
             stream: int = 0) -> None:
        """float32 arrays to the plan's dtypes, rounded to nearest; None leaves that buffer alone. With as_list: a list
        with an array, an address or None per segment. Where exp_avg_sq is loaded units become 1; running sums stay as
        they are: rebuild_state."""
        _convert(self, lib.swd_state_load, buffers, (param, exp_avg, exp_avg_sq), False, stream)

    def store(self, buffers: Buffers, *, param: ArrayLike = None, exp_avg: ArrayLike = None, exp_avg_sq: ArrayLike = None,
              stream: int = 0) -> None:
        """And back, exactly: fills float32 arrays with what a step would compute with."""
        _convert(self, lib.swd_state_store, buffers, (param, exp_avg, exp_avg_sq), True, stream)
