# SPDX-License-Identifier: Apache-2.0
"""The few calls of libswd that a comparison needs, through ctypes, on the memory of torch tensors. Used by run.py."""
import ctypes as c

import torch

CPU, CUDA = 1, 2
DTYPES = {None: 0, torch.float32: 1, torch.bfloat16: 2, torch.float16: 3}
DECAYS = {"scheduled": 0, "decoupled": 1, "l2": 2, "none": 3}
PROPAGATE, SKIP_NORM = 1, 2


class Segment(c.Structure):
    _fields_ = [("offset", c.c_int64), ("count", c.c_int64), ("index", c.c_int64), ("group", c.c_uint32),
                ("flags", c.c_uint32)]


class PlanArgs(c.Structure):
    _fields_ = [("struct_size", c.c_uint32), ("flags", c.c_uint32), ("backend", c.c_int32),
                ("param_dtype", c.c_int32), ("grad_dtype", c.c_int32), ("copy_dtype", c.c_int32),
                ("segments", c.POINTER(Segment)),
                ("segment_count", c.c_int64), ("decay_modes", c.POINTER(c.c_int32)), ("segment_stride", c.c_uint32),
                ("group_count", c.c_uint32), ("threads", c.c_int32), ("reserved", c.c_uint32), ("model_key", c.c_uint64)]


class Group(c.Structure):
    _fields_ = [("lr", c.c_double), ("beta1", c.c_double), ("beta2", c.c_double), ("eps", c.c_double),
                ("weight_decay", c.c_double), ("lr_pointer", c.c_void_p), ("lr_factor", c.c_double)]


class Buffers(c.Structure):
    _fields_ = [("struct_size", c.c_uint32), ("flags", c.c_uint32)] + \
               [(name, c.c_void_p) for name in ("param", "grad", "exp_avg", "exp_avg_sq", "max_exp_avg_sq",
                                                "param_copy", "state")] + \
               [("state_bytes", c.c_uint64), ("workspace", c.c_void_p), ("workspace_bytes", c.c_uint64)]


class StepArgs(c.Structure):
    _fields_ = [("struct_size", c.c_uint32), ("flags", c.c_uint32), ("groups", c.POINTER(Group)),
                ("groups_device", c.c_void_p), ("group_count", c.c_uint32), ("group_stride", c.c_uint32),
                ("loss_scale", c.c_double), ("loss_scale_pointer", c.c_void_p), ("found_inf", c.c_void_p),
                ("has_grad", c.c_void_p), ("max_grad_norm", c.c_double), ("max_decay", c.c_double),
                ("reference_step", c.c_uint64)]


class Library:
    def __init__(self, path):
        self.c = c.CDLL(path)
        self.c.swd_error_detail.restype = c.c_char_p
        self.c.swd_sizeof.restype = c.c_uint64
        for name, struct in (("swd_segment", Segment), ("swd_plan_args", PlanArgs), ("swd_group", Group),
                             ("swd_buffers", Buffers), ("swd_step_args", StepArgs)):
            if self.c.swd_sizeof(name.encode()) != c.sizeof(struct):
                raise RuntimeError(f"{path} has another {name} than this script")

    def call(self, name, *args):
        status = getattr(self.c, name)(*args)
        if status != 0:
            raise RuntimeError(f"{name}: {status}: {self.c.swd_error_detail().decode()}")


class Step:
    """One plan over the parameters of `tensors` (run.Tensors), which share one flat base."""

    def __init__(self, library, tensors, hyper, decay, clip, skip_norm=False, loss_scale=0.0):
        self.library, self.tensors = library, tensors
        segments = (Segment * len(tensors.sizes))()
        offset = 0
        for segment, size in zip(segments, tensors.sizes):
            segment.offset, segment.count = offset, size
            offset += size
        device = tensors.param.device
        backend = CUDA if device.type == "cuda" else CPU
        modes = (c.c_int32 * 1)(DECAYS[decay])
        args = PlanArgs(c.sizeof(PlanArgs), 0, backend, 1, DTYPES[tensors.grad.dtype], 0, segments, len(segments),
                        modes, c.sizeof(Segment), 1, 0, 0)
        self.plan = c.c_void_p()
        library.call("swd_plan_create", c.byref(args), c.byref(self.plan))
        self.stream = c.c_void_p(torch.cuda.current_stream().cuda_stream if backend == CUDA else 0)
        workspace_bytes, state_bytes = c.c_uint64(), c.c_uint64()
        library.call("swd_workspace_size", self.plan, c.byref(workspace_bytes))
        library.call("swd_state_size", self.plan, c.byref(state_bytes))
        self.workspace = torch.zeros(workspace_bytes.value // 8, dtype=torch.float64, device=device)
        self.state = torch.zeros(state_bytes.value // 8, dtype=torch.float64, device=device)
        library.call("swd_workspace_init", self.plan, c.c_void_p(self.workspace.data_ptr()), workspace_bytes,
                     self.stream)
        self.buffers = Buffers(c.sizeof(Buffers), 0, tensors.param.data_ptr(), tensors.grad.data_ptr(),
                               tensors.exp_avg.data_ptr(), tensors.exp_avg_sq.data_ptr(), None, None,
                               self.state.data_ptr(), state_bytes, self.workspace.data_ptr(), workspace_bytes)
        self.group = Group(hyper.lr, hyper.beta1, hyper.beta2, hyper.eps, hyper.weight_decay, None)
        flags = PROPAGATE | SKIP_NORM if skip_norm else 0
        self.args = StepArgs(c.sizeof(StepArgs), flags, c.pointer(self.group), None, 1, c.sizeof(Group), loss_scale,
                             None, None, None, hyper.max_grad_norm if clip else 0.0, 0.0)

    def __call__(self):
        self.library.call("swd_step", self.plan, c.byref(self.buffers), c.byref(self.args), self.stream)

    def close(self):
        self.library.call("swd_plan_destroy", self.plan)
