# SPDX-License-Identifier: Apache-2.0
"""AdamSState: what an optimizer of swd.jax carries from step to step, and how its bytes are read and made."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._arrays import host_bytes
from .._structs import StatsStruct
from ..stats import Stats, decode
from .kinds import Bytes, Counters, Tree

if TYPE_CHECKING:
    from ..plan import Plan
    from .calls import Numbers

_APPLIED = StatsStruct.steps_applied.offset


class AdamSState(NamedTuple):
    """A pytree of arrays, all of which belong in a checkpoint."""
    # int32: steps applied. A schedule is called with it. (A tuple has a method of that name.)
    count: jax.Array  # type: ignore[assignment, unused-ignore]
    exp_avg: Tree        # of the shape of params, float32
    exp_avg_sq: Tree
    counters: Counters   # uint8: step counters, running sums, the reference of relative decay
    stats: jax.Array     # uint8: what the latest step measured


def count_of(stats: jax.Array) -> jax.Array:
    """The lower half of steps_applied, which a skipped step leaves as it was."""
    count: jax.Array = jax.lax.bitcast_convert_type(stats[_APPLIED:_APPLIED + 4], jnp.int32)
    return count


def stats_bytes(**members: Any) -> Bytes:
    """Statistics as bytes, zero but for `members`."""
    return np.frombuffer(bytes(StatsStruct(**members)), np.uint8)


def read_stats(stats: jax.Array, numbers: Numbers) -> Stats:
    """The swd.stats.Stats of such bytes; the decay in AdamW's unit follows from them. Waits for the device."""
    struct = StatsStruct.from_buffer_copy(np.asarray(stats).tobytes())
    effective = 0.0 if numbers.decay == "none" else numbers.weight_decay
    if numbers.decay == "scheduled":
        effective *= struct.inv_sqrt_vbar
    elif numbers.decay == "relative" and struct.vbar_reference > 0:
        effective *= struct.vbar_reference ** 0.5 * struct.inv_sqrt_vbar
    return decode(struct, [effective])


def counters_after(plan: Plan, steps: int, vbar_reference: float) -> Bytes:
    """A plan's state image after so many steps, its sums unknown."""
    image = host_bytes(plan.state_bytes)
    plan.set_header(image, steps_applied=steps, vbar_reference=vbar_reference)
    for segment in range(plan.segment_count):
        plan.set_state(image, segment, steps, -1.0)
    return np.frombuffer(memoryview(image), np.uint8)
