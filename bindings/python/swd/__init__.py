# SPDX-License-Identifier: Apache-2.0
"""libswd: one complete step of Adam with Scheduled Weight Decay (SWD, "AdamS"), on CPU and CUDA, with the same bits.

    swd.torch.AdamS     a torch.optim.Optimizer; ``import swd`` alone never imports torch
    swd.jax.adams       the same for JAX, with optax's interface
    swd.Plan            the library's own calls, over any array that says where it lies
    python -m swd       what can run here, and where the C header and library of this package are

A first use without torch::

    import numpy, swd
    plan = swd.Plan([1000])                                  # one segment of 1,000 float32
    zeros = lambda: numpy.zeros(1000, numpy.float32)
    param, grad, exp_avg, exp_avg_sq = zeros(), zeros() + 1, zeros(), zeros()
    state, workspace = swd.host_bytes(plan.state_bytes), swd.host_bytes(plan.workspace_bytes)
    plan.init_workspace(workspace)
    buffers = plan.buffers(param=param, grad=grad, exp_avg=exp_avg, exp_avg_sq=exp_avg_sq, state=state,
                           workspace=workspace)
    plan.step(buffers, plan.args(swd.Group(lr=1e-3, weight_decay=1e-4), max_grad_norm=1.0))
    print(plan.stats(workspace).grad_norm)

Rules for every call: streams are integers (cudaStream_t; 0 is the legacy default stream) and always passed by you; a
CPU plan takes 0. Arrays are torch tensors, objects with __cuda_array_interface__, numpy arrays, objects with
__dlpack__, writable buffers, or addresses. A refused call raises swd.Error, or TypeError and ValueError where the
array itself is wrong; nothing was changed then. Calls release the GIL.
"""
from __future__ import annotations

from typing import Any

from ._arrays import host_bytes
from ._ffi import PATH as library_path, Error, check as _check, lib as _lib
from ._structs import (Backend, Buffer, Decay, Dtype, Group, NormRecord, Phase, Result, SegmentFlag, SegmentState,
                       StateHeader, StatsFlag)
from . import names as _names
from .buffers import Buffers, StepArgs
from .plan import Plan
from .segments import Segment
from .stats import Stats

__version__: str = _lib.swd_version_string().decode()


def check_backend(backend: Backend | str) -> None:
    """Raises an Error that says why, if "cpu" or "cuda" cannot run here."""
    _check(_lib.swd_backend_available(_names.backend(backend)))


def backend_available(backend: Backend | str) -> bool:
    """Whether "cpu" or "cuda" can run here: CUDA needs a library built with it, and a device."""
    return bool(_lib.swd_backend_available(_names.backend(backend)) == 0)


def weight_decay_from_adamw(weight_decay: float, vbar: float) -> float:
    """AdamW's weight_decay as SWD's at a given mean second moment: weight_decay * sqrt(vbar)."""
    return float(_lib.swd_weight_decay_from_adamw(weight_decay, vbar))


def weight_decay_to_adamw(weight_decay: float, vbar: float) -> float:
    """SWD's weight_decay as AdamW's at a given mean second moment: weight_decay / sqrt(vbar)."""
    return float(_lib.swd_weight_decay_to_adamw(weight_decay, vbar))


def numerics_version() -> int:
    """Results are equal to the bit between libraries of one numerics version."""
    return int(_lib.swd_numerics_version())


def cpu_isa() -> str:
    """Which build of the CPU loops runs here: "base", "v3" (AVX2) or "v4" (AVX-512)."""
    return str(_lib.swd_cpu_isa().decode())


def cpu_threads() -> int:
    """Most threads that a step on the CPU uses when it is called from this thread now."""
    return int(_lib.swd_cpu_threads())


def __getattr__(name: str) -> Any:
    """``swd.torch`` and ``swd.jax`` load on first use."""
    if name in ("torch", "jax"):
        import importlib
        return importlib.import_module("." + name, __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["Backend", "Buffer", "Buffers", "Decay", "Dtype", "Error", "Group", "NormRecord", "Phase", "Plan", "Result",
           "Segment", "SegmentFlag", "SegmentState", "StateHeader", "Stats", "StatsFlag", "StepArgs",
           "backend_available", "check_backend", "cpu_isa", "cpu_threads", "host_bytes", "library_path", "numerics_version", "weight_decay_from_adamw",
           "weight_decay_to_adamw"]
