# SPDX-License-Identifier: Apache-2.0
"""The state image in host memory: header, entries, blobs. The functions behind Plan.get_state and its neighbours."""
import ctypes
from ctypes import byref, c_uint64, c_void_p

from ._arrays import locate
from ._ffi import check, lib
from ._structs import SegmentState, StateHeader


def _image(plan, image, writable):
    at = locate(image, "image", least_bytes=plan.state_bytes, cuda=False, writable=writable)
    return at.address or None, plan.state_bytes if at.bytes is None else at.bytes


def get_header(plan, image):
    out = StateHeader()
    address, size = _image(plan, image, False)
    check(lib.swd_state_header_get(plan._handle, address, size, byref(out), ctypes.sizeof(out)))
    return out


def set_header(plan, image, members):
    header = get_header(plan, image)
    for name, value in members.items():
        if name not in (field for field, _ in StateHeader._fields_):
            raise TypeError(f"{name}: a state header has no such member")
        setattr(header, name, value)
    address, size = _image(plan, image, True)
    check(lib.swd_state_header_set(plan._handle, address, size, byref(header), ctypes.sizeof(header)))


def get(plan, image, segment):
    out = SegmentState()
    address, size = _image(plan, image, False)
    check(lib.swd_state_get(plan._handle, address, size, segment, byref(out), ctypes.sizeof(out)))
    return out


def set_(plan, image, segment, step, exp_avg_sq_sum, exp_avg_sq_unit):
    entry = SegmentState(step, exp_avg_sq_sum, exp_avg_sq_unit, 0)
    address, size = _image(plan, image, True)
    check(lib.swd_state_set(plan._handle, address, size, segment, byref(entry), ctypes.sizeof(entry)))


def export(plan, image):
    needed = c_uint64()
    check(lib.swd_state_blob_size(plan._handle, byref(needed)))
    blob = ctypes.create_string_buffer(needed.value)
    address, size = _image(plan, image, False)
    check(lib.swd_state_export(plan._handle, address, size, blob, needed.value))
    return blob.raw


def import_(plan, blobs, image):
    blobs = [bytes(b) for b in ([blobs] if isinstance(blobs, (bytes, bytearray, memoryview)) else blobs)]
    pointers = (c_void_p * len(blobs))(*(ctypes.cast(b, c_void_p).value for b in blobs))
    sizes = (c_uint64 * len(blobs))(*(len(b) for b in blobs))
    address, size = _image(plan, image, True)
    check(lib.swd_state_import(plan._handle, pointers, sizes, len(blobs), address, size))
