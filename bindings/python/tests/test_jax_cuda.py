# SPDX-License-Identifier: Apache-2.0
"""The custom calls of libswd_jax on CUDA memory: called as XLA calls them (jax_frame.c), with the bits of the CPU's. JAX itself
is not used: it needs a driver. Selected where there is a device, real or simulated."""
import ctypes
import importlib.util
import os
import subprocess

import numpy as np
import pytest
import torch

import swd

pytestmark = pytest.mark.cuda
COUNTS, FLAGS = [5000, 7, 0, 300], [0, swd.SegmentFlag.NO_DECAY, 0, 0]
DTYPES = {"bool": 1, "int32": 4, "int64": 5, "uint8": 6, "float32": 11, "float64": 12}  # of xla/ffi/api/c_api.h
TORCH = {"float32": torch.float32, "uint8": torch.uint8}


class Array(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("count", ctypes.c_int64), ("dtype", ctypes.c_int64)]


class Attribute(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("value", Array), ("is_array", ctypes.c_int64)]


@pytest.fixture(scope="module")
def handlers(tmp_path_factory):
    """call(name, inputs, outputs, attributes): arrays of numpy, or tensors."""
    frame = str(tmp_path_factory.mktemp("frame") / "frame.so")
    headers = importlib.util.find_spec("jaxlib").submodule_search_locations[0] + "/include"
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "jax_frame.c")
    subprocess.run(["cc", "-std=gnu11", "-shared", "-fPIC", "-I", headers, source, "-o", frame], check=True)
    caller = ctypes.CDLL(frame).call_handler
    caller.restype = ctypes.c_char_p
    library = ctypes.CDLL(os.path.join(os.path.dirname(swd.library_path), "libswd_jax.so"))

    def array(value):
        if isinstance(value, np.ndarray):
            return Array(value.ctypes.data, value.size, DTYPES[str(value.dtype)])
        return Array(value.data_ptr(), value.numel(), DTYPES[str(value.dtype).split(".")[1]])

    def call(name, inputs, outputs, attributes, stream=0):
        ins, outs = ((Array * len(arrays))(*map(array, arrays)) for arrays in (inputs, outputs))
        kept = {key: np.asarray(value) for key, value in sorted(attributes.items())}
        given = (Attribute * len(kept))(*(Attribute(key.encode(), array(value), value.ndim) for key, value in kept.items()))
        said = caller(getattr(library, "swd_jax_" + name), ctypes.c_void_p(stream), ins, ctypes.c_int64(len(ins)), outs,
                      ctypes.c_int64(len(outs)), given, ctypes.c_int64(len(given)))
        if said is not None:
            raise RuntimeError(said.decode())

    return call


