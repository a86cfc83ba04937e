# SPDX-License-Identifier: Apache-2.0
"""One step of all leaves: on one device, or as the devices of a mesh share it. Leaves that the same mesh axes cut form a
class, with a plan and counters of its own. Each device reduces what it holds of a class; the records of the axes' devices
are gathered, summed by all in one order, and every class is updated from the sum. So what several devices hold alike counts
once, and all decide from the same bits. Used by adams."""
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from . import trees
from .calls import Calls, Leaves


class Class(NamedTuple):
    axes: tuple    # of the mesh, that cut these leaves
    leaves: tuple  # their numbers


class Layout:
    """How the leaves lie. specs: None on one device. mesh: None inside of a shard_map that the user wrote."""

    def __init__(self, mesh, specs, params):
        self.mesh, count = mesh, len(jax.tree.leaves(params))
        self.specs = [PartitionSpec()] * count if specs is None else trees.spread_specs(specs, params)
        axes = [trees.axes_of(spec) for spec in self.specs]
        self.classes = [Class(a, tuple(i for i in range(count) if axes[i] == a)) for a in sorted(set(axes) or {()})]

    def counter_specs(self):
        return tuple(PartitionSpec(c.axes) if c.axes else PartitionSpec() for c in self.classes)

    def copies(self, number):
        """How often a class's counters stand in the whole array, as outside of shard_map: once per device."""
        count = 1
        for axis in self.classes[number].axes if self.mesh else ():
            count *= self.mesh.shape[axis]
        return count

    def map(self, function, in_specs, out_specs):
        """`function` on what each device holds."""
        if not self.mesh:
            return function
        return jax.shard_map(function, mesh=self.mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False)

    def step(self, numbers, rate, counters, leaves, decays):
        """counters, stats, leaves without gradients."""
        fixed = rate if isinstance(rate, float) else None  # a number known now is no operand

        def on_device(rate, counters, leaves):
            return _step(self.classes, numbers, rate if fixed is None else fixed, counters, leaves, decays)

        kinds, everywhere = [list(self.specs)] * 4, PartitionSpec()
        in_specs = (everywhere, self.counter_specs(), Leaves(*kinds))
        out_specs = (self.counter_specs(), everywhere, Leaves([], *kinds[1:]))
        rate = jnp.asarray(rate, jnp.float32)
        return self.map(on_device, in_specs, out_specs)(rate, counters, leaves)

    def rebuild(self, numbers, counters, leaves, decays):
        """counters, with the sums of exp_avg_sq."""
        def on_device(counters, leaves):
            return tuple(_calls(c, numbers, 0.0, leaves, decays).rebuild(bytes_)
                         for c, bytes_ in zip(self.classes, counters))

        specs = self.counter_specs()
        return self.map(on_device, (specs, Leaves(*[list(self.specs)] * 4)), specs)(counters, leaves)


def _calls(class_, numbers, rate, leaves, decays):
    return Calls(numbers, rate, leaves.pick(class_.leaves), [decays[i] for i in class_.leaves])


def _step(classes, numbers, rate, counters, leaves, decays):
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
    out = [[None] * len(leaves.params) for _ in range(3)]
    for c, (_, _, new) in zip(classes, done):
        for kind, part in zip(out, new[1:]):
            for i, leaf in zip(c.leaves, part):
                kind[i] = leaf
    # All classes say the same, but that one without decay has no largest_decay.
    telling = next((k for k, c in enumerate(classes) if any(decays[i] for i in c.leaves)), 0)
    return tuple(d[0] for d in done), done[telling][1], Leaves([], *out)
