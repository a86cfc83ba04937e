# SPDX-License-Identifier: Apache-2.0
"""The low level on CUDA memory: data_ptr(), __cuda_array_interface__ and DLPack, streams, statistics. Selected where
there is a device."""
import numpy as np
import pytest
import torch

import swd
from model import Model

pytestmark = pytest.mark.cuda


class Interface:
    """Only __cuda_array_interface__."""

    def __init__(self, tensor):
        self.tensor, self.__cuda_array_interface__ = tensor, tensor.__cuda_array_interface__


class Capsule:
    """Only DLPack."""

    def __init__(self, tensor):
        self.tensor = tensor

    def __dlpack__(self, *, stream=None, max_version=None):
        return self.tensor.__dlpack__(stream=stream)

    def __dlpack_device__(self):
        return self.tensor.__dlpack_device__()


KINDS = {"data_ptr": lambda t: t, "interface": Interface, "dlpack": Capsule, "address": lambda t: t.data_ptr()}


@pytest.mark.parametrize("other_stream", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_cuda_arrays_give_the_bits_of_the_cpu(kind, other_stream):
    host = Model([5, 300])
    tensors = {name: torch.from_numpy(array.copy()).cuda() for name, array in host.arrays.items()}
    plan = swd.Plan([5, 300], backend="cuda")
    assert plan.state_bytes == host.plan.state_bytes
    state = torch.from_numpy(np.zeros(plan.state_bytes, np.uint8)).cuda()
    workspace = torch.empty(plan.workspace_bytes, dtype=torch.uint8, device="cuda")
    torch.cuda.synchronize()
    queue = torch.cuda.Stream() if other_stream else torch.cuda.current_stream()
    stream = queue.cuda_stream
    plan.init_workspace(KINDS[kind](workspace) if kind != "address" else workspace, stream)
    buffers = plan.buffers(state=state, workspace=workspace, stream=stream,
                           **{name: KINDS[kind](tensor) for name, tensor in tensors.items()})
    args = plan.args(swd.Group(lr=0.01, weight_decay=0.01), max_grad_norm=1.0)
    for step in range(3):
        host.step(step)
        tensors["grad"].copy_(torch.from_numpy(host.grad))
        torch.cuda.synchronize()
        plan.step(buffers, args, stream)
        torch.cuda.synchronize()
    for name, tensor in tensors.items():
        assert np.array_equal(tensor.cpu().numpy(), host.arrays[name]), name
    assert state.cpu().numpy().tobytes() == bytes(host.state)
    assert plan.stats(workspace, stream, queue.synchronize) == host.plan.stats(host.workspace)
    with pytest.raises(TypeError, match="synchronize: a CUDA plan needs"):
        plan.stats(workspace, stream)


def test_host_and_device_memory_are_not_mixed_up():
    plan = swd.Plan([5], backend="cuda")
    with pytest.raises(ValueError, match="workspace: lies in host memory"):
        plan.init_workspace(np.zeros(plan.workspace_bytes, np.uint8))
    host = swd.Plan([5])
    with pytest.raises(ValueError, match="workspace: lies in CUDA device memory"):
        host.init_workspace(torch.empty(host.workspace_bytes, dtype=torch.uint8, device="cuda"))
