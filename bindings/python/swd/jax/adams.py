# SPDX-License-Identifier: Apache-2.0
"""adams: the optimizer of swd.jax."""
from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Callable, Mapping, NamedTuple, Sequence, Tuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from .. import names
from .._structs import Decay
from ..plan import Plan
from ..stats import Stats
from . import trees
from .calls import Leaves, Numbers, plan
from .kinds import Rate, Tree
from .sharding import Layout
from .state import AdamSState, count_of, counters_after, read_stats, stats_bytes

_Step = Callable[[Tree, Tree, Tree], Tuple[Tree, AdamSState]]


class _Pair(NamedTuple):
    init: Callable[[Tree], AdamSState]
    update: Callable[..., tuple[Tree, AdamSState]]


class AdamS(_Pair):
    """A pair (init, update), as optax wants it, and what optax has no place for.

    init(params) -> state. update(grads, state, params) -> updates, state: for optax.apply_updates, optax.chain and
    their like; updates are the new parameters less the old ones, rounded to float32.

    apply(grads, state, params) -> params, state: the step itself, with the bits of the C library's. State and params
    are donated, so their memory is used again and they are gone; inside of a jit of yours its donate_argnums decide.

    stats(state) -> swd.stats.Stats of the latest step. Waits for the device; not under jit.

    load(params, exp_avg, exp_avg_sq, count, vbar_reference=0.0) -> state, from moments and the number of steps: of
    optax.adamw, or of another mesh. The running sums are measured. Not under jit.

    state_specs(params) -> the PartitionSpecs of a state, as shard_map wants them.
    """

    if TYPE_CHECKING:  # nothing of the class: __new__ sets them
        apply: Callable[[Tree, AdamSState, Tree], tuple[Tree, AdamSState]]
        stats: Callable[[AdamSState], Stats]
        load: Callable[..., AdamSState]
        state_specs: Callable[[Tree], AdamSState]

    def __new__(cls, optimizer: _Optimizer) -> AdamS:
        self = super().__new__(cls, optimizer.init, optimizer.update)
        self.apply, self.stats, self.load = optimizer.apply, optimizer.stats, optimizer.load
        self.state_specs = optimizer.state_specs
        return self


def adams(learning_rate: Rate, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8, weight_decay: float = 0.0,
          mask: Tree | Callable[[Tree], Tree] = None, *, decay: Decay | str = "scheduled", max_grad_norm: float = 0.0,
          max_decay: float = 0.1, reference_step: int = 100, mesh: Mesh | None = None, specs: Tree = None) -> AdamS:
    """AdamS with the names of optax.adamw.

    learning_rate: a number, or a function of the count of steps applied so far (optax's schedules). mask: which leaves
    decay, a tree of bools as params or the upper part of one, or a function of params that gives it; None: all. decay:
    "scheduled" (SWD: weight_decay in the unit of a gradient), "relative" (SWD with AdamW's weight_decay, relative to the
    vbar of step reference_step), "decoupled" (AdamW), "l2" (Adam), "none". max_grad_norm: clips the global norm inside
    of the step; 0: not. max_decay: the largest share of a parameter that a step takes.

    A step with a gradient that is not finite changes nothing, neither parameters nor moments nor count.

    mesh, specs: a Mesh, and how params are cut over it, a tree of PartitionSpec as params or the upper part of one. The
    step is then shared by the mesh's devices, each working on what it holds. Without mesh, with specs: for use inside of
    your own shard_map, with check_vma=False.
    """
    return AdamS(_Optimizer(learning_rate, mask, mesh, specs, _numbers(decay, dict(
        b1=b1, b2=b2, eps=eps, weight_decay=weight_decay, max_grad_norm=max_grad_norm, max_decay=max_decay,
        reference_step=reference_step))))


def _numbers(decay: Decay | str, given: Mapping[str, Any]) -> Numbers:
    values: dict[str, Any] = {}
    for name, value in given.items():
        if isinstance(value, jax.core.Tracer):
            raise TypeError(f"{name}: must be known when the step is traced; only learning_rate may be an array "
                            "(optax.inject_hyperparams: name it in static_args)")
        values[name] = int(value) if name == "reference_step" else float(value)
        low = 1.1754944e-38 if name == "eps" else 1 if name == "reference_step" else 0.0
        high = 1.0 if name in ("b1", "b2") else math.inf
        if not low <= values[name] < high:
            raise ValueError(f"{name}: {value} is not in [{low}, {high})")
    return Numbers(decay=names.decay(decay).name.lower(), **values)


