# SPDX-License-Identifier: Apache-2.0
"""Checks the trees that users pass, and spreads masks and specs over the leaves of params. Used by adams."""
from __future__ import annotations

from typing import Any, Callable, Sequence

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from .kinds import Tree

_GRAD_DTYPES = (jnp.float32, jnp.bfloat16, jnp.float16)


def _is_spec(value: Any) -> bool:
    return isinstance(value, PartitionSpec)


def _flatten(tree: Tree) -> tuple[list[Any], Any]:
    leaves, structure = jax.tree.flatten(tree)
    return leaves, structure


def _path(tree: Tree, number: int) -> str:
    path: str = jax.tree_util.keystr(jax.tree_util.tree_flatten_with_path(tree)[0][number][0])
    return path


def check_params(params: Tree) -> tuple[list[jax.Array], Any]:
    """The leaves and the structure."""
    if params is None:
        raise ValueError("params: they are needed, to decay them: update(grads, state, params)")
    leaves, structure = _flatten(params)
    for number, leaf in enumerate(leaves):
        if getattr(leaf, "dtype", None) != jnp.float32:
            raise TypeError(f"params{_path(params, number)}: expected a float32 array, not {getattr(leaf, 'dtype', type(leaf))}")
    return leaves, structure


def check_like(name: str, tree: Tree, params: Tree, dtypes: Sequence[Any] = (jnp.float32,)) -> list[jax.Array]:
    """The leaves of a tree that has the structure and shapes of params, and one of those dtypes throughout."""
    leaves, structure = _flatten(tree)
    wanted, expected = _flatten(params)
    if structure != expected:
        raise ValueError(f"{name}: its tree is not that of params: {structure} instead of {expected}")
    for number, (leaf, like) in enumerate(zip(leaves, wanted)):
        where, dtype = f"{name}{_path(tree, number)}", getattr(leaf, "dtype", None)
        if dtype not in dtypes:
            names = ", ".join(jnp.dtype(d).name for d in dtypes)
            raise TypeError(f"{where}: expected an array of {names}, not {dtype or type(leaf)}")
        if dtype != leaves[0].dtype:
            raise TypeError(f"{where}: {dtype}, but others are {leaves[0].dtype}: one dtype for all")
        if leaf.shape != like.shape:
            raise ValueError(f"{where}: shape {leaf.shape}, but that of params is {like.shape}")
    return leaves


def check_grads(grads: Tree, params: Tree) -> list[jax.Array]:
    return check_like("grads", grads, params, _GRAD_DTYPES)


def _spread(name: str, prefix: Tree, params: Tree, is_leaf: Callable[[Any], bool] | None = None) -> list[Any]:
    """One value for each leaf of params, of a tree that ends where it likes."""
    out: list[Any] = []
    try:
        jax.tree.map(lambda value, part: out.extend([value] * len(jax.tree.leaves(part))), prefix, params, is_leaf=is_leaf)
    except ValueError as error:
        raise ValueError(f"{name}: its tree is neither that of params nor the upper part of it: {error}") from None
    return out


def spread_mask(mask: Tree | Callable[[Tree], Tree], params: Tree) -> list[bool]:
    """Whether each leaf decays."""
    mask = mask(params) if callable(mask) else mask
    values = _spread("mask", True if mask is None else mask, params)
    for value in values:
        if isinstance(value, jax.core.Tracer) or getattr(value, "ndim", 0) > 0 or value not in (True, False):
            raise TypeError(f"mask: expected True or False for a leaf, not {value!r}")
    return [bool(value) for value in values]


def spread_specs(specs: Tree, params: Tree) -> list[PartitionSpec]:
    """The PartitionSpec of each leaf."""
    values = _spread("specs", specs, params, _is_spec)
    for value in values:
        if not _is_spec(value):
            raise TypeError(f"specs: expected a PartitionSpec for a leaf, not {value!r}")
    return values


def axes_of(spec: PartitionSpec) -> tuple[str, ...]:
    """The names of the mesh axes that cut a leaf, sorted."""
    names: set[str] = set()
    for entry in spec:
        names.update((entry,) if isinstance(entry, str) else entry or ())
    return tuple(sorted(names))


def varying(leaf: jax.Array) -> Any:
    """The mesh axes that a leaf differs over, where shard_map keeps account of that (check_vma)."""
    kind = jax.typeof(leaf)
    return getattr(getattr(kind, "mat", None), "varying", None) or getattr(kind, "vma", None)  # since JAX 0.10; before
