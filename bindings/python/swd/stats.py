# SPDX-License-Identifier: Apache-2.0
"""Stats: what the latest step measured and decided. Made by Plan.stats and by swd.torch.AdamS.stats."""
import ctypes
from ctypes import byref, c_double
from typing import NamedTuple, Tuple

from ._arrays import locate
from ._ffi import check, lib
from ._structs import StatsFlag, StatsStruct, StepStatus


class Stats(NamedTuple):
    """The members of swd_stats, and lambda_eff: each group's decay in AdamW's units."""
    status: StepStatus
    flags: StatsFlag
    steps_applied: int
    steps_skipped: int
    grad_norm: float      # unscaled, before clipping
    clip_coef: float      # 1: not clipped
    vbar: float           # mean of v-hat; NaN if a running sum is unknown
    inv_sqrt_vbar: float
    largest_decay: float  # largest decay factor of any group
    bad: float            # non-finite gradients seen, plus found_inf
    param_norm: float     # with update_norms
    update_norm: float    # with update_norms
    lambda_eff: Tuple[float, ...]


def fetch(plan, workspace, stream, synchronize):
    if plan.on_cuda and synchronize is None:
        raise TypeError("synchronize: a CUDA plan needs a function that waits for the stream")
    at = locate(workspace, "workspace", cuda=plan.on_cuda, stream=stream)
    out, decays = StatsStruct(), (c_double * plan.group_count)()
    check(lib.swd_stats_fetch(plan._handle, at.address, byref(out), ctypes.sizeof(out), decays, stream or None))
    if plan.on_cuda:
        synchronize()
    members = {name: getattr(out, name) for name, _ in StatsStruct._fields_}
    members.update(status=StepStatus(out.status), flags=StatsFlag(out.flags))
    return Stats(**members, lambda_eff=tuple(decays))
