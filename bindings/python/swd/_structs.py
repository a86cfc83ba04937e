# SPDX-License-Identifier: Apache-2.0
"""The structs and numbers of include/swd/swd.h as ctypes. Used by every other module; checked by _ffi at import."""
from __future__ import annotations

import ctypes
import enum
from ctypes import POINTER, c_double, c_int32, c_int64, c_uint32, c_uint64, c_void_p


class Backend(enum.IntEnum):
    """Where a plan computes: ``cpu`` or ``cuda``."""
    CPU = 1
    CUDA = 2


class Dtype(enum.IntEnum):
    """Element types. Parameters are F32 or BF16; gradients F32, BF16 or F16; the copy BF16 or F16; moments F32, BF16 or
    BLOCK8; the remainder of a BF16 parameter I16 or I8."""
    NONE = 0
    F32 = 1
    BF16 = 2
    F16 = 3
    I16 = 4
    I8 = 5
    BLOCK8 = 6


class Decay(enum.IntEnum):
    """How a group's weight_decay acts: SWD, AdamW, Adam, not at all, or SWD in AdamW's unit."""
    SCHEDULED = 0
    DECOUPLED = 1
    L2 = 2
    NONE = 3
    RELATIVE = 4


class Buffer(enum.IntEnum):
    """The buffers of a plan, for Plan.set_pointers."""
    PARAM = 0
    GRAD = 1
    EXP_AVG = 2
    EXP_AVG_SQ = 3
    MAX_EXP_AVG_SQ = 4
    PARAM_COPY = 5
    REMAINDER = 6
    EXP_AVG_SCALE = 7
    EXP_AVG_SQ_SCALE = 8


class Phase(enum.IntEnum):
    """The two rounds of reduce, fold and decide; MAX only for plans with amsgrad and a scheduled or relative group."""
    GRAD = 0
    MAX = 1


class Result(enum.IntEnum):
    """What became of a step. Everything but APPLIED left parameters, moments, counters and sums as they were."""
    NONE = 0
    APPLIED = 1
    SKIPPED_NONFINITE = 2
    SKIPPED_OVERFLOW = 3
    SKIPPED_UNDERFLOW = 4
    SKIPPED_INVALID = 5
    SKIPPED_SUM_UNKNOWN = 6
    NOT_ARMED = 7
    SKIPPED_VBAR = 8
    FOREIGN_WORKSPACE = 9


class SegmentFlag(enum.IntFlag):
    """What a segment stays out of."""
    NO_NORM = 1
    NO_VBAR = 2
    NO_DECAY = 4


class PlanFlag(enum.IntFlag):
    """Bits of swd_plan_args.flags."""
    LIST = 1
    AMSGRAD = 2
    MAXIMIZE = 4
    UPDATE_NORMS = 8
    INDEXED = 16
    TAKE_COPY = 32


class StepFlag(enum.IntFlag):
    """Bits of swd_step_args.flags."""
    PROPAGATE = 1
    SKIP_NORM = 2


class StatsFlag(enum.IntFlag):
    """Bits of Stats.flags."""
    CLIPPED = 1
    LARGE_DECAY = 2
    DECAY_CAPPED = 4
    NONFINITE = 8
    NO_NORM = 16


class SegmentStruct(ctypes.Structure):
    _fields_ = [("offset", c_int64), ("count", c_int64), ("index", c_int64), ("group", c_uint32), ("flags", c_uint32)]


class PlanArgsStruct(ctypes.Structure):
    _fields_ = [("struct_size", c_uint32), ("flags", c_uint32), ("backend", c_int32), ("param_dtype", c_int32),
                ("grad_dtype", c_int32), ("copy_dtype", c_int32), ("segments", POINTER(SegmentStruct)),
                ("segment_count", c_int64), ("decay_modes", POINTER(c_int32)), ("segment_stride", c_uint32),
                ("group_count", c_uint32), ("threads", c_int32), ("reserved", c_uint32), ("model_key", c_uint64),
                ("moment_dtype", c_int32), ("remainder_dtype", c_int32)]


class BuffersStruct(ctypes.Structure):
    _fields_ = [("struct_size", c_uint32), ("flags", c_uint32), ("param", c_void_p), ("grad", c_void_p),
                ("exp_avg", c_void_p), ("exp_avg_sq", c_void_p), ("max_exp_avg_sq", c_void_p),
                ("param_copy", c_void_p), ("state", c_void_p), ("state_bytes", c_uint64), ("workspace", c_void_p),
                ("workspace_bytes", c_uint64), ("remainder", c_void_p), ("exp_avg_scale", c_void_p),
                ("exp_avg_sq_scale", c_void_p)]


