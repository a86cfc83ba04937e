# SPDX-License-Identifier: Apache-2.0
"""Where an array lies: one description for torch tensors, CUDA arrays, DLPack, numpy and plain buffers. Used by plan,
buffers and state."""
from __future__ import annotations

import ctypes
from typing import Any, Mapping, NamedTuple, Sequence

from . import _dlpack

ITEM_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "float64": 8, "int8": 1, "uint8": 1, "int16": 2, "int32": 4,
              "int64": 8, "uint64": 8, "bool": 1}
_TYPESTR = {"<f4": "float32", "<f2": "float16", "<f8": "float64", "|u1": "uint8", "|i1": "int8", "<i2": "int16",
            "<i4": "int32", "<i8": "int64", "<u8": "uint64", "|b1": "bool"}


# Anything that says where it lies: see describe().
ArrayLike = Any


class Array(NamedTuple):
    """A contiguous run of memory. dtype is None where the object does not say it (an integer address, raw bytes)."""
    address: int
    bytes: int | None     # None: unknown
    dtype: str | None     # None: any
    on_cuda: bool | None  # None: unknown
    read_only: bool
    owner: Any  # keeps the memory alive


def _contiguous(shape: Sequence[int], strides: Sequence[int] | None, item: int) -> bool:
    """Whether strides (in bytes) are those of a C-contiguous array; None means that they are."""
    if strides is None or 0 in shape:
        return True
    expected = item
    for size, stride in zip(reversed(shape), reversed(strides)):
        if size != 1 and stride != expected:
            return False
        expected *= size
    return True


def _count(shape: Sequence[int]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


def _array(name: str, address: int | None, shape: Sequence[int], strides: Sequence[int] | None, dtype: str,
           on_cuda: bool, read_only: bool, owner: Any) -> Array:
    item = ITEM_BYTES.get(dtype)
    if item is None:
        raise TypeError(f"{name}: dtype {dtype} is not supported")
    if not _contiguous(shape, strides, item):
        raise ValueError(f"{name}: the array is not contiguous")
    return Array(address or 0, item * _count(shape), dtype, on_cuda, read_only, owner)


def _from_torch(tensor: Any, name: str) -> Array:
    device = tensor.device.type
    if device not in ("cpu", "cuda"):
        raise TypeError(f"{name}: device {device} is neither cpu nor cuda")
    if "strided" not in str(tensor.layout):
        raise TypeError(f"{name}: layout {tensor.layout} is not supported, expected a dense tensor")
    dtype = str(tensor.dtype).removeprefix("torch.")
    item = ITEM_BYTES.get(dtype, 1)
    strides = tuple(item * s for s in tensor.stride())
    return _array(name, tensor.data_ptr(), tuple(tensor.shape), strides, dtype, device == "cuda", False, tensor)


def _from_interface(interface: Mapping[str, Any], on_cuda: bool, owner: Any, stream: int, name: str) -> Array:
    address, read_only = interface["data"] if interface["data"] is not None else (0, False)
    wanted = interface.get("stream") if on_cuda else None
    if wanted is not None and wanted != (stream or 1):
        raise ValueError(f"{name}: the array is in use on stream {wanted}, but the call is for stream {stream or 1}. "
                         "Pass that stream, or synchronise and export the array without one")
    typestr = interface["typestr"]
    dtype = _TYPESTR.get(typestr, typestr)
    if typestr == "<V2" and getattr(getattr(owner, "dtype", None), "name", "") == "bfloat16":
        dtype = "bfloat16"  # ml_dtypes: numpy itself has no name for it
    return _array(name, address, tuple(interface["shape"]), interface.get("strides"), dtype, on_cuda, read_only, owner)


def _from_buffer(obj: Any, name: str) -> Array:
    view = memoryview(obj)
    if not view.c_contiguous:
        raise ValueError(f"{name}: the buffer is not contiguous")
    view = view.cast("B")
    if view.readonly:
        raise ValueError(f"{name}: the buffer is read-only")
    address = ctypes.addressof(ctypes.c_char.from_buffer(view)) if view.nbytes else 0
    return Array(address, view.nbytes, None, False, False, view)


def describe(obj: Any, name: str, stream: int = 0) -> Array:
    """The Array of anything that says where it lies; an int is taken as an address. `name` is for messages."""
    if obj is None:
        return Array(0, 0, None, None, False, None)
    if isinstance(obj, Array):
        return obj
    if isinstance(obj, int):
        return Array(obj, None, None, None, False, None)
    if hasattr(obj, "data_ptr"):
        return _from_torch(obj, name)
    if hasattr(obj, "__cuda_array_interface__"):
        return _from_interface(obj.__cuda_array_interface__, True, obj, stream, name)
    if hasattr(obj, "__array_interface__"):
        return _from_interface(obj.__array_interface__, False, obj, stream, name)
    if hasattr(obj, "__dlpack__"):
        address, shape, strides, dtype, on_cuda, read_only, owner = _dlpack.read(obj, stream, name)
        item = ITEM_BYTES.get(dtype, 1)
        strides = strides and tuple(item * s for s in strides)
        return _array(name, address, shape, strides, dtype, on_cuda, read_only, (owner, obj))
    try:
        return _from_buffer(obj, name)
    except TypeError:
        raise TypeError(f"{name}: {type(obj).__name__} has none of data_ptr(), __cuda_array_interface__, "
                        "__array_interface__, __dlpack__ and the buffer protocol") from None


def locate(obj: Any, name: str, *, dtype: str | None = None, least_bytes: int = 0, cuda: bool = False,
           writable: bool = True, stream: int = 0) -> Array:
    """describe(), and the checks that a call needs: dtype, size, device, writable."""
    array = describe(obj, name, stream)
    if array.owner is None:
        return array  # NULL or a bare address: the library checks what can be checked
    if dtype is not None and array.dtype not in (None, dtype):
        raise TypeError(f"{name}: dtype is {array.dtype}, expected {dtype}")
    if array.on_cuda is not None and array.on_cuda != cuda:
        where = ("host", "CUDA device")
        raise ValueError(f"{name}: lies in {where[array.on_cuda]} memory, but the plan computes in {where[cuda]} memory")
    if array.bytes is not None and array.bytes < least_bytes:
        raise ValueError(f"{name}: has {array.bytes} bytes, but {least_bytes} are needed")
    if writable and array.read_only:
        raise ValueError(f"{name}: the array is read-only, but the call writes it")
    return array


def host_bytes(count: int, alignment: int = 16) -> ctypes.Array[ctypes.c_char]:
    """Zeroed host memory, aligned: what a state image or a CPU workspace needs. A ctypes array."""
    memory = (ctypes.c_char * (count + alignment))()
    shift = -ctypes.addressof(memory) % alignment
    return (ctypes.c_char * count).from_buffer(memory, shift)
