# SPDX-License-Identifier: Apache-2.0
"""The custom calls of libswd_jax as functions of JAX arrays, on the leaves that one device holds. Used by sharding."""
from __future__ import annotations

import functools
from typing import Any, Iterable, NamedTuple, Sequence, Tuple

import jax
import jax.numpy as jnp
import numpy as np

from .. import _ffi, names
from .._structs import SegmentFlag, StatsStruct
from ..plan import Plan
from ..segments import Segment
from .kinds import Bytes

_NO_CUDA = 31  # SWD_ERR_NO_CUDA


class Numbers(NamedTuple):
    """What every call gets as attributes, but for the learning rate and the leaves."""
    decay: str
    b1: float
    b2: float
    eps: float
    weight_decay: float
    max_grad_norm: float
    max_decay: float
    reference_step: int


class Leaves(NamedTuple):
    grads: list[jax.Array]
    params: list[jax.Array]
    exp_avg: list[jax.Array]
    exp_avg_sq: list[jax.Array]

    def pick(self, which: Iterable[int]) -> Leaves:
        return Leaves(*([kind[i] for i in which] for kind in self))


Stepped = Tuple[jax.Array, jax.Array, Leaves]  # counters, stats, leaves without gradients


@functools.lru_cache(maxsize=256)
def plan(counts: tuple[int, ...], decays: tuple[bool, ...], decay: str, grad_dtype: str, backend: str = "cpu") -> Plan:
    """The plan of some leaves: only described with, never computed with. State images are the same on both backends."""
    segments = [Segment(n, flags=0 if decayed else SegmentFlag.NO_DECAY) for n, decayed in zip(counts, decays)]
    return Plan(segments, decay=decay, backend=backend, grad_dtype=grad_dtype, as_list=True)


@functools.lru_cache(maxsize=16)
def _images(*description: Any) -> list[Bytes]:
    """What a fresh workspace holds on the CPU, and on CUDA if libswd has it, in arrays of one length."""
    images = [np.frombuffer(memoryview(plan(*description).workspace_image()), np.uint8)]
    try:
        images.append(np.frombuffer(memoryview(plan(*description, "cuda").workspace_image()), np.uint8))
    except _ffi.Error as error:
        if error.status != _NO_CUDA:
            raise
    size = max(image.size for image in images)
    return [np.pad(image, (0, size - image.size)) for image in images]


class Calls:
    """The calls for leaves of these decays (bools), all of one plan."""

    def __init__(self, numbers: Numbers, rate: float | jax.Array, leaves: Leaves, decays: Sequence[bool]) -> None:
        counts = tuple(leaf.size for leaf in leaves.params)
        grad_dtype = str(leaves.grads[0].dtype) if leaves.grads else "float32"
        self._description = (counts, tuple(decays), numbers.decay, grad_dtype)
        self._leaves, self.plan = leaves, plan(*self._description)
        self._rate = jnp.asarray(0.0 if isinstance(rate, float) else rate, jnp.float32)
        self._attributes = dict(
            counts=np.array(counts, np.int64), decay=np.int32(names.decay(numbers.decay)), grad_dtype=np.int32(self.plan.grad_dtype),
            flags=np.array([0 if decayed else SegmentFlag.NO_DECAY for decayed in decays], np.int64),
            lr=np.float64(rate if isinstance(rate, float) else 0.0), lr_is_input=np.bool_(not isinstance(rate, float)),
            beta1=np.float64(numbers.b1), beta2=np.float64(numbers.b2), eps=np.float64(numbers.eps),
            weight_decay=np.float64(numbers.weight_decay), max_grad_norm=np.float64(numbers.max_grad_norm),
            max_decay=np.float64(numbers.max_decay), reference_step=np.int64(numbers.reference_step))

    def _workspace(self) -> jax.Array:
        images = _images(*self._description)
        if len(images) == 1:
            return jnp.asarray(images[0])
        image: jax.Array = jax.lax.platform_dependent(cpu=lambda: jnp.asarray(images[0]),
                                                      default=lambda: jnp.asarray(images[1]))
        return image

    def _call(self, name: str, counters: jax.Array, workspace: jax.Array, more: Sequence[jax.Array],
              results: Sequence[int | jax.ShapeDtypeStruct]) -> Sequence[jax.Array]:
        """results: new arrays as ShapeDtypeStructs; numbers of inputs, whose memory the output takes."""
        inputs = [self._rate, counters, workspace, *sum(self._leaves, []), *more]
        kinds = [jax.ShapeDtypeStruct(inputs[r].shape, inputs[r].dtype) if isinstance(r, int) else r for r in results]
        aliases = {r: i for i, r in enumerate(results) if isinstance(r, int)}
        call = jax.ffi.ffi_call(f"swd_jax_{name}", kinds, input_output_aliases=aliases)
        out: Sequence[jax.Array] = call(*inputs, **self._attributes)
        return out

    def _tensors(self) -> range:
        n = len(self._leaves.params)
        return range(3 + n, 3 + 4 * n)

    def _stepped(self, out: Sequence[jax.Array]) -> Stepped:
        at, n = self.plan.stats_address(1 << 16) - (1 << 16), len(self._leaves.params)
        size = StatsStruct.damaged_segment.offset + StatsStruct.damaged_segment.size
        return out[0], out[1][at:at + size], Leaves([], *(list(out[2 + i * n:2 + (i + 1) * n]) for i in range(3)))

    def step(self, counters: jax.Array) -> Stepped:
        """counters, stats, leaves"""
        return self._stepped(self._call("step", counters, self._workspace(), [], [1, 2, *self._tensors()]))

    def reduce(self, counters: jax.Array) -> Sequence[jax.Array]:
        """The record, as bytes, and the workspace for update."""
        record = jax.ShapeDtypeStruct((8 * self.plan.record_doubles,), jnp.uint8)
        return self._call("reduce", counters, self._workspace(), [], [record, 2])

    def update(self, counters: jax.Array, workspace: jax.Array, records: jax.Array) -> Stepped:
        """Sums the records and steps: counters, stats, leaves."""
        out = self._call("update", counters, workspace, [records], [1, 2, *self._tensors(), self._tensors().stop])
        return self._stepped(out)

    def rebuild(self, counters: jax.Array) -> jax.Array:
        """counters, whose sums are those of the leaves' exp_avg_sq"""
        return self._call("rebuild", counters, self._workspace(), [], [1, 2])[0]
