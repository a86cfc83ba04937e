# SPDX-License-Identifier: Apache-2.0
"""Whole tensors in the loaded state of DTensors: whether every process got them. Asked by layout.

Of a full state_dict, set_optimizer_state_dict cuts what the optimizer has of the same name. What it has not, as the moments
lie there in another form, it leaves whole, and narrow cuts it; but with broadcast_from_rank0 the other processes get
nothing, no word either, and keep the moments of before. They would go on with zeros. So after a load the processes of each
mesh compare how many parameters came in another form: a sum of two numbers.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from . import blocks, shards, states
from .joint import add_up

if TYPE_CHECKING:
    from .adams import AdamS


def _device(optimizer: AdamS, mesh: Any) -> torch.device:
    """Where the parts of a mesh lie."""
    return next(shards.local(param).device for group in optimizer.param_groups for param in group["params"]
                if shards.is_sharded(param) and param.device_mesh == mesh)


def agree(optimizer: AdamS, meshes: list[Any]) -> None:
    """Raises on all processes of a mesh if they did not get the same of what was loaded."""
    if not optimizer._loaded:
        return
    found = sum(states.foreign(optimizer.state.get(param, {}), blocks.form_of(optimizer.states, param, group["amsgrad"]))
                for group in optimizer.param_groups for param in group["params"])
    for mesh in meshes:
        if mesh.get_coordinate() is None:
            continue
        record = torch.tensor([found, 1.0], dtype=torch.float64, device=_device(optimizer, mesh))
        for dim in range(mesh.ndim):
            add_up(record, mesh.get_group(dim))
        total, processes = record.tolist()
        if total != found * processes:
            raise ValueError(f"states: the moments of {found} parameters were loaded in another form than {optimizer.states!r} "
                             "stores here, and other processes got others or none; expected the same on all: with "
                             "set_optimizer_state_dict give each the whole state_dict, and no broadcast_from_rank0")
    optimizer._loaded = False
