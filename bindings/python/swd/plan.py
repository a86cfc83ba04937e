# SPDX-License-Identifier: Apache-2.0
"""Plan: the immutable description of a model's segments, and every call of the library that needs one."""
import ctypes
from ctypes import byref, c_int32, c_uint64, c_void_p

from . import names, state
from ._arrays import locate
from ._ffi import check, lib
from ._structs import Backend, Buffer, Dtype, Phase, PlanArgsStruct, PlanFlag, SegmentStruct
from .buffers import Buffers, StepArgs
from .stats import fetch


class Segment:
    """A contiguous run of elements with one step counter and one running sum: a tensor, or a shard of one.

    count: elements. offset: first element from the flat bases (None: right after the segment before it). group: its
    group. flags: SegmentFlag bits. index: with ``Plan(indexed=True)``, of its first element in the unsharded model.
    """
    __slots__ = ("count", "offset", "group", "flags", "index")

    def __init__(self, count, offset=None, group=0, flags=0, index=0):
        self.count, self.offset, self.group, self.flags, self.index = count, offset, group, flags, index


def _segment_array(segments, as_list):
    array, end = (SegmentStruct * len(segments))(), 0
    for entry, segment in zip(array, segments):
        if isinstance(segment, int):
            segment = Segment(segment)
        offset = end if segment.offset is None else segment.offset
        entry.offset = 0 if as_list else offset
        entry.count, entry.group, entry.flags = segment.count, segment.group, segment.flags
        entry.index = segment.index
        end = offset + segment.count
    return array, end