class Group(ctypes.Structure):
    """Hyper-parameters of one group: lr, beta1, beta2, eps, weight_decay, lr_pointer (an address of a float where the
    backend computes, which then replaces lr), and lr_factor, which multiplies either (0 is 1). ``Group(lr=1e-3)`` fills
    the rest with PyTorch's defaults.

    With scheduled decay weight_decay has the unit of a gradient: see weight_decay_from_adamw. With relative decay it
    has AdamW's.
    """
    _fields_ = [("lr", c_double), ("beta1", c_double), ("beta2", c_double), ("eps", c_double),
                ("weight_decay", c_double), ("lr_pointer", c_void_p), ("lr_factor", c_double)]

    def __init__(self, lr: float = 1e-3, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8,
                 weight_decay: float = 0.0, lr_pointer: int | None = None, lr_factor: float = 1.0) -> None:
        super().__init__(lr, beta1, beta2, eps, weight_decay, lr_pointer, lr_factor)

    def __repr__(self) -> str:
        return "Group(" + ", ".join(f"{name}={getattr(self, name)!r}" for name, *_ in self._fields_) + ")"


class StepArgsStruct(ctypes.Structure):
    _fields_ = [("struct_size", c_uint32), ("flags", c_uint32), ("groups", POINTER(Group)),
                ("groups_device", c_void_p), ("group_count", c_uint32), ("group_stride", c_uint32),
                ("loss_scale", c_double), ("loss_scale_pointer", c_void_p), ("found_inf", c_void_p),
                ("has_grad", c_void_p), ("max_grad_norm", c_double), ("max_decay", c_double),
                ("reference_step", c_uint64)]


class NormRecord(ctypes.Structure):
    """The names of the first doubles of a norm record, which has Plan.record_doubles of them."""
    _fields_ = [(name, c_double) for name in
                ("sum_sq", "bad", "vbar_base", "vbar_grad", "count", "total_sq", "unknown", "invalid")]


class StatsStruct(ctypes.Structure):
    _fields_ = [("result", c_int32), ("flags", c_uint32), ("steps_applied", c_uint64), ("steps_skipped", c_uint64)] + [
        (name, c_double) for name in ("grad_norm", "clip_coef", "vbar", "inv_sqrt_vbar", "largest_decay", "bad",
                                      "param_norm", "update_norm", "vbar_reference")] + [("damaged_segment", c_int64)]


class StateHeader(ctypes.Structure):
    """What a state image holds once: steps_applied, steps_skipped, vbar_reference, the vbar that the weight_decay of
    relative groups refers to (0: not set yet), and rounding_seed, of narrow states."""
    _fields_ = [("steps_applied", c_uint64), ("steps_skipped", c_uint64), ("vbar_reference", c_double),
                ("rounding_seed", c_uint64)]

    def __repr__(self) -> str:
        return "StateHeader(" + ", ".join(f"{name}={getattr(self, name)!r}" for name, *_ in self._fields_) + ")"


class SegmentState(ctypes.Structure):
    """One segment's entry of a state image: step, exp_avg_sq_sum (-1: unknown), and exp_avg_sq_unit, by which a narrow
    exp_avg_sq is to be multiplied (0: 1)."""
    _fields_ = [("step", c_int64), ("exp_avg_sq_sum", c_double), ("exp_avg_sq_unit", c_double), ("reserved", c_uint64)]

    def __repr__(self) -> str:
        return (f"SegmentState(step={self.step}, exp_avg_sq_sum={self.exp_avg_sq_sum!r}, "
                f"exp_avg_sq_unit={self.exp_avg_sq_unit!r})")


class Fp32ArraysStruct(ctypes.Structure):
    _fields_ = [("struct_size", c_uint32), ("flags", c_uint32), ("param", c_void_p), ("exp_avg", c_void_p),
                ("exp_avg_sq", c_void_p)]


# The C names of the structs, for the layout check.
STRUCTS = {
    "swd_segment": SegmentStruct, "swd_plan_args": PlanArgsStruct, "swd_buffers": BuffersStruct, "swd_group": Group,
    "swd_step_args": StepArgsStruct, "swd_norm_record": NormRecord, "swd_stats": StatsStruct,
    "swd_state_header": StateHeader, "swd_segment_state": SegmentState,
    "swd_fp32_arrays": Fp32ArraysStruct,
}
