# SPDX-License-Identifier: Apache-2.0
"""Runs PyTorch's CUDA tensors on a simulator of the CUDA runtime, for machines without a device. Used by conftest where
SWD_SIMULATED_CUDA is set.

The simulator (preloaded as libcudart) gives device memory, streams and graphs, and executes the PTX of libswd.
PyTorch's own kernels come without PTX. So each of its operations on CUDA tensors is done on the host instead: whole
storages are copied over, the operation runs on the CPU, what it wrote is copied back. Views and allocations are
PyTorch's own. Inside a graph capture such a copy fails, which shows that a captured step consists of libswd's kernels.
"""
import ctypes
import os
import subprocess

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only, tree_map

# What PyTorch asks the driver for when it starts; the simulator has no driver.
_DRIVER = """
int cuInit(unsigned flags) { return 0; }
int cuDeviceGet(int* device, int ordinal) { *device = ordinal; return 0; }
int cuDevicePrimaryCtxRetain(void** context, int device) { *context = (void*)16; return 0; }
int cuDevicePrimaryCtxGetState(int device, unsigned* flags, int* active) { *flags = 0; *active = 1; return 0; }
int cuCtxGetCurrent(void** context) { *context = (void*)16; return 0; }
int cuCtxSetCurrent(void* context) { return 0; }
int cuGetErrorString(int error, const char** text) { *text = "not simulated"; return 0; }
int cuDeviceGetAttribute(int* value, int attribute, int device) { *value = 0; return 0; }
int cuPointerGetAttribute(void* data, int attribute, void* pointer) { return 1; }
"""
_UNUSED = """cuModuleLoadData cuModuleLoadDataEx cuModuleLoad cuModuleUnload cuModuleGetFunction cuLaunchKernel
cuLaunchCooperativeKernel cuLinkCreate_v2 cuLinkAddData_v2 cuLinkComplete cuFuncSetCacheConfig cuFuncSetAttribute
cuFuncGetAttribute cuTensorMapEncodeTiled cuOccupancyMaxActiveBlocksPerMultiprocessor""".split()


def load_driver(folder):
    """Compiles and loads a libcuda.so.1 that says yes."""
    source, library = os.path.join(folder, "driver.c"), os.path.join(folder, "libcuda.so.1")
    with open(source, "w", encoding="ascii") as file:
        file.write(_DRIVER + "".join(f"int {name}(void) {{ return 801; }}\n" for name in _UNUSED))
    subprocess.run(["cc", "-shared", "-fPIC", "-w", source, "-o", library, "-Wl,-soname,libcuda.so.1"], check=True)
    ctypes.CDLL(library, mode=ctypes.RTLD_GLOBAL)


_NATIVE = {torch.ops.aten.empty.memory_format, torch.ops.aten.empty_strided.default, torch.ops.aten.set_.source_Storage,
           torch.ops.aten.set_.source_Storage_storage_offset, torch.ops.aten.record_stream.default,
           torch.ops.aten.resize_.default, torch.ops.aten.detach.default, torch.ops.aten.is_pinned.default}


def _raw(tensor):
    """The whole storage of a tensor as bytes."""
    return torch.empty(0, dtype=torch.uint8, device=tensor.device).set_(tensor.untyped_storage())


def _waits_for_the_device(func, args, kwargs):
    """Whether PyTorch itself would wait for the device: in both directions a copy does, unless told that it need not."""
    if func == torch.ops.aten._to_copy.default:
        goes_to = torch.device(kwargs.get("device") or args[0].device).type
        return goes_to != args[0].device.type and not kwargs.get("non_blocking")
    if func == torch.ops.aten.copy_.default:
        return args[0].is_cuda != args[1].is_cuda and not (kwargs.get("non_blocking") or args[2:] == (True,))
    return func in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.equal.default) and args[0].is_cuda


class OnHost(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func in _NATIVE or func.is_view:
            return func(*args, **kwargs)
        debug = torch.cuda.get_sync_debug_mode()
        if debug == 2 and _waits_for_the_device(func, args, kwargs):
            raise RuntimeError(f"called a synchronizing CUDA operation: {func}")
        if debug == 0:
            return self._on_host(func, args, kwargs)
        torch._C._cuda_set_sync_debug_mode(0)  # our own copies are not meant
        try:
            return self._on_host(func, args, kwargs)
        finally:
            torch._C._cuda_set_sync_debug_mode(debug)

    @staticmethod
    def _on_host(func, args, kwargs):
        storages, copies = {}, {}

        def to_host(tensor):
            if tensor.device.type != "cuda":
                return tensor
            key = tensor.untyped_storage().data_ptr()
            if key not in storages:
                raw = _raw(tensor)
                host = torch.empty(raw.numel(), dtype=torch.uint8)
                host.copy_(raw)
                storages[key] = (raw, host)
            host = torch.empty(0, dtype=tensor.dtype).set_(
                storages[key][1].untyped_storage(), tensor.storage_offset(), tensor.shape, tensor.stride())
            copies[id(host)] = (tensor, host)
            return host

        args, kwargs = tree_map_only(torch.Tensor, to_host, (args, kwargs))
        target = kwargs.get("device")
        device = torch.device(target) if target is not None else next((t.device for t, _ in copies.values()), None)
        on_cuda = device is not None and device.type == "cuda"
        if on_cuda or target is not None:
            kwargs["device" if "device" in kwargs else "_"] = torch.device("cpu")
            kwargs.pop("_", None)
        out = func(*args, **kwargs)
        if func._schema.is_mutable:
            for raw, host in storages.values():
                raw.copy_(host)

        def to_device(value):
            if not isinstance(value, torch.Tensor):
                return value
            if id(value) in copies:
                return copies[id(value)][0]
            if not on_cuda or value.device.type == "cuda" or func._schema.is_mutable:
                return value
            out = torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device=device)
            if value.numel():
                _raw(out)[:value.untyped_storage().nbytes()].copy_(_raw(value)[:_raw(out).numel()])
            return out

        return tree_map(to_device, out)
