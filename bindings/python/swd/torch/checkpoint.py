# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: from live state to numbers, to a state_dict that torch's Adam and AdamW load, and back from theirs, the
authors' and our own. Called by AdamS and layout.

In a state_dict each parameter has what torch.optim.AdamW keeps (step: float32 of no dimension; exp_avg; exp_avg_sq;
max_exp_avg_sq with amsgrad), and exp_avg_sq_sum, the running sum as a Python float, with exp_avg_sq_sum_step, the step
it belongs to: another optimizer carries both along and counts on, and then the sum is taken from the moments again.
16-bit parameters also have master_param. Moments and master are float32. Narrow states have names of their own, and an
exp_avg_sq_unit, float64 of shape (1,): of a full state_dict set_optimizer_state_dict hands tensors to an optimizer that
has none of the name, and fails at numbers. For FSDP1, which cuts tensors, it is a number. "swd" in each group holds the
counters and the reference of relative decay, as of the moment when the state_dict was made: in the groups they also
survive tools that know state and groups only (torch.distributed.checkpoint). Version 0.1 had them beside the groups.

Of DTensors and FSDP1's parameters no sum is kept: that of a shard says nothing about another. It is taken from the
moments when they are loaded; and when they are saved, in the run that goes on, so that both go on alike.
"""
from __future__ import annotations

import math
from operator import ne
from typing import TYPE_CHECKING, Any, Mapping

import torch

from . import audit, checks, shards, states, versions
from .image import Counters
from .states import UNIT
from .tensors import MASTER, MOMENTS, STEP, SUM, SUM_STEP

if TYPE_CHECKING:
    from .adams import AdamS
    from .kinds import Groups

TENSORS = MOMENTS + (MASTER,) + states.NATIVE
_PICKLED = ("max_grad_norm", "max_decay", "nonfinite", "update_norms", "measure_norm", "shards", "record_hook",
            "reference_step", "states", "overlap_norm", "_watch", "_agreement", "_noted", "_loaded", "_said_shards")
_COUNTER_KEYS = ("steps_applied", "steps_skipped", "vbar_reference", "rounding_seed")


def step_number(value: Any) -> int:
    step = checks.one_number(STEP, value)
    if not (math.isfinite(step) and step >= 0 and step == int(step)):
        raise ValueError(f"step: {step} in the state is no count of steps")
    return int(step)


def take_numbers(state: dict[str, Any], form: states.Form) -> tuple[int, float]:
    """Step and running sum (-1: unknown) of one parameter's state, live or loaded, that will be stored in a form. That of
    narrow moments is not the sum of what they become in float32: each of them was rounded."""
    step = step_number(state.get(STEP, 0))
    belongs = state.get(SUM_STEP, step)
    rounded = not form.narrow and states.foreign(state, form)
    replaced = form.narrow and MOMENTS[1] in state and form.moment in states.held(state)  # laid over the one that is stored
    if SUM in state and belongs == step and 0.0 <= float(state[SUM]) < math.inf and not (rounded or replaced):
        return step, float(state[SUM])
    return step, 0.0 if step == 0 and MOMENTS[1] not in state else -1.0


def live_numbers(optimizer: AdamS) -> tuple[dict[int, float], Counters]:
    """{id of a live tensor: its number}, with one copy from the device per engine; and the counters."""
    engines = optimizer._layout.engines if optimizer._layout else ()
    numbers: dict[int, float] = {}
    counters = Counters() if engines else optimizer.counters
    for engine in engines:
        found, steps, sums, units = engine.image.read()
        counters = counters.merged(found)
        edited = map(ne, versions.of(engine), engine.versions)
        for member, step, total, unit, other in zip(engine.members, steps, sums, units, edited):
            if other or not member.keeps_moments(member.state):
                total = -1.0  # somebody edited the moments, or put others there
            numbers[id(member.step)], numbers[id(member.sum)] = step, total
            if member.unit is not None:
                numbers[id(member.unit)] = unit
    return numbers, counters


def _with_numbers(state: dict[str, Any], numbers: Mapping[int, float]) -> dict[str, Any]:
    out = dict(state)
    for key in (STEP, SUM, UNIT):
        if key in out:
            value = numbers.get(id(out[key]), out[key])
            out[key] = value.item() if isinstance(value, torch.Tensor) else value
    return out


def is_part(param: torch.Tensor) -> bool:
    return shards.is_sharded(param) or shards.is_fsdp1(param)


def settle(optimizer: AdamS) -> None:
    """Replaces the live views by numbers and drops the engines; the next step builds them anew."""
    if optimizer._layout is None:
        return
    numbers, optimizer.counters = live_numbers(optimizer)
    for state in optimizer.state.values():
        state.update(_with_numbers(state, numbers))
    optimizer._layout = None


def detached_state(optimizer: AdamS) -> tuple[Any, Counters]:
    """The state for pickling and copying: numbers, and moments that own their memory. With the counters."""
    numbers, counters = live_numbers(optimizer)
    out = type(optimizer.state)(dict)
    for param, state in optimizer.state.items():
        state = _with_numbers(state, numbers)
        for key in TENSORS:
            tensor = state.get(key)
            if tensor is not None and not shards.is_sharded(tensor) and tensor.untyped_storage().nbytes() > tensor.nbytes:
                state[key] = tensor.clone()  # a view of a flat buffer would bring the whole buffer along
        out[param] = state
    return out, counters


def pack(optimizer: AdamS, state_dict: dict[str, Any]) -> dict[str, Any]:
    """Completes what torch.optim.Optimizer.state_dict made."""
    params = [param for group in optimizer.param_groups for param in group["params"]]
    parts, cut = ({i for i, param in enumerate(params) if found(param)} for found in (is_part, shards.is_fsdp1))
    for engine in optimizer._layout.engines if optimizer._layout and parts else ():
        with torch.no_grad(), engine.current_device():
            audit.retake(engine, optimizer.param_groups, [not is_part(member.owner) for member in engine.members])
    numbers, counters = live_numbers(optimizer)
    group_of = {index: group for group in state_dict["param_groups"] for index in group["params"]}
    out = {}
    for index, state in state_dict["state"].items():
        if isinstance(state, dict) and STEP in state:
            state = _with_numbers(state, numbers)
            step = state[STEP] = step_number(state[STEP])
            if SUM in state:
                state[SUM_STEP] = state.pop(SUM_STEP, step)
                if index in parts:
                    state[SUM] = -1.0  # the keys are the same for all processes, and so is the value
                elif state[SUM] < 0:
                    del state[SUM], state[SUM_STEP]
            # float32 counts to 2^24, as in torch's own optimizers; float64 goes on.
            dtype = torch.float32 if step <= 2 ** 24 else torch.float64
            capturable = group_of.get(index, {}).get("capturable")
            devices = [shards.local(state[key]).device for key in TENSORS if key in state]
            device = devices[0] if capturable and devices else "cpu"
            state[STEP] = torch.tensor(float(step), dtype=dtype, device=device)
            if UNIT in state and index not in cut:
                state[UNIT] = torch.tensor([state[UNIT]], dtype=torch.float64, device=devices[0] if devices else "cpu")
        out[index] = state
    note_counters(optimizer, counters)
    groups = [{**group, "swd": saved_counters(counters)} for group in state_dict["param_groups"]]
    return {**state_dict, "state": out, "param_groups": groups}


def saved_counters(counters: Counters) -> dict[str, float]:
    """As in each group of a state_dict."""
    return dict(zip(_COUNTER_KEYS, counters))


def counters_of(saved: dict[str, Any]) -> Counters:
    """Those of a loaded state_dict, ours or another's."""
    found = Counters()
    for entry in [saved] + saved["param_groups"]:
        kept = entry.get("swd", {})
        numbers = Counters(*(kind(kept.get(key, 0)) for key, kind in zip(_COUNTER_KEYS, (int, int, float, int))))
        if not (min(numbers[:2]) >= 0 and numbers.seed >= 0 and 0.0 <= numbers.reference < math.inf):
            raise ValueError(f"swd: {kept} in the state_dict is no pair of counters and a reference")
        found = found.merged(numbers)
    return found


