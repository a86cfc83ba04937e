# SPDX-License-Identifier: Apache-2.0
"""Plan: the immutable description of a model's segments, and every call of the library that needs one."""
from __future__ import annotations

import ctypes
from array import array as _Words
from ctypes import byref, c_int32, c_uint64, c_void_p
from typing import Any, Callable, Iterable, NoReturn, Sequence

from . import names
from ._arrays import ArrayLike, host_bytes, locate
from ._ffi import check, lib
from ._structs import Backend, Buffer, Decay, Dtype, Group, Phase, PlanArgsStruct, PlanFlag, SegmentStruct
from .buffers import Buffers, StepArgs
from .convert import Conversions
from .segments import Segment, segment_array
from .state import StateImages
from .stats import Stats, fetch, where

_ADDRESSES = {int, type(None)}
_POINTER = "Q" if ctypes.sizeof(c_void_p) == 8 else "I"


class Plan(Conversions, StateImages):
    """What swd_plan_create makes. Immutable, shareable between threads.

    segments: Segment objects, or plain counts of elements (then packed one after the other). decay: one word per
    group, "scheduled", "relative", "decoupled", "l2" or "none". backend: "cpu" or "cuda". grad_dtype, copy_dtype:
    "float32", "bfloat16", "float16"; copy_dtype None: no 16-bit copy of the parameters. take_copy: what others wrote into
    param_copy is what a step starts from; fill it first with copy_params. param_dtype: "float32", or
    "bfloat16", whose remainder_dtype is "int16" (together exactly float32), "int8" or None. moment_dtype: "float32",
    "bfloat16" or "block8". as_list: one pointer a segment (set_pointers) instead of flat buffers. threads:
    CPU backend, most that a step uses; 0: the least of the caller's cores, the cgroup's quota and OMP_NUM_THREADS, of
    which the caller's cores are looked at in each step, the others now. model_key: a number that tells models apart;
    blobs of another key are refused (0: none). Host only: a CUDA plan can be made without a device.

    workspace_bytes, state_bytes: what each needs. scale_bytes: what exp_avg_scale and exp_avg_sq_scale need each (flat
    plans with block8). record_doubles: the length of its norm record.
    """

    def __init__(self, segments: Iterable[Segment | int], *,
                 decay: Decay | str | Iterable[Decay | str] = ("scheduled",), backend: Backend | str = "cpu",
                 grad_dtype: Any = "float32", copy_dtype: Any = None, as_list: bool = False, amsgrad: bool = False,
                 maximize: bool = False, update_norms: bool = False, indexed: bool = False, threads: int = 0,
                 model_key: int = 0, param_dtype: Any = "float32", remainder_dtype: Any = None,
                 moment_dtype: Any = "float32", take_copy: bool = False) -> None:
        self._handle: c_void_p | None = None
        self.backend = names.backend(backend)
        self.grad_dtype, self.copy_dtype = names.dtype(grad_dtype, "grad_dtype"), names.dtype(copy_dtype, "copy_dtype")
        self.param_dtype = names.dtype(param_dtype, "param_dtype")
        self.remainder_dtype = names.dtype(remainder_dtype, "remainder_dtype")
        self.moment_dtype = names.dtype(moment_dtype, "moment_dtype")
        modes = (decay,) if isinstance(decay, (str, Decay)) else decay
        self.decay = tuple(names.decay(mode) for mode in modes)
        flags = PlanFlag(0)
        for wanted, flag in ((as_list, PlanFlag.LIST), (amsgrad, PlanFlag.AMSGRAD), (maximize, PlanFlag.MAXIMIZE),
                             (update_norms, PlanFlag.UPDATE_NORMS), (indexed, PlanFlag.INDEXED), (take_copy, PlanFlag.TAKE_COPY)):
            flags |= flag if wanted else 0
        self.flags = flags
        array, self.extent = segment_array(list(segments), as_list)
        self.segment_count, self.group_count = len(array), len(self.decay)
        decay_modes = (c_int32 * self.group_count)(*self.decay)
        args = PlanArgsStruct()
        check(lib.swd_plan_args_init(byref(args), ctypes.sizeof(args)))
        args.flags, args.backend, args.threads, args.model_key = flags, self.backend, threads, model_key
        args.param_dtype, args.grad_dtype, args.copy_dtype = self.param_dtype, self.grad_dtype, self.copy_dtype
        args.moment_dtype, args.remainder_dtype = self.moment_dtype, self.remainder_dtype
        args.segments, args.segment_count, args.segment_stride = array, len(array), ctypes.sizeof(SegmentStruct)
        args.decay_modes, args.group_count = decay_modes, self.group_count
        handle = c_void_p()
        check(lib.swd_plan_create(byref(args), byref(handle)))
        self._handle = handle
        self.workspace_bytes = self._size(lib.swd_workspace_size)
        self.state_bytes = self._size(lib.swd_state_size)
        self.scale_bytes = 0 if as_list else self._size(lib.swd_scale_size)
        self.record_doubles = self._size(lib.swd_record_size)

    def __del__(self) -> None:
        if getattr(self, "_handle", None) and lib is not None:
            lib.swd_plan_destroy(self._handle)
            self._handle = None

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Plan cannot be pickled or copied: make another one from the same arguments")

    def _size(self, function: Callable[..., int]) -> int:
        out = c_uint64()
        check(function(self._handle, byref(out)))
        return out.value

    @property
    def on_cuda(self) -> bool:
        """Whether the plan's memory is a CUDA device's."""
        return self.backend == Backend.CUDA

    # ---- Memory ----

    def init_workspace(self, workspace: ArrayLike, stream: int = 0) -> None:
        """Writes the plan's tables into `workspace`: workspace_bytes bytes, 16-byte aligned, where the backend
        computes. Once per workspace; waits for the stream; must not be captured into a graph."""
        at = locate(workspace, "workspace", least_bytes=self.workspace_bytes, cuda=self.on_cuda, stream=stream)
        size = self.workspace_bytes if at.bytes is None else at.bytes
        check(lib.swd_workspace_init(self._handle, at.address, size, stream))

    def workspace_image(self) -> ctypes.Array[ctypes.c_char]:
        """What a fresh workspace holds, in host memory (16-byte aligned, a ctypes array), for callers that copy it to
        the workspace in stream order themselves. Touches no device."""
        image = host_bytes(self.workspace_bytes)
        check(lib.swd_workspace_image(self._handle, ctypes.addressof(image), self.workspace_bytes))
        return image

    def buffer_dtype(self, buffer: Buffer) -> Dtype:
        """The Dtype of a Buffer's elements; scales are BLOCK8, bytes."""
        return names.buffer_dtype(self, buffer)

    def scale_offset(self, segment: int) -> int:
        """Where a segment's bytes begin in exp_avg_scale and exp_avg_sq_scale; one byte for 128 elements."""
        out = c_uint64()
        check(lib.swd_scale_offset(self._handle, segment, byref(out)))
        return out.value

    def set_pointers(self, workspace: ArrayLike, buffer: Buffer, arrays: Sequence[ArrayLike], first: int = 0,
                     stream: int = 0) -> None:
        """With as_list: says where the arrays of segments first, first + 1, ... lie. buffer: a Buffer. An array, an
        address, or None (a gradient: none this step). The arrays are not kept alive."""
        buffer = Buffer(buffer)
        dtype = self.buffer_dtype(buffer)
        if set(map(type, arrays)) != {int}:
            arrays = [array or 0 if type(array) in _ADDRESSES else locate(
                array, f"{buffer.name.lower()}[{first + i}]", dtype=names.DTYPE_NAMES.get(dtype), cuda=self.on_cuda,
                writable=buffer != Buffer.GRAD, stream=stream).address for i, array in enumerate(arrays)]
        pointers = _Words(_POINTER, arrays)  # filled six times as fast as an array of ctypes
        at = locate(workspace, "workspace", cuda=self.on_cuda, stream=stream)
        check(lib.swd_set_pointers(self._handle, at.address, buffer, first, len(pointers), pointers.buffer_info()[0], stream))

    def buffers(self, **arrays: ArrayLike) -> Buffers:
        """The memory of a step: see Buffers."""
        return Buffers(self, **arrays)

    def args(self, groups: Group | Iterable[Group] | None = None, **numbers: Any) -> StepArgs:
        """The numbers of a step: see StepArgs."""
        return StepArgs(self, groups, **numbers)

    # ---- The step ----

    def step(self, buffers: Buffers, args: StepArgs, stream: int = 0) -> None:
        """One whole optimizer step. CPU: done on return. CUDA: asynchronous, in `stream`."""
        check(lib.swd_step(self._handle, buffers.ref, args.ref, stream))

    def reduce(self, buffers: Buffers, args: StepArgs, phase: Phase = Phase.GRAD, first: int = 0,
               count: int | None = None, stream: int = 0) -> None:
        """Reduces segments first .. first + count - 1 (None: to the last), also while backward still runs."""
        count = self.segment_count - first if count is None else count
        check(lib.swd_reduce(self._handle, buffers.ref, args.ref, phase, first, count, stream))

    def _record(self, record: ArrayLike, name: str, stream: int, writable: bool = True) -> tuple[int | None, int]:
        """Address and length of a record; NULL and 0 for the workspace's own."""
        at = locate(record, name, dtype="float64", least_bytes=8 * self.record_doubles, cuda=self.on_cuda,
                    writable=writable, stream=stream)
        doubles = self.record_doubles if at.bytes is None else at.bytes // 8
        return (at.address, doubles) if at.address else (None, 0)

    def fold(self, buffers: Buffers, args: StepArgs, phase: Phase = Phase.GRAD, record: ArrayLike = None,
             stream: int = 0) -> None:
        """Sums what was reduced into `record`: record_doubles float64 where the backend computes; None: the workspace's
        own. Shards of a model sum all of them between fold and decide; NormRecord names the first."""
        check(lib.swd_fold(self._handle, buffers.ref, args.ref, phase, *self._record(record, "record", stream), stream))

    def add_record(self, to: ArrayLike, record: ArrayLike, stream: int = 0) -> None:
        """Adds `record` to the record `to`: for a model of several plans in one process, in one fixed order."""
        to = self._record(to, "to", stream)
        check(lib.swd_record_add(self._handle, to[0], *self._record(record, "record", stream, False), stream))

    def decide(self, buffers: Buffers, args: StepArgs, phase: Phase = Phase.GRAD, record: ArrayLike = None,
               stream: int = 0) -> None:
        """Decides the step from `record` and arms the update."""
        record = self._record(record, "record", stream, False)
        check(lib.swd_decide(self._handle, buffers.ref, args.ref, phase, *record, stream))

    def update(self, buffers: Buffers, args: StepArgs, stream: int = 0) -> None:
        """Applies and commits what decide decided. Not armed, it changes nothing."""
        check(lib.swd_update(self._handle, buffers.ref, args.ref, stream))

    def copy_params(self, buffers: Buffers, stream: int = 0) -> None:
        """With copy_dtype: fills param_copy with the parameters, rounded as a step rounds them: after loading them."""
        check(lib.swd_copy_params(self._handle, buffers.ref, stream))

    def discard(self, workspace: ArrayLike, stream: int = 0) -> None:
        """Forgets what was reduced since the last update."""
        at = locate(workspace, "workspace", cuda=self.on_cuda, stream=stream)
        check(lib.swd_discard(self._handle, at.address, at.bytes or self.workspace_bytes, stream))

    # ---- Statistics ----

    def stats(self, workspace: ArrayLike, stream: int = 0, synchronize: Callable[[], Any] | None = None) -> Stats:
        """The Stats of the latest step in this workspace. With CUDA pass `synchronize`, a function that waits for the
        stream (``torch.cuda.current_stream().synchronize``): the copy is asynchronous."""
        return fetch(self, workspace, stream, synchronize)

    def stats_address(self, workspace: ArrayLike) -> int:
        """Where the swd_stats struct lies inside the workspace, for kernels that read the verdict."""
        return where(self, workspace)

    # ---- State ----

    def rebuild_state(self, buffers: Buffers, stream: int = 0) -> None:
        """Sets the running sum of every segment to the sum of its exp_avg_sq. Sums of l2 groups become unknown.
        ``Stats.damaged_segment`` names the first segment whose sum is not finite."""
        check(lib.swd_state_rebuild(self._handle, buffers.ref, stream))
