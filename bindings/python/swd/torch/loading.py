# SPDX-License-Identifier: Apache-2.0
"""What a loaded state_dict becomes in a live optimizer. Called by AdamS; what state_dicts hold is in checkpoint."""
from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Callable, Mapping

import torch

from . import blocks, loadable, merged, remainders, states
from .checkpoint import TENSORS, counters_of, is_part, note_counters
from .states import UNIT
from .tensors import STEP, SUM

if TYPE_CHECKING:
    from .adams import AdamS
    from .kinds import Groups

_TORCH_KEYS = ("foreach", "fused", "differentiable")  # in every group of torch's Adam and AdamW, in nobody else's


def load(optimizer: AdamS, load_torch: Callable[[dict[str, Any]], None], state_dict: dict[str, Any]) -> None:
    """torch.optim.Optimizer.load_state_dict, and what it knows nothing of, before hooks of users run."""
    saved: dict[str, Any] = {}
    own, live = [dict(group) for group in optimizer.param_groups], dict(optimizer.state)  # torch makes new ones

    def keep(_: Any, final: dict[str, Any]) -> None:
        loadable.check(optimizer, final)
        saved.update(final)
    hooks = [optimizer.register_load_state_dict_pre_hook(keep),
             optimizer.register_load_state_dict_post_hook(lambda _: _unpack(optimizer, saved, own, live), prepend=True)]
    try:
        with torch.inference_mode(False), torch.no_grad():  # steps outside of one write what is loaded inside
            load_torch(state_dict)
        optimizer._loaded = True
    finally:
        for hook in hooks:
            hook.remove()


def _unpack(optimizer: AdamS, saved: dict[str, Any], own_groups: Groups, live: Mapping[torch.Tensor, dict[str, Any]]) -> None:
    """After torch.optim.Optimizer.load_state_dict: takes the moments again, in float32 and not shared with the loaded
    dict, and settles what the groups of other optimizers do not say. live: the states of before."""
    seed = optimizer.counters.seed
    optimizer.counters = counters_of(saved)
    if optimizer.counters.seed == 0:
        optimizer.counters = optimizer.counters._replace(seed=seed)
    for group in optimizer.param_groups:
        group["swd"] = {}
    note_counters(optimizer, optimizer.counters)
    indices = (index for group in saved["param_groups"] for index in group["params"])
    params = (param for group in optimizer.param_groups for param in group["params"])
    for index, param in zip(indices, params):
        state = saved["state"].get(index)
        if not isinstance(state, dict):
            continue
        target, had, form = optimizer.state[param], live.get(param, {}), blocks.form_of(optimizer.states, param, False)
        loaded = merged.only_loaded(param, state, had, form)
        for key in state.keys() - loaded.keys():
            target.pop(key, None)
        state = loaded
        for key in TENSORS:
            value = state.get(key)
            if isinstance(value, torch.Tensor):
                dtype = value.dtype if key in states.NATIVE else torch.float32
                target[key] = value.detach().to(device=param.device, dtype=dtype, copy=True)
        remainders.take(target, merged.kept_remainder(had, form))
        remainders.pack(target)
        if UNIT in state:
            target[UNIT] = float(state[UNIT])
        if is_part(param) and SUM in target:
            target[SUM] = -1.0  # not removed: set_optimizer_state_dict fails at numbers that the optimizer has no name for
        for key in (STEP,) if is_part(param) else (STEP, SUM):
            if key in state:
                target[key] = state[key].item() if isinstance(state[key], torch.Tensor) else state[key]
    for group, theirs, own in zip(optimizer.param_groups, saved["param_groups"], own_groups):
        _unpack_group(group, theirs, own)


def _unpack_group(group: dict[str, Any], theirs: dict[str, Any], own: dict[str, Any]) -> None:
    if "decay" in theirs:
        return
    group["decay"] = own["decay"]
    if own["decay"] == "scheduled" and any(key in theirs for key in _TORCH_KEYS):
        if theirs.get("weight_decay"):
            warnings.warn(f"the checkpoint's weight_decay {theirs['weight_decay']} has the unit of Adam or AdamW; this "
                          f"group keeps its own, {own['weight_decay']} (see AdamS.weight_decay_from_adamw)",
                          stacklevel=5)
        group["weight_decay"] = own["weight_decay"]
