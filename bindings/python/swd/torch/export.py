# SPDX-License-Identifier: Apache-2.0
"""A checkpoint for torch's AdamW and Adam. Called by users."""
from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from . import narrow, shards
from .tensors import MOMENTS, STEP

if TYPE_CHECKING:
    from .adams import AdamS

_ADAMW_KEYS = ("lr", "betas", "eps", "weight_decay", "amsgrad", "maximize", "capturable", "params", "param_names",
               "initial_lr")


def adamw_state_dict(optimizer: AdamS) -> dict[str, Any]:
    """A state_dict for torch.optim.AdamW (all groups but those with "l2" decay) or torch.optim.Adam ("l2"): only
    their keys, and weight_decay of scheduled and relative groups as it acts at the present vbar, in AdamW's unit.

    ``AdamS.state_dict()`` loads there too, but brings weight_decay as it is.
    """
    state_dict, vbar, reference = optimizer.state_dict(), optimizer.vbar(), optimizer.vbar_reference
    groups = []
    for group in state_dict["param_groups"]:
        out = {key: group[key] for key in _ADAMW_KEYS if key in group}
        if group["decay"] == "scheduled":
            out["weight_decay"] = group["weight_decay"] / math.sqrt(vbar) if vbar > 0 else 0.0
        elif group["decay"] == "relative" and reference > 0:
            out["weight_decay"] = group["weight_decay"] * math.sqrt(reference / vbar) if vbar > 0 else 0.0
        out.update(foreach=None, fused=None, differentiable=False, decoupled_weight_decay=group["decay"] != "l2")
        groups.append(out)
    keys = (STEP,) + MOMENTS
    state = {index: {key: value for key, value in entry.items() if key in keys}
             for index, entry in state_dict["state"].items()}
    numbers = {param: index for index, param in enumerate(p for group in optimizer.param_groups for p in group["params"])}
    for engine in optimizer._layout.engines if optimizer._layout else ():
        if engine.form.narrow:
            with torch.no_grad(), engine.current_device():
                for member, moments in zip(engine.members, narrow.export(engine)):
                    state[numbers[member.owner]].update(
                        {name: shards.like(member.owner, tensor) for name, tensor in moments.items()})
    return {"state": state, "param_groups": groups}
