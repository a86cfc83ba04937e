# SPDX-License-Identifier: Apache-2.0
"""Who sums the norm record over processes, and which of them count a parameter. Made by layout, asked by run, report and whole.

DTensors say themselves between whom they are shared: the dimensions of their root mesh that any of them spans. A mesh or
group in ``shards``, or a record_hook, goes before; dimensions that no parameter spans then hold different parameters
(pipeline stages, plain shards).
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any, Iterable

import torch
import torch.distributed as dist

from . import checks, shards

if TYPE_CHECKING:
    from .adams import AdamS
    from .kinds import Hook


def _all_params(optimizer: AdamS) -> list[torch.Tensor]:
    return [param for group in optimizer.param_groups for param in group["params"]]


def _root(mesh: Any) -> Any:
    return mesh._get_root_mesh() if hasattr(mesh, "_get_root_mesh") else mesh


def _meshes(params: Iterable[Any]) -> list[Any]:
    found: list[Any] = []
    for param in params:
        if shards.is_sharded(param) and param.device_mesh not in found:
            found.append(param.device_mesh)
    return found


def _spanned(root: Any, mesh: Any) -> set[int]:
    """The dimensions of the root along which this process stays inside the mesh. Not by name: meshes can be flattened."""
    where, ranks = root.get_coordinate(), set(mesh.mesh.flatten().tolist())
    lines = (root.mesh[tuple(where[:dim]) + (slice(None),) + tuple(where[dim + 1:])].tolist() for dim in range(root.ndim))
    return {dim for dim, line in enumerate(lines) if set(line) <= ranks}


def add_up(record: torch.Tensor, group: Any) -> None:
    """Sums a record over a group, with the same bits on all its processes. NCCL's all-reduce gives these; of others it is
    not known, so the records are gathered and added in one order."""
    size = dist.get_world_size(group)
    if size == 1:
        return
    types = [device.type for device in group._device_types]
    here = record if record.device.type in types else record.to(torch.device(types[0], torch.cuda.current_device()))
    if here.is_cuda:
        dist.all_reduce(here, group=group)
    else:
        records = here.new_empty(size * here.numel())
        dist.all_gather_into_tensor(records, here.contiguous(), group=group)
        here = records.view(size, -1).sum(0)
    record.copy_(here)


def _over(groups: list[Any]) -> Hook:
    def hook(record: torch.Tensor) -> None:
        for group in groups:
            add_up(record, group)
    return hook


class Joint:
    """hook: sums a record in place, or None. asked: whether the user said that there are shards. meshes: of DTensors."""

    def __init__(self, optimizer: AdamS) -> None:
        given: Any = optimizer.shards
        params = _all_params(optimizer)
        self.meshes = _meshes(params)
        roots = [root for i, root in enumerate(map(_root, self.meshes)) if root not in map(_root, self.meshes[:i])]
        self._root = roots[0] if len(roots) == 1 and roots[0].get_coordinate() is not None else None
        self._spans = [_spanned(self._root, mesh) for mesh in self.meshes] if self._root is not None else []
        self._used: set[int] = set().union(*self._spans)
        self.asked = optimizer.record_hook is not None or checks.is_group(given)
        self.hook: Hook | None = optimizer.record_hook
        self.ranks: list[int] | None = None
        if self.hook is None and checks.is_group(given):
            given = dist.group.WORLD if given == "world" else given
            groups = [given.get_group(dim) for dim in range(given.ndim)] if hasattr(given, "get_group") else [given]
            self.hook = _over(groups)
            self.ranks = given.mesh.flatten().tolist() if hasattr(given, "mesh") else dist.get_process_group_ranks(given)
        elif self.hook is None and given is not False and self.meshes:
            if len(roots) > 1:
                raise ValueError("shards: the parameters are DTensors on meshes without a common root; pass the group of "
                                 "all processes that hold parts of the model")
            if self._root is not None:
                self.hook = _over([self._root.get_group(dim) for dim in sorted(self._used)])
        if self.hook is None and given is None and dist.is_initialized() and dist.get_world_size() > 1:
            checks.no_fsdp1(params)

    def counts(self, param: Any) -> bool:
        """Whether this process counts the parameter's elements: one of those that hold the same ones does."""
        if shards.is_sharded(param) and not shards.first_in_mesh(param):
            return False
        if self._root is None:
            return True
        spans = self._spans[self.meshes.index(param.device_mesh)] if shards.is_sharded(param) else set()
        where = self._root.get_coordinate()
        return all(where[dim] == 0 for dim in self._used - spans)
