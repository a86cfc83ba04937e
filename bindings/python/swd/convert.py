# SPDX-License-Identifier: Apache-2.0
"""Between float32 arrays and what a plan stores: the function behind Plan.load and Plan.store."""
import ctypes
from ctypes import byref, c_void_p

from ._arrays import locate
from ._ffi import check, lib
from ._structs import Fp32ArraysStruct, PlanFlag


def _pointers(plan, name, arrays, writable, stream):
    """One address a segment, for a plan that is a list."""
    arrays = list(arrays)
    if len(arrays) != plan.segment_count:
        raise ValueError(f"{name} has {len(arrays)} arrays, but the plan has {plan.segment_count} segments")
    return (c_void_p * len(arrays))(*(
        array if array is None or type(array) is int else locate(
            array, f"{name}[{k}]", dtype="float32", cuda=plan.on_cuda, writable=writable, stream=stream).address
        for k, array in enumerate(arrays)))


def convert(plan, function, buffers, arrays, writable, stream):
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
