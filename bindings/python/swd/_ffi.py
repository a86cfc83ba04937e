# SPDX-License-Identifier: Apache-2.0
"""Loads the C library from this package, declares its functions, checks the structs, and turns a status into an Error."""
from __future__ import annotations

import ctypes
import os
from ctypes import POINTER, byref, c_char_p, c_double, c_int32, c_int64, c_uint32, c_uint64, c_void_p

from ._structs import (STRUCTS, BuffersStruct, Fp32ArraysStruct, PlanArgsStruct, SegmentState, StateHeader,
                       StatsStruct, StepArgsStruct)

# The version whose structs _structs.py declares. While 0.x a minor release may change them.
DECLARED_VERSION = (0, 2)


class Error(RuntimeError):
    """A call was refused. Nothing was changed.

    status: the number, as in swd.h. name: "SWD_ERR_...". detail: the library's line, which names the argument.
    cuda_error: the cudaError_t behind SWD_ERR_CUDA and SWD_ERR_NO_DEVICE, else 0. The codes that CUDA calls sticky end
    the process's use of the device; after any other a step can be tried again.
    """

    def __init__(self, status: int, name: str, detail: str, cuda_error: int = 0) -> None:
        super().__init__(f"{name}: {detail}" if detail else name)
        self.status, self.name, self.detail, self.cuda_error = status, name, detail, cuda_error

    def __reduce__(self) -> tuple[type[Error], tuple[int, str, str, int]]:
        return Error, (self.status, self.name, self.detail, self.cuda_error)


PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib", "libswd.so.%d.%d" % DECLARED_VERSION)


def _load() -> ctypes.CDLL:
    try:
        return ctypes.CDLL(PATH)
    except OSError as error:
        raise ImportError(f"cannot load {PATH}: {error}. Install the package with pip; a source tree has no library "
                          "in it.") from error


lib = _load()

_plan, _stream, _status = c_void_p, c_void_p, c_int32
_step = [_plan, POINTER(BuffersStruct), POINTER(StepArgsStruct)]
_SIGNATURES = {
    "swd_plan_args_init": [POINTER(PlanArgsStruct), c_uint64],
    "swd_plan_create": [POINTER(PlanArgsStruct), POINTER(_plan)],
    "swd_plan_destroy": [_plan],
    "swd_backend_available": [c_int32],
    "swd_workspace_size": [_plan, POINTER(c_uint64)],
    "swd_state_size": [_plan, POINTER(c_uint64)],
    "swd_scale_size": [_plan, POINTER(c_uint64)],
    "swd_scale_offset": [_plan, c_int64, POINTER(c_uint64)],
    "swd_workspace_init": [_plan, c_void_p, c_uint64, _stream],
    "swd_workspace_image": [_plan, c_void_p, c_uint64],
    "swd_set_pointers": [_plan, c_void_p, c_int32, c_int64, c_int64, c_void_p, _stream],
    "swd_buffers_init": [POINTER(BuffersStruct), c_uint64],
    "swd_step_args_init": [POINTER(StepArgsStruct), c_uint64],
    "swd_step": _step + [_stream],
    "swd_reduce": _step + [c_int32, c_int64, c_int64, _stream],
    "swd_record_size": [_plan, POINTER(c_uint64)],
    "swd_fold": _step + [c_int32, c_void_p, c_uint64, _stream],
    "swd_record_add": [_plan, c_void_p, c_void_p, c_uint64, _stream],
    "swd_decide": _step + [c_int32, c_void_p, c_uint64, _stream],
    "swd_update": _step + [_stream],
    "swd_discard": [_plan, c_void_p, c_uint64, _stream],
    "swd_stats_fetch": [_plan, c_void_p, POINTER(StatsStruct), c_uint64, c_void_p, _stream],
    "swd_stats_pointer": [_plan, c_void_p, POINTER(c_void_p)],
    "swd_copy_params": [_plan, POINTER(BuffersStruct), _stream],
    "swd_state_header_get": [_plan, c_void_p, c_uint64, POINTER(StateHeader), c_uint64],
    "swd_state_header_set": [_plan, c_void_p, c_uint64, POINTER(StateHeader), c_uint64],
    "swd_state_get": [_plan, c_void_p, c_uint64, c_int64, POINTER(SegmentState), c_uint64],
    "swd_state_set": [_plan, c_void_p, c_uint64, c_int64, POINTER(SegmentState), c_uint64],
    "swd_state_blob_size": [_plan, POINTER(c_uint64)],
    "swd_state_export": [_plan, c_void_p, c_uint64, c_void_p, c_uint64],
    "swd_state_import": [_plan, POINTER(c_void_p), POINTER(c_uint64), c_int64, c_void_p, c_uint64],
    "swd_state_rebuild": [_plan, POINTER(BuffersStruct), _stream],
    "swd_fp32_arrays_init": [POINTER(Fp32ArraysStruct), c_uint64],
    "swd_state_load": [_plan, POINTER(BuffersStruct), POINTER(Fp32ArraysStruct), _stream],
    "swd_state_store": [_plan, POINTER(BuffersStruct), POINTER(Fp32ArraysStruct), _stream],
}
for _name, _arguments in _SIGNATURES.items():
    getattr(lib, _name).argtypes = _arguments
    getattr(lib, _name).restype = _status
