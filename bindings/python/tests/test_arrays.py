# SPDX-License-Identifier: Apache-2.0
"""Everything that says where it lies is taken; what does not fit is refused by name."""
import ctypes

import numpy as np
import pytest
import torch

import swd
from model import Model
from swd import _dlpack
from swd._arrays import describe, locate


class OldCapsule:
    """A DLPack producer from before DLPack 1.0."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self):
        return self.array.__dlpack__()

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


class NewCapsule(OldCapsule):
    """Only DLPack, in the form with a version."""

    def __dlpack__(self, *, max_version=None, stream=None):
        return self.array.__dlpack__(max_version=max_version)


class CudaArray:
    def __init__(self, address, count, typestr="<f4", read_only=False, stream=None, strides=None):
        self.__cuda_array_interface__ = {"shape": (count,), "typestr": typestr, "data": (address, read_only),
                                         "version": 3, "strides": strides, "stream": stream}


KINDS = {
    "numpy": lambda a: a,
    "torch": torch.from_numpy,
    "dlpack_old": OldCapsule,
    "dlpack_new": NewCapsule,
    "buffer": lambda a: (ctypes.c_char * a.nbytes).from_buffer(a),
    "memoryview": memoryview,
    "address": lambda a: a.ctypes.data,
}


@pytest.mark.parametrize("as_list", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_array_gives_the_same_step(kind, as_list):
    one, two = Model([5, 300], as_list), Model([5, 300], as_list)
    if as_list:
        for name in two.arrays:
            pieces = [KINDS[kind](piece) for piece in two.pieces(two.arrays[name])]
            two.plan.set_pointers(two.workspace, swd.Buffer[name.upper()], pieces)
    else:
        arrays = {name: KINDS[kind](array) for name, array in two.arrays.items()}
        two.buffers = two.plan.buffers(state=KINDS[kind](np.frombuffer(two.state, np.uint8)),
                                       workspace=two.workspace, **arrays)
    for step in range(3):
        one.step(step)
        two.step(step)
    assert one.bits() == two.bits() and one.plan.get_state(one.state, 1).step == 3


def test_descriptions_agree():
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    found = [describe(KINDS[kind](array), "x") for kind in ("numpy", "torch", "dlpack_old", "dlpack_new")]
    assert {(f.address, f.bytes, f.dtype, f.on_cuda) for f in found} == {(array.ctypes.data, 48, "float32", False)}
    assert describe(torch.ones(3).bfloat16(), "x").dtype == "bfloat16"
    assert describe(NewCapsule(torch.ones(3).bfloat16()), "x").dtype == "bfloat16"
    assert describe(NewCapsule(np.ones(3, np.float16)), "x").dtype == "float16"
    assert describe(CudaArray(4096, 5), "x") [:4] == (4096, 20, "float32", True)


class Offset:
    """A DLPack producer whose tensor starts behind its data pointer, as JAX and TVM may have it."""

    def __init__(self, array, skip):
        self.array, self.managed = array, (ctypes.c_char * 128)()
        self.shape, self.tensor = (ctypes.c_int64 * 1)(array.size - skip), _dlpack._Tensor.from_buffer(self.managed)
        self.tensor.data, self.tensor.device_type, self.tensor.ndim = array.ctypes.data, 1, 1
        self.tensor.dtype.code, self.tensor.dtype.bits, self.tensor.dtype.lanes = 2, 32, 1
        self.tensor.shape, self.tensor.byte_offset = self.shape, 4 * skip

    def __dlpack__(self, **_):
        new = ctypes.pythonapi.PyCapsule_New
        new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
        return new(ctypes.addressof(self.managed), b"dltensor", None)

    def __dlpack_device__(self):
        return 1, 0


def test_dlpack_byte_offset():
    array = np.arange(10, dtype=np.float32)
    found = describe(Offset(array, 3), "x")
    assert found[:4] == (array.ctypes.data + 12, 28, "float32", False)


def test_memory_stays_alive():
    model = Model([4])
    model.buffers = model.plan.buffers(param=NewCapsule(np.ones(4, np.float32)), grad=np.ones(4, np.float32),
                                       exp_avg=torch.zeros(4), exp_avg_sq=torch.zeros(4), state=model.state,
                                       workspace=model.workspace)
    for _ in range(100):
        np.full(4, 7.0, np.float32)
    model.plan.step(model.buffers, model.args)
    assert model.plan.stats(model.workspace).grad_norm == 2.0


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


FOUR = np.zeros(4, np.float32)
BAD = [
    (np.zeros(4), TypeError, "param: dtype is float64, expected float32"),
    (torch.zeros(4).bfloat16(), TypeError, "param: dtype is bfloat16, expected float32"),
    (torch.zeros(4, dtype=torch.complex64), TypeError, "param: dtype complex64 is not supported"),
    (np.zeros(4, np.complex64), TypeError, "param: dtype <c8 is not supported"),
    (np.zeros(3, np.float32), ValueError, "param: has 12 bytes, but 16 are needed"),
    (np.zeros((4, 2), np.float32)[:, 0], ValueError, "param: the array is not contiguous"),
    (torch.zeros(4, 2)[:, 0], ValueError, "param: the array is not contiguous"),
    (NewCapsule(torch.zeros(4, 2)[:, 0]), ValueError, "param: the array is not contiguous"),
    (read_only(FOUR), ValueError, "param: the array is read-only"),
    (bytes(16), ValueError, "param: the buffer is read-only"),
    (memoryview(bytearray(64))[::2], ValueError, "param: the buffer is not contiguous"),
    (CudaArray(4096, 4), ValueError, "param: lies in CUDA device memory, but the plan computes in host memory"),
    (torch.zeros(4, device="meta"), TypeError, "param: device meta"),
    (torch.eye(2).to_sparse(), TypeError, "param: layout torch.sparse_coo"),
    ("text", TypeError, "param: str has none of"),
    (object(), TypeError, "param: object has none of"),
]


@pytest.mark.parametrize("array, kind, message", BAD, ids=[row[2][:50] for row in BAD])
def test_arrays_that_do_not_fit(array, kind, message):
    model = Model([4])
    with pytest.raises(kind, match=message):
        model.plan.buffers(**{**model.arrays, "param": array}, state=model.state, workspace=model.workspace)


def test_gradients_may_be_read_only():
    model = Model([4])
    model.plan.buffers(**{**model.arrays, "grad": read_only(FOUR)}, state=model.state, workspace=model.workspace)
    assert locate(read_only(FOUR), "x", writable=False).read_only


def test_cuda_arrays_in_use_on_another_stream_are_refused():
    """Nobody here can make one stream wait for another, so the caller has to say that they are the same."""
    array = CudaArray(4096, 4, stream=77)
    with pytest.raises(ValueError, match="x: the array is in use on stream 77, but the call is for stream 1"):
        locate(array, "x", cuda=True)
    assert locate(array, "x", cuda=True, stream=77).address == 4096
    assert locate(CudaArray(4096, 4, stream=1), "x", cuda=True).address == 4096  # 1 is the legacy default stream: 0


def test_host_arrays_are_refused_by_cuda_plans():
    with pytest.raises(ValueError, match="x: lies in host memory, but the plan computes in CUDA device memory"):
        locate(FOUR, "x", cuda=True)


def test_host_bytes_are_zero_and_aligned():
    for count in (0, 1, 16, 1000):
        memory = swd.host_bytes(count)
        assert len(memory) == count and not any(bytes(memory))
        assert count == 0 or ctypes.addressof(memory) % 16 == 0