class _Optimizer:
    def __init__(self, learning_rate: Rate, mask: Tree, mesh: Mesh | None, specs: Tree, numbers: Numbers) -> None:
        if mesh is not None and specs is None:
            raise ValueError("specs: with a mesh say how params are cut over it, P() if they are not")
        self._rate, self._mask, self._mesh, self._specs = learning_rate, mask, mesh, specs
        self._numbers = numbers
        if not callable(learning_rate) and not isinstance(learning_rate, (jax.Array, np.ndarray)):
            self._rate = float(learning_rate)
            if not 0.0 <= self._rate < math.inf:
                raise ValueError(f"learning_rate: {learning_rate} is not in [0, inf)")
        # Parameters first, as they come out: JAX pairs donated arrays with results of their shape in order.
        self._donating: _Step = jax.jit(lambda params, state, grads: self._step(grads, state, params), donate_argnums=(0, 1))
        self._keeping: _Step = jax.jit(self._step)

    def apply(self, grads: Tree, state: AdamSState, params: Tree) -> tuple[Tree, AdamSState]:
        return self._donating(params, state, grads)

    def update(self, grads: Tree, state: AdamSState, params: Tree = None) -> tuple[Tree, AdamSState]:
        trees.check_params(params)
        new, state = self._keeping(grads, state, params)
        return jax.tree.map(jnp.subtract, new, params), state

    def stats(self, state: AdamSState) -> Stats:
        return read_stats(state.stats, self._numbers)

    def state_specs(self, params: Tree) -> AdamSState:
        layout = Layout(self._mesh, self._specs, params)
        tree = jax.tree.unflatten(jax.tree.structure(params), layout.specs)
        specs: list[Any] = [PartitionSpec(), tree, tree, layout.counter_specs(), PartitionSpec()]
        return AdamSState(*specs)

    def init(self, params: Tree) -> AdamSState:
        layout, decays = self._layout(params)

        def make() -> AdamSState:
            exp_avg, exp_avg_sq = (jax.tree.map(jnp.zeros_like, params) for _ in range(2))
            counters = [jnp.zeros(layout.copies(k) * self._plan(layout, k, decays).state_bytes, jnp.uint8)
                        for k in range(len(layout.classes))]
            return AdamSState(jnp.zeros((), jnp.int32), exp_avg, exp_avg_sq, tuple(counters), jnp.asarray(stats_bytes()))

        return self._placed(params, make)

    def load(self, params: Tree, exp_avg: Tree, exp_avg_sq: Tree, count: Any, vbar_reference: float = 0.0) -> AdamSState:
        layout, decays = self._layout(params)
        moments = [trees.check_like(name, tree, params) for name, tree in (("exp_avg", exp_avg), ("exp_avg_sq", exp_avg_sq))]
        leaves = Leaves(jax.tree.leaves(params), jax.tree.leaves(params), *moments)  # no gradient is read
        counters = tuple(jnp.asarray(np.tile(counters_after(self._plan(layout, k, decays), int(count), vbar_reference),
                                             layout.copies(k))) for k in range(len(layout.classes)))
        stats = stats_bytes(steps_applied=int(count), vbar_reference=vbar_reference)

        def make() -> AdamSState:
            rebuilt = layout.rebuild(self._numbers, counters, leaves, decays)
            first, second = (jax.tree.map(jnp.array, tree) for tree in (exp_avg, exp_avg_sq))
            return AdamSState(jnp.asarray(int(count), jnp.int32), first, second, rebuilt, jnp.asarray(stats))

        return self._placed(params, make)

    def _placed(self, params: Tree, make: Callable[[], AdamSState]) -> AdamSState:
        """What `make` makes, cut as the mesh wants it."""
        mesh = self._mesh
        if mesh is None:
            return make()
        cut = jax.tree.map(lambda spec: NamedSharding(mesh, spec), self.state_specs(params),
                           is_leaf=lambda value: isinstance(value, PartitionSpec))
        made: AdamSState = jax.jit(make, out_shardings=cut)()
        return made

    def _layout(self, params: Tree) -> tuple[Layout, list[bool]]:
        leaves, _ = trees.check_params(params)
        if self._specs is None and jax.sharding.get_abstract_mesh().manual_axes:
            raise ValueError("specs: inside of shard_map say how params are cut: adams(..., specs=...)")
        if any(trees.varying(leaf) for leaf in leaves):
            raise ValueError("shard_map: call it with check_vma=False, which the step's custom calls need")
        return Layout(self._mesh, self._specs, params), trees.spread_mask(self._mask, params)

    def _plan(self, layout: Layout, number: int, decays: Sequence[bool]) -> Plan:
        """Of a class; for what does not depend on how many elements a device holds."""
        which = layout.classes[number].leaves
        return plan((0,) * len(which), tuple(decays[i] for i in which), self._numbers.decay, "float32")

    def _step(self, grads: Tree, state: AdamSState, params: Tree) -> tuple[Tree, AdamSState]:
        layout, decays = self._layout(params)
        leaves = Leaves(trees.check_grads(grads, params), jax.tree.leaves(params),
                        trees.check_like("state.exp_avg", state.exp_avg, params),
                        trees.check_like("state.exp_avg_sq", state.exp_avg_sq, params))
        wanted = [(layout.copies(k) * self._plan(layout, k, decays).state_bytes,) for k in range(len(layout.classes))]
        found = [bytes_.shape for bytes_ in state.counters]
        if found != wanted:
            raise ValueError(f"state.counters: shapes {found} instead of {wanted}: of another mesh, or of other specs; "
                             "load(params, state.exp_avg, state.exp_avg_sq, state.count) makes a state for these")
        rate = self._rate(state.count) if callable(self._rate) else self._rate
        counters, stats, new = layout.step(self._numbers, rate, state.counters, leaves, decays)
        params, exp_avg, exp_avg_sq = (jax.tree.unflatten(jax.tree.structure(params), kind) for kind in new[1:])
        return params, AdamSState(count_of(stats), exp_avg, exp_avg_sq, counters, stats)