for _name, _arguments, _result in [
        ("swd_version", [], c_uint32), ("swd_version_string", [], c_char_p), ("swd_status_name", [_status], c_char_p),
        ("swd_result_name", [c_int32], c_char_p), ("swd_error_detail", [], c_char_p),
        ("swd_numerics_version", [], c_uint32), ("swd_cpu_isa", [], c_char_p), ("swd_cpu_threads", [], c_int32),
        ("swd_error_cuda", [], c_int32),
        ("swd_sizeof", [c_char_p], c_uint64), ("swd_weight_decay_from_adamw", [c_double, c_double], c_double),
        ("swd_weight_decay_to_adamw", [c_double, c_double], c_double)]:
    getattr(lib, _name).argtypes = _arguments
    getattr(lib, _name).restype = _result


_CUDA_FAILURES = (32, 41)  # SWD_ERR_NO_DEVICE, SWD_ERR_CUDA: only these set the thread's cudaError_t


def check(status: int) -> None:
    """Raises an Error unless status is SWD_OK."""
    if status:
        cuda_error = lib.swd_error_cuda() if status in _CUDA_FAILURES else 0
        raise Error(status, lib.swd_status_name(status).decode(), lib.swd_error_detail().decode(), cuda_error)


def _check_layout() -> None:
    version = lib.swd_version()
    found = (version // 10000, version // 100 % 100)
    if found != DECLARED_VERSION:
        raise ImportError(f"libswd.so is version {found[0]}.{found[1]}, but this package declares the structs of "
                          f"{DECLARED_VERSION[0]}.{DECLARED_VERSION[1]}")
    for name, struct in STRUCTS.items():
        theirs, ours = lib.swd_sizeof(name.encode()), ctypes.sizeof(struct)
        if theirs != ours:
            raise ImportError(f"struct {name} has {theirs} bytes in libswd.so and {ours} in this package")
    # The initialisers show that these members lie where they are expected.
    args = PlanArgsStruct()
    check(lib.swd_plan_args_init(byref(args), ctypes.sizeof(args)))
    stride = ctypes.sizeof(STRUCTS["swd_segment"])
    if (args.struct_size, args.backend, args.param_dtype, args.grad_dtype, args.segment_stride) != (
            ctypes.sizeof(args), 1, 1, 1, stride):
        raise ImportError("the members of swd_plan_args are not where this package expects them")
    step = StepArgsStruct()
    check(lib.swd_step_args_init(byref(step), ctypes.sizeof(step)))
    if (step.struct_size, step.group_stride) != (ctypes.sizeof(step), ctypes.sizeof(STRUCTS["swd_group"])):
        raise ImportError("the members of swd_step_args are not where this package expects them")


_check_layout()
