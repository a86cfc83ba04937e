# SPDX-License-Identifier: Apache-2.0
"""Buffers and StepArgs: the memory and the numbers of a step, kept alive and checked once, passed to many calls."""
from __future__ import annotations

import ctypes
from ctypes import byref
from typing import TYPE_CHECKING, Any, Iterable

from ._arrays import ArrayLike, locate
from ._ffi import check, lib
from ._structs import Buffer, BuffersStruct, Group, PlanFlag, StepArgsStruct, StepFlag
from .names import DTYPE_NAMES, ELEMENT_BYTES

if TYPE_CHECKING:
    from .plan import Plan

_SCALES = ("exp_avg_scale", "exp_avg_sq_scale")


class Buffers:
    """What the caller owns, where the backend computes. Holds on to the arrays.

    param, grad, param_copy, remainder: the plan's param_dtype, grad_dtype, copy_dtype, remainder_dtype. exp_avg,
    exp_avg_sq: its moment_dtype (block8: uint8). max_exp_avg_sq (amsgrad): float32. Each has at least plan.extent
    elements. exp_avg_scale, exp_avg_sq_scale (block8): plan.scale_bytes bytes. With as_list all these stay None
    (set_pointers). state: at least state_bytes bytes, zeros for a fresh state. workspace: after init_workspace. Both
    16-byte aligned. A narrow exp_avg_sq is not the second moment: Plan.store gives that.
    """

    def __init__(self, plan: Plan, *, state: ArrayLike, workspace: ArrayLike, param: ArrayLike = None, grad: ArrayLike = None,
                 exp_avg: ArrayLike = None, exp_avg_sq: ArrayLike = None, max_exp_avg_sq: ArrayLike = None,
                 param_copy: ArrayLike = None, remainder: ArrayLike = None, exp_avg_scale: ArrayLike = None,
                 exp_avg_sq_scale: ArrayLike = None, stream: int = 0) -> None:
        struct = BuffersStruct()
        check(lib.swd_buffers_init(byref(struct), ctypes.sizeof(struct)))
        extent = 0 if plan.flags & PlanFlag.LIST else plan.extent
        self._owners = []
        for name, array in (("param", param), ("grad", grad), ("exp_avg", exp_avg), ("exp_avg_sq", exp_avg_sq),
                            ("max_exp_avg_sq", max_exp_avg_sq), ("param_copy", param_copy), ("remainder", remainder),
                            ("exp_avg_scale", exp_avg_scale), ("exp_avg_sq_scale", exp_avg_sq_scale)):
            dtype = plan.buffer_dtype(Buffer[name.upper()])
            least = plan.scale_bytes if name in _SCALES else extent * ELEMENT_BYTES.get(dtype, 0)
            at = locate(array, name, dtype=DTYPE_NAMES.get(dtype), least_bytes=least, cuda=plan.on_cuda,
                        writable=name != "grad", stream=stream)
            setattr(struct, name, at.address or None)
            self._owners.append(at.owner)
        for name, array, needed in (("state", state, plan.state_bytes), ("workspace", workspace, plan.workspace_bytes)):
            at = locate(array, name, least_bytes=needed, cuda=plan.on_cuda, stream=stream)
            setattr(struct, name, at.address or None)
            setattr(struct, name + "_bytes", needed if at.bytes is None else at.bytes)
            self._owners.append(at.owner)
        self.struct, self.ref = struct, byref(struct)


class StepArgs:
    """The numbers of a step. Reusable; change ``args.groups[i].lr`` and the attributes of ``args.struct`` in between.

    groups: one Group per group of the plan (None: groups_device, the same structs where the backend computes).
    loss_scale: gradients are divided by it. loss_scale_pointer: a float32 there that multiplies it. found_inf: a
    float32 there, not 0 counts as a non-finite gradient. has_grad: a uint8 per segment there, 0 says "no gradient this step".
    max_grad_norm: 0 is no clipping. max_decay: no decay factor exceeds it; 0 is 0.1. reference_step: the applied step
    whose vbar relative decay refers to; 0 is 100. propagate: apply non-finite gradients. skip_norm: leave out the first
    pass (needs propagate, no clipping, no scheduled or relative group).
    """

    def __init__(self, plan: Plan, groups: Group | Iterable[Group] | None = None, *, groups_device: ArrayLike = None,
                 loss_scale: float = 1.0, loss_scale_pointer: ArrayLike = None, found_inf: ArrayLike = None,
                 has_grad: ArrayLike = None, max_grad_norm: float = 0.0, max_decay: float = 0.0, reference_step: int = 0,
                 propagate: bool = False, skip_norm: bool = False, stream: int = 0) -> None:
        struct = StepArgsStruct()
        check(lib.swd_step_args_init(byref(struct), ctypes.sizeof(struct)))
        struct.flags = (StepFlag.PROPAGATE if propagate else 0) | (StepFlag.SKIP_NORM if skip_norm else 0)
        self._plan, self.groups = plan, None
        self._owners: dict[str, Any] = {}
        if groups is not None:
            groups = [groups] if isinstance(groups, Group) else list(groups)
            self.groups = (Group * len(groups))(*groups)
            struct.groups, struct.group_count = self.groups, len(groups)
        else:
            struct.group_count = plan.group_count
        struct.group_stride = ctypes.sizeof(Group)
        struct.loss_scale, struct.max_grad_norm, struct.max_decay = loss_scale, max_grad_norm, max_decay
        struct.reference_step = reference_step
        self.struct, self.ref = struct, byref(struct)
        group_bytes = ctypes.sizeof(Group) * plan.group_count
        self.point("groups_device", groups_device, least_bytes=group_bytes, stream=stream)
        self.point("loss_scale_pointer", loss_scale_pointer, dtype="float32", least_bytes=4, stream=stream)
        self.point("found_inf", found_inf, dtype="float32", least_bytes=4, stream=stream)
        self.point("has_grad", has_grad, dtype="uint8", least_bytes=plan.segment_count, stream=stream)

    def point(self, name: str, array: ArrayLike, *, dtype: str | None = None, least_bytes: int = 0,
              stream: int = 0) -> None:
        """Points a member of the struct to an array where the backend computes, and keeps the array alive."""
        at = locate(array, name, dtype=dtype, least_bytes=least_bytes, cuda=self._plan.on_cuda, writable=False,
                    stream=stream)
        setattr(self.struct, name, at.address or None)
        self._owners[name] = at.owner
