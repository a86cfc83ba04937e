# SPDX-License-Identifier: Apache-2.0
"""One step of all leaves: on one device, or as the devices of a mesh share it. Leaves that the same mesh axes cut form a
class, with a plan and counters of its own. Each device reduces what it holds of a class; the records of the axes' devices
are gathered, summed by all in one order, and every class is updated from the sum. So what several devices hold alike counts
once, and all decide from the same bits. Used by adams."""
from __future__ import annotations

import math
from typing import Any, Callable, NamedTuple, Sequence, TypeVar

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec

from . import trees
from .calls import Calls, Leaves, Numbers
from .kinds import Counters, Tree

_Function = TypeVar("_Function", bound=Callable[..., Any])


class Class(NamedTuple):
    axes: tuple[str, ...]    # of the mesh, that cut these leaves
    leaves: tuple[int, ...]  # their numbers


class Layout:
    """How the leaves lie. specs: None on one device. mesh: None inside of a shard_map that the user wrote."""

    def __init__(self, mesh: Mesh | None, specs: Tree, params: Tree) -> None:
        self.mesh, count = mesh, len(jax.tree.leaves(params))
        self.specs = [PartitionSpec()] * count if specs is None else trees.spread_specs(specs, params)
        axes = [trees.axes_of(spec) for spec in self.specs]
        self.classes = [Class(a, tuple(i for i in range(count) if axes[i] == a)) for a in sorted(set(axes) or {()})]

    def _leaf_specs(self) -> Leaves:
        """Of every kind of leaves, the specs."""
        kinds: list[Any] = [list(self.specs)] * 4
        return Leaves(*kinds)

    def counter_specs(self) -> tuple[PartitionSpec, ...]:
        return tuple(PartitionSpec(c.axes) if c.axes else PartitionSpec() for c in self.classes)

    def copies(self, number: int) -> int:
        """How often a class's counters stand in the whole array, as outside of shard_map: once per device."""
        return math.prod(self.mesh.shape[axis] for axis in self.classes[number].axes) if self.mesh else 1

    def map(self, function: _Function, in_specs: Tree, out_specs: Tree) -> _Function:
        """`function` on what each device holds."""
        if not self.mesh:
            return function
        mapped: _Function = jax.shard_map(function, mesh=self.mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False)
        return mapped

    def step(self, numbers: Numbers, rate: Any, counters: Counters, leaves: Leaves,
             decays: Sequence[bool]) -> tuple[Counters, jax.Array, Leaves]:
        """counters, stats, leaves without gradients."""
        fixed = rate if isinstance(rate, float) else None  # a number known now is no operand

        def on_device(rate: jax.Array, counters: Counters, leaves: Leaves) -> tuple[Counters, jax.Array, Leaves]:
            return _step(self.classes, numbers, rate if fixed is None else fixed, counters, leaves, decays)

        kinds, everywhere = self._leaf_specs(), PartitionSpec()
        in_specs = (everywhere, self.counter_specs(), kinds)
        out_specs = (self.counter_specs(), everywhere, kinds._replace(grads=[]))
        rate = jnp.asarray(rate, jnp.float32)
        return self.map(on_device, in_specs, out_specs)(rate, counters, leaves)

    def rebuild(self, numbers: Numbers, counters: Counters, leaves: Leaves, decays: Sequence[bool]) -> Counters:
        """counters, with the sums of exp_avg_sq."""
        def on_device(counters: Counters, leaves: Leaves) -> Counters:
            return tuple(_calls(c, numbers, 0.0, leaves, decays).rebuild(bytes_)
                         for c, bytes_ in zip(self.classes, counters))

        specs = self.counter_specs()
        return self.map(on_device, (specs, self._leaf_specs()), specs)(counters, leaves)


def _calls(class_: Class, numbers: Numbers, rate: float | jax.Array, leaves: Leaves, decays: Sequence[bool]) -> Calls:
    return Calls(numbers, rate, leaves.pick(class_.leaves), [decays[i] for i in class_.leaves])


def _step(classes: Sequence[Class], numbers: Numbers, rate: float | jax.Array, counters: Counters, leaves: Leaves,
          decays: Sequence[bool]) -> tuple[Counters, jax.Array, Leaves]:
    calls = [_calls(c, numbers, rate, leaves, decays) for c in classes]
    if len(calls) == 1 and not classes[0].axes:
        done = [calls[0].step(counters[0])]
    else:
        reduced = [call.reduce(bytes_) for call, bytes_ in zip(calls, counters)]
        rows = [jax.lax.all_gather(record, c.axes).ravel() if c.axes else record
                for c, (record, _) in zip(classes, reduced)]
        records = jnp.concatenate(rows)
        done = [call.update(bytes_, workspace, records)
                for call, bytes_, (_, workspace) in zip(calls, counters, reduced)]
    out: list[list[Any]] = [[None] * len(leaves.params) for _ in range(3)]
    for c, (_, _, new) in zip(classes, done):
        for kind, part in zip(out, new[1:]):
            for i, leaf in zip(c.leaves, part):
                kind[i] = leaf
    # All classes say the same, but that one without decay has no largest_decay.
    telling = next((k for k, c in enumerate(classes) if any(decays[i] for i in c.leaves)), 0)
    return tuple(d[0] for d in done), done[telling][1], Leaves([], *out)
