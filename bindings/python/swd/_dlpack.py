# SPDX-License-Identifier: Apache-2.0
"""Reads address, shape and dtype out of a DLPack capsule (both forms). Called by _arrays."""
from __future__ import annotations

import ctypes
from ctypes import POINTER, c_int32, c_int64, c_uint8, c_uint16, c_uint32, c_uint64, c_void_p
from typing import Any

CPU_DEVICES = (1, 3, 11)  # kDLCPU, kDLCUDAHost, kDLROCMHost
CUDA_DEVICES = (2, 13)    # kDLCUDA, kDLCUDAManaged
READ_ONLY = 1             # flag of the versioned form

_CODES = {(2, 32): "float32", (2, 16): "float16", (4, 16): "bfloat16", (2, 64): "float64", (0, 8): "int8",
          (1, 8): "uint8", (0, 16): "int16", (0, 32): "int32", (0, 64): "int64", (1, 64): "uint64", (6, 8): "bool"}


class _DataType(ctypes.Structure):
    _fields_ = [("code", c_uint8), ("bits", c_uint8), ("lanes", c_uint16)]


class _Tensor(ctypes.Structure):
    _fields_ = [("data", c_void_p), ("device_type", c_int32), ("device_id", c_int32), ("ndim", c_int32),
                ("dtype", _DataType), ("shape", POINTER(c_int64)), ("strides", POINTER(c_int64)),
                ("byte_offset", c_uint64)]


class _Versioned(ctypes.Structure):
    _fields_ = [("major", c_uint32), ("minor", c_uint32), ("manager_ctx", c_void_p), ("deleter", c_void_p),
                ("flags", c_uint64), ("tensor", _Tensor)]


_is_valid = ctypes.pythonapi.PyCapsule_IsValid
_is_valid.argtypes, _is_valid.restype = [ctypes.py_object, ctypes.c_char_p], ctypes.c_int
_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.argtypes, _pointer.restype = [ctypes.py_object, ctypes.c_char_p], c_void_p


def _capsule(obj: Any, stream: int) -> Any:
    on_cuda = obj.__dlpack_device__()[0] in CUDA_DEVICES
    # The producer makes `stream` wait for what it has pending. 0 is ambiguous there; 1 is the legacy default stream.
    arguments = {"stream": stream or 1} if on_cuda else {}
    try:
        return obj.__dlpack__(max_version=(1, 1), **arguments)
    except TypeError:  # a producer from before DLPack 1.0
        return obj.__dlpack__(**arguments)


def read(obj: Any, stream: int, name: str) -> tuple[int, tuple[int, ...], tuple[int, ...] | None, str, bool, bool, Any]:
    """(address, shape, strides in elements or None, dtype name, on_cuda, read_only, owner to keep alive).

    The capsule stays unconsumed: the producer's own destructor releases it with `owner`.
    """
    capsule = _capsule(obj, stream)
    read_only = False
    if _is_valid(capsule, b"dltensor_versioned"):
        managed = ctypes.cast(_pointer(capsule, b"dltensor_versioned"), POINTER(_Versioned)).contents
        if managed.major != 1:
            raise TypeError(f"{name}: DLPack version {managed.major}.{managed.minor} is not known here")
        tensor, read_only = managed.tensor, bool(managed.flags & READ_ONLY)
    else:
        tensor = ctypes.cast(_pointer(capsule, b"dltensor"), POINTER(_Tensor)).contents
    if tensor.device_type not in CPU_DEVICES + CUDA_DEVICES:
        raise TypeError(f"{name}: DLPack device type {tensor.device_type} is neither CPU nor CUDA")
    code = (tensor.dtype.code, tensor.dtype.bits)
    dtype = _CODES.get(code, f"DLPack type {code}") if tensor.dtype.lanes == 1 else "a vector type"
    shape = tuple(tensor.shape[i] for i in range(tensor.ndim))
    strides = tuple(tensor.strides[i] for i in range(tensor.ndim)) if tensor.strides else None
    address = (tensor.data or 0) + tensor.byte_offset
    return address, shape, strides, dtype, tensor.device_type in CUDA_DEVICES, read_only, capsule
