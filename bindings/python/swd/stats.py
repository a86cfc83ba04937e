# SPDX-License-Identifier: Apache-2.0
"""Stats: what the latest step measured and decided. Made by Plan.stats and by swd.torch.AdamS.stats."""
from __future__ import annotations

import ctypes
from ctypes import byref, c_double, c_void_p
from typing import TYPE_CHECKING, Any, Callable, Iterable, NamedTuple, Tuple

from ._arrays import ArrayLike, locate
from ._ffi import check, lib
from ._structs import Result, StatsFlag, StatsStruct

if TYPE_CHECKING:
    from .plan import Plan


class Stats(NamedTuple):
    """The members of swd_stats, and lambda_eff: each group's decay in AdamW's unit."""
    result: Result
    flags: StatsFlag
    steps_applied: int
    steps_skipped: int
    grad_norm: float       # unscaled, before clipping
    clip_coef: float       # 1: not clipped
    vbar: float            # mean of v-hat; NaN if a running sum is unknown
    inv_sqrt_vbar: float
    largest_decay: float   # largest decay factor of any group
    bad: float             # non-finite gradients seen, plus found_inf
    param_norm: float      # with update_norms
    update_norm: float     # with update_norms
    vbar_reference: float  # relative decay: the vbar that weight_decay refers to; 0: not set yet
    damaged_segment: int   # 1 + the first segment whose sum the latest rebuild_state found not finite; 0: none
    lambda_eff: Tuple[float, ...]


def decode(struct: StatsStruct, lambda_eff: Iterable[float]) -> Stats:
    """The Stats of a StatsStruct whose copy has arrived, and of the doubles behind it."""
    members = {name: getattr(struct, name) for name, _ in StatsStruct._fields_}
    members.update(result=Result(struct.result), flags=StatsFlag(struct.flags))
    return Stats(**members, lambda_eff=tuple(lambda_eff))


def enqueue(plan: Plan, workspace: ArrayLike, struct: StatsStruct, lambda_eff: ctypes.Array[c_double], stream: int) -> None:
    """Copies the statistics to the host, in stream order: `struct` and `lambda_eff` must live until then."""
    at = locate(workspace, "workspace", cuda=plan.on_cuda, stream=stream)
    check(lib.swd_stats_fetch(plan._handle, at.address, byref(struct), ctypes.sizeof(struct), lambda_eff,
                              stream or None))


def fetch(plan: Plan, workspace: ArrayLike, stream: int, synchronize: Callable[[], Any] | None) -> Stats:
    if plan.on_cuda and synchronize is None:
        raise TypeError("synchronize: a CUDA plan needs a function that waits for the stream")
    struct, decays = StatsStruct(), (c_double * plan.group_count)()
    enqueue(plan, workspace, struct, decays, stream)
    if synchronize is not None and plan.on_cuda:
        synchronize()
    return decode(struct, decays)


def where(plan: Plan, workspace: ArrayLike) -> int:
    at, out = locate(workspace, "workspace", cuda=plan.on_cuda), c_void_p()
    check(lib.swd_stats_pointer(plan._handle, at.address, byref(out)))
    return out.value or 0