def take_counters(optimizer: AdamS) -> None:
    """Those that a wrapper wrote into the live groups past load_state_dict, as ZeroRedundancyOptimizer does."""
    found = counters_of({"param_groups": optimizer.param_groups})
    if found != optimizer._noted:
        optimizer.counters = optimizer._noted = found


def note_counters(optimizer: AdamS, counters: Counters) -> None:
    """Writes them into the live groups: ZeroRedundancyOptimizer shares these dicts, and saves what stands there."""
    optimizer._noted = counters
    for group in optimizer.param_groups:
        group["swd"].update(saved_counters(counters))


def set_reference(optimizer: AdamS, value: float) -> None:
    """What AdamS.vbar_reference is assigned."""
    checks.number("vbar_reference", value)
    take_counters(optimizer)
    optimizer.counters = optimizer.counters._replace(reference=float(value))
    for engine in optimizer._layout.engines if optimizer._layout else ():
        engine.image.set_reference(float(value))


def complete_groups(optimizer: AdamS) -> None:
    """After unpickling: options that the groups lack."""
    for group in optimizer.param_groups:
        for name, value in optimizer.defaults.items():
            if name != "differentiable":
                group.setdefault(name, value)


def pickled(optimizer: AdamS, members: dict[str, Any]) -> dict[str, Any]:
    """What torch.optim.Optimizer pickles, and what AdamS has beside it."""
    state, counters = detached_state(optimizer)
    return {**members, **{name: getattr(optimizer, name) for name in _PICKLED}, "state": state, "counters": counters,
            "_layout": None}