class Plan:
    """What swd_plan_create makes. Immutable, shareable between threads.

    segments: Segment objects, or plain counts of elements (then packed one after the other). decay: one word per
    group, "scheduled", "decoupled", "l2" or "none". backend: "cpu" or "cuda". grad_dtype, copy_dtype: "float32",
    "bfloat16", "float16"; copy_dtype None: no 16-bit copy of the parameters. as_list: one pointer per segment
    (set_pointers) instead of flat buffers. threads: CPU backend, 0 for one per core. Host only: a CUDA plan can be made
    without a device.
    """

    def __init__(self, segments, *, decay=("scheduled",), backend="cpu", grad_dtype="float32", copy_dtype=None,
                 as_list=False, amsgrad=False, maximize=False, update_norms=False, indexed=False, threads=0):
        self._handle = None
        self.backend = names.backend(backend)
        self.grad_dtype, self.copy_dtype = names.dtype(grad_dtype, "grad_dtype"), names.dtype(copy_dtype, "copy_dtype")
        self.decay = tuple(names.decay(mode) for mode in ((decay,) if isinstance(decay, str) else decay))
        flags = PlanFlag(0)
        for wanted, flag in ((as_list, PlanFlag.LIST), (amsgrad, PlanFlag.AMSGRAD), (maximize, PlanFlag.MAXIMIZE),
                             (update_norms, PlanFlag.UPDATE_NORMS), (indexed, PlanFlag.INDEXED)):
            flags |= flag if wanted else 0
        self.flags = flags
        array, self.extent = _segment_array(list(segments), as_list)
        self.segment_count, self.group_count = len(array), len(self.decay)
        modes = (c_int32 * self.group_count)(*self.decay)
        args = PlanArgsStruct()
        check(lib.swd_plan_args_init(byref(args), ctypes.sizeof(args)))
        args.flags, args.backend, args.threads = flags, self.backend, threads
        args.grad_dtype, args.copy_dtype = self.grad_dtype, self.copy_dtype
        args.segments, args.segment_count, args.segment_stride = array, len(array), ctypes.sizeof(SegmentStruct)
        args.decay_modes, args.group_count = modes, self.group_count
        handle = c_void_p()
        check(lib.swd_plan_create(byref(args), byref(handle)))
        self._handle = handle
        self.workspace_bytes = self._size(lib.swd_workspace_size)
        self.state_bytes = self._size(lib.swd_state_size)

    def __del__(self):
        if getattr(self, "_handle", None) and lib is not None:
            lib.swd_plan_destroy(self._handle)
            self._handle = None

    def __reduce__(self):
        raise TypeError("a Plan cannot be pickled or copied: make another one from the same arguments")

    def _size(self, function):
        out = c_uint64()
        check(function(self._handle, byref(out)))
        return out.value

    @property
    def on_cuda(self):
        return self.backend == Backend.CUDA

    # ---- Memory ----

    def init_workspace(self, workspace, stream=0):
        """Writes the plan's tables into `workspace`: workspace_bytes bytes, 16-byte aligned, where the backend
        computes. Once per workspace; waits for the stream; must not be captured into a graph."""
        at = locate(workspace, "workspace", least_bytes=self.workspace_bytes, cuda=self.on_cuda, stream=stream)
        size = self.workspace_bytes if at.bytes is None else at.bytes
        check(lib.swd_workspace_init(self._handle, at.address, size, stream))

    def set_pointers(self, workspace, buffer, arrays, first=0, stream=0):
        """With as_list: says where the arrays of segments first, first + 1, ... lie. buffer: a Buffer. An array, an
        address, or None (a gradient: none this step). The arrays are not kept alive."""
        buffer = Buffer(buffer)
        dtype = {Buffer.GRAD: self.grad_dtype, Buffer.PARAM_COPY: self.copy_dtype}.get(buffer, Dtype.F32)
        pointers = (c_void_p * len(arrays))()
        for i, array in enumerate(arrays):
            pointers[i] = array if array is None or type(array) is int else locate(
                array, f"{buffer.name.lower()}[{first + i}]", dtype=names.DTYPE_NAMES.get(dtype), cuda=self.on_cuda,
                writable=buffer != Buffer.GRAD, stream=stream).address
        at = locate(workspace, "workspace", cuda=self.on_cuda, stream=stream)
        check(lib.swd_set_pointers(self._handle, at.address, buffer, first, len(arrays), pointers, stream))

    def buffers(self, **arrays):
        """The memory of a step: see Buffers."""
        return Buffers(self, **arrays)

    def args(self, groups=None, **numbers):
        """The numbers of a step: see StepArgs."""
        return StepArgs(self, groups, **numbers)

    # ---- The step ----

    def step(self, buffers, args, stream=0):
        """One whole optimizer step. CPU: done on return. CUDA: asynchronous, in `stream`."""
        check(lib.swd_step(self._handle, buffers.ref, args.ref, stream))

    def reduce(self, buffers, args, phase=Phase.GRAD, first=0, count=None, stream=0):
        """Reduces segments first .. first + count - 1 (None: to the last), also while backward still runs."""
        count = self.segment_count - first if count is None else count
        check(lib.swd_reduce(self._handle, buffers.ref, args.ref, phase, first, count, stream))

    def fold(self, buffers, args, phase=Phase.GRAD, record=None, stream=0):
        """Sums what was reduced into `record`: eight doubles where the backend computes; None: the workspace's own."""
        at = locate(record, "record", dtype="float64", least_bytes=64, cuda=self.on_cuda, stream=stream)
        check(lib.swd_fold(self._handle, buffers.ref, args.ref, phase, at.address or None, stream))

    def finalize(self, buffers, args, phase=Phase.GRAD, record=None, stream=0):
        """Decides the step from `record` and arms the update."""
        at = locate(record, "record", dtype="float64", least_bytes=64, cuda=self.on_cuda, writable=False,
                    stream=stream)
        check(lib.swd_finalize(self._handle, buffers.ref, args.ref, phase, at.address or None, stream))

    def update(self, buffers, args, stream=0):
        """Applies and commits what finalize decided."""
        check(lib.swd_update(self._handle, buffers.ref, args.ref, stream))

    def discard(self, workspace, stream=0):
        """Forgets what was reduced since the last update."""
        at = locate(workspace, "workspace", cuda=self.on_cuda, stream=stream)
        check(lib.swd_discard(self._handle, at.address, at.bytes or self.workspace_bytes, stream))

    # ---- Statistics ----

    def stats(self, workspace, stream=0, synchronize=None):
        """The Stats of the latest step in this workspace. With CUDA pass `synchronize`, a function that waits for the
        stream (``torch.cuda.current_stream().synchronize``): the copy is asynchronous."""
        return fetch(self, workspace, stream, synchronize)

    def stats_address(self, workspace):
        """Where the swd_stats struct lies inside the workspace, for kernels that read the verdict."""
        at, out = locate(workspace, "workspace", cuda=self.on_cuda), c_void_p()
        check(lib.swd_stats_pointer(self._handle, at.address, byref(out)))
        return out.value

    # ---- State ----

    def get_state(self, image, segment):
        """The SegmentState of one segment in a state image in host memory."""
        return state.get(self, image, segment)

    def set_state(self, image, segment, step, exp_avg_sq_sum):
        """Writes one segment's entry; exp_avg_sq_sum -1: unknown."""
        state.set_(self, image, segment, step, exp_avg_sq_sum)

    def export_state(self, image):
        """A state image in host memory as a versioned, checksummed blob (bytes)."""
        return state.export(self, image)

    def import_state(self, blobs, image):
        """Fills a state image in host memory from one blob, or from the blobs of all shards, however they were cut."""
        state.import_(self, blobs, image)

    def rebuild_state(self, buffers, stream=0):
        """Sets the running sum of every segment to the sum of its exp_avg_sq. Sums of l2 groups become unknown."""
        check(lib.swd_state_rebuild(self._handle, buffers.ref, stream))
