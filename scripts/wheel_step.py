# SPDX-License-Identifier: Apache-2.0
"""Steps of an installed package, for wheel_test.sh. Usage: wheel_step.py cpu|cuda|torch. Needs nothing but Python, the
package and what the argument names. On CUDA the result has to be that of the CPU, to the bit."""
import ctypes
import sys

import swd

COUNT = 10000


class DeviceArray:
    """A copy of a ctypes array in device memory, of the runtime that is loaded here."""

    def __init__(self, runtime, values):
        self.copy, self.bytes, pointer = runtime.cudaMemcpy, ctypes.c_size_t(ctypes.sizeof(values)), ctypes.c_void_p()
        assert runtime.cudaMalloc(ctypes.byref(pointer), self.bytes) == 0
        self.pointer, kind = pointer, "<f4" if values._type_ is ctypes.c_float else "|u1"
        self.__cuda_array_interface__ = {"data": (pointer.value, False), "shape": (len(values),), "typestr": kind, "version": 3}
        assert self.copy(pointer, values, self.bytes, 1) == 0  # cudaMemcpyHostToDevice

    def read(self, values):
        assert self.copy(values, self.pointer, self.bytes, 2) == 0  # cudaMemcpyDeviceToHost


def train(backend):
    """Three steps; returns the parameters."""
    plan = swd.Plan([COUNT], backend=backend)
    kinds = {"param": [1 + i / COUNT for i in range(COUNT)], "grad": [i % 7 - 2.5 for i in range(COUNT)],
             "exp_avg": [0.0] * COUNT, "exp_avg_sq": [0.0] * COUNT}
    arrays = {name: (ctypes.c_float * COUNT)(*values) for name, values in kinds.items()}
    param = arrays["param"]
    if backend == "cuda":
        arrays["state"] = (ctypes.c_uint8 * plan.state_bytes)()
        arrays["workspace"] = (ctypes.c_uint8 * plan.workspace_bytes)()
        runtime = ctypes.CDLL("libcudart.so.13")
        arrays = {name: DeviceArray(runtime, values) for name, values in arrays.items()}
    else:
        arrays["state"], arrays["workspace"] = swd.host_bytes(plan.state_bytes), swd.host_bytes(plan.workspace_bytes)
    streams = {"stream": 0}
    plan.init_workspace(arrays["workspace"])
    buffers = plan.buffers(**arrays)
    for _ in range(3):
        plan.step(buffers, plan.args(swd.Group(lr=1e-2, weight_decay=1e-2), max_grad_norm=1.0))
    if backend == "cuda":
        arrays["param"].read(param)
    return bytes(param)


def train_torch():
    import swd.torch
    import torch
    torch.manual_seed(1)
    x, layer = torch.randn(64, 8), torch.nn.Linear(8, 1)
    optimizer = swd.torch.AdamS(layer.parameters(), lr=1e-2, decay="relative", weight_decay=0.1, max_grad_norm=1.0)
    losses = []
    for _ in range(50):
        loss = (layer(x) - x.sum(1, keepdim=True)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2, losses
    print(f"torch {torch.__version__}: loss {losses[0]:.3f} to {losses[-1]:.3f}")


if sys.argv[1] == "torch":
    train_torch()
else:
    host = train("cpu")
    assert host != bytes((ctypes.c_float * COUNT)(*[1 + i / COUNT for i in range(COUNT)]))
    if sys.argv[1] == "cuda":
        assert train("cuda") == host, "CUDA and CPU differ"
    print(f"{sys.argv[1]}: three steps of {COUNT} elements, swd {swd.__version__}")