class Model:
    """Tensors, state and a fresh workspace, where the backend computes."""

    def __init__(self, call, backend):
        self.plan = swd.Plan([swd.Segment(n, flags=f) for n, f in zip(COUNTS, FLAGS)], backend=backend, decay="relative",
                             as_list=True)
        self.call, self.backend = call, backend
        random = np.random.default_rng(3)
        draw = lambda: [random.standard_normal(n).astype(np.float32) for n in COUNTS]
        self.tensors = [self.put(a) for a in draw() + [np.zeros(n, np.float32) for n in 2 * COUNTS]]
        self.grads = [[self.put(a) for a in draw()] for _ in range(4)]
        self.state, self.rate = self.put(np.zeros(self.plan.state_bytes, np.uint8)), self.put(np.array([1e-2], np.float32))
        self.attributes = dict(
            counts=np.array(COUNTS, np.int64), flags=np.array(FLAGS, np.int64), decay=np.int32(swd.Decay.RELATIVE),
            grad_dtype=np.int32(swd.Dtype.F32), lr=np.float64(0), lr_is_input=np.bool_(True), beta1=np.float64(0.9),
            beta2=np.float64(0.999), eps=np.float64(1e-8), weight_decay=np.float64(0.5), max_grad_norm=np.float64(1.0),
            max_decay=np.float64(0.1), reference_step=np.int64(2))

    def put(self, array):
        return array if self.backend == "cpu" else torch.from_numpy(array).cuda()

    def workspace(self):
        return self.put(np.frombuffer(self.plan.workspace_image(), np.uint8).copy())

    def run(self, name, inputs, outputs, stream=0):
        self.call(f"{name}_{self.backend}", inputs, outputs, self.attributes, stream)

    def step(self, grads, workspace=None, stream=0):
        workspace = self.workspace() if workspace is None else workspace
        self.run("step", [self.rate, self.state, workspace, *grads, *self.tensors], [self.state, workspace, *self.tensors],
                 stream)

    def shared_step(self, grads, others=2):
        """As one of several devices that all hold the same."""
        workspace, record = self.workspace(), self.put(np.zeros(8 * self.plan.record_doubles, np.uint8))
        inputs = [self.rate, self.state, workspace, *grads, *self.tensors]
        self.run("reduce", inputs, [record, workspace])
        records = self.put(np.tile(self.host([record])[0], others))
        self.run("update", inputs + [records], [self.state, workspace, *self.tensors, records])

    def rebuild(self):
        workspace = self.workspace()
        self.run("rebuild", [self.rate, self.state, workspace, *self.grads[0], *self.tensors], [self.state, workspace])

    def host(self, arrays):
        return arrays if self.backend == "cpu" else [a.cpu().numpy() for a in arrays]

    def bits(self):
        return [a.tobytes() for a in self.host([self.state, *self.tensors])]


def test_the_calls_on_cuda_give_the_bits_of_the_cpu(handlers):
    cpu, cuda = Model(handlers, "cpu"), Model(handlers, "cuda")
    start = cpu.bits()
    for way, which in (("step", 0), ("step", 1), ("shared_step", 2), ("rebuild", None), ("step", 3)):
        for model in (cpu, cuda):
            getattr(model, way)(*([] if which is None else [model.grads[which]]))
        assert cpu.bits() == cuda.bits() != start, way
    header = cpu.plan.get_header(cpu.state)
    assert header.steps_applied == 4 and header.vbar_reference > 0


def test_the_step_is_in_the_stream_of_xla(handlers):
    """A captured step happens when the graph is launched."""
    cpu, cuda = Model(handlers, "cpu"), Model(handlers, "cuda")
    start, workspace = cuda.bits(), cuda.workspace()
    torch.cuda.synchronize()
    graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream()
    with torch.cuda.graph(graph, stream=stream):
        cuda.step(cuda.grads[0], workspace, stream.cuda_stream)
    assert cuda.bits() == start
    graph.replay()
    torch.cuda.synchronize()
    cpu.step(cpu.grads[0])
    assert cuda.bits() == cpu.bits()


def test_what_is_wrong_is_said_on_cuda(handlers):
    model = Model(handlers, "cuda")
    before, workspace = model.bits(), model.workspace()
    inputs, outputs = [model.rate, model.state, workspace, *model.grads[0], *model.tensors], [model.state, workspace]
    with pytest.raises(RuntimeError, match="call with input_output_aliases"):
        model.run("step", inputs, outputs + [t.clone() for t in model.tensors])
    with pytest.raises(RuntimeError, match="the leaves are not 4 for each count"):
        model.run("step", inputs[:-1], outputs + model.tensors)
    with pytest.raises(RuntimeError, match="a leaf has another size or dtype"):
        model.run("step", inputs[:3] + inputs[4:5] + inputs[3:4] + inputs[5:], outputs + model.tensors)
    model.attributes["beta1"] = np.float64(1.5)
    with pytest.raises(RuntimeError, match="SWD_ERR_VALUE: .*beta1"):
        model.run("step", inputs, outputs + model.tensors)
    assert model.bits() == before
