# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: from live state to numbers, to a state_dict that torch's Adam and AdamW load, and back from theirs, the
authors' and our own. Called by AdamS and layout.

In a state_dict each parameter has what torch.optim.AdamW keeps (step: float32 of no dimension; exp_avg; exp_avg_sq;
max_exp_avg_sq with amsgrad), and exp_avg_sq_sum, the running sum as a Python float, with exp_avg_sq_sum_step, the step
it belongs to: another optimizer carries both along and counts on, and then the sum is taken from the moments again.
16-bit parameters also have master_param. Moments and master are float32. "swd" in each group holds the counters and the
reference of relative decay, as of the moment when the state_dict was made: in the groups they also survive tools that
know state and groups only (torch.distributed.checkpoint). Version 0.1 had them beside the groups.

Of DTensors and FSDP1's parameters no sum is kept: that of a shard says nothing about another. It is taken from the
moments when they are loaded; and when they are saved, in the run that goes on, so that both go on alike.
"""
import math
import warnings

import torch

from . import audit, shards, states
from .image import Counters
from .states import UNIT
from .tensors import MASTER, MOMENTS, STEP, SUM, SUM_STEP

_TENSORS = MOMENTS + (MASTER,) + states.NATIVE
_TORCH_KEYS = ("foreach", "fused", "differentiable")  # in every group of torch's Adam and AdamW, in nobody else's
_COUNTER_KEYS = ("steps_applied", "steps_skipped", "vbar_reference", "rounding_seed")


def _step_number(value):
    step = float(value)
    if not (math.isfinite(step) and step >= 0 and step == int(step)):
        raise ValueError(f"step: {step} in the state is no count of steps")
    return int(step)


def take_numbers(state):
    """Step and running sum (-1: unknown) of one parameter's state, live or loaded."""
    step = _step_number(state.get(STEP, 0))
    belongs = state.pop(SUM_STEP, step)
    if SUM in state and belongs == step and 0.0 <= float(state[SUM]) < math.inf:
        return step, float(state[SUM])
    return step, 0.0 if step == 0 and MOMENTS[1] not in state else -1.0


def live_numbers(optimizer):
    """{id of a live tensor: its number}, with one copy from the device per engine; and the counters."""
    engines = optimizer._layout.engines if optimizer._layout else ()
    numbers, counters = {}, Counters() if engines else optimizer.counters
    for engine in engines:
        found, steps, sums, units = engine.image.read()
        counters = counters.merged(found)
        for member, step, total, unit in zip(engine.members, steps, sums, units):
            if not member.keeps_moments(member.state):
                total = -1.0  # somebody put other moments there
            numbers[id(member.step)], numbers[id(member.sum)] = step, total
            if member.unit is not None:
                numbers[id(member.unit)] = unit
    return numbers, counters


def _with_numbers(state, numbers):
    out = dict(state)
    for key in (STEP, SUM, UNIT):
        if key in out:
            value = numbers.get(id(out[key]), out[key])
            out[key] = value.item() if isinstance(value, torch.Tensor) else value
    return out


def _is_part(param):
    return shards.is_sharded(param) or shards.is_fsdp1(param)


def settle(optimizer):
    """Replaces the live views by numbers and drops the engines; the next step builds them anew."""
    if optimizer._layout is None:
        return
    numbers, optimizer.counters = live_numbers(optimizer)
    for state in optimizer.state.values():
        state.update(_with_numbers(state, numbers))
    optimizer._layout = None


def detached_state(optimizer):
    """The state for pickling and copying: numbers, and moments that own their memory. With the counters."""
    numbers, counters = live_numbers(optimizer)
    out = type(optimizer.state)(dict)
    for param, state in optimizer.state.items():
        state = _with_numbers(state, numbers)
        for key in _TENSORS:
            tensor = state.get(key)
            if tensor is not None and not shards.is_sharded(tensor) and tensor.untyped_storage().nbytes() > tensor.nbytes:
                state[key] = tensor.clone()  # a view of a flat buffer would bring the whole buffer along
        out[param] = state
    return out, counters


def pack(optimizer, state_dict):
    """Completes what torch.optim.Optimizer.state_dict made."""
    params = [param for group in optimizer.param_groups for param in group["params"]]
    parts = {i for i, param in enumerate(params) if _is_part(param)}
    for engine in optimizer._layout.engines if optimizer._layout and parts else ():
        with torch.no_grad(), engine.current_device():
            audit.retake(engine, optimizer.param_groups, [not _is_part(member.owner) for member in engine.members])
    numbers, counters = live_numbers(optimizer)
    group_of = {index: group for group in state_dict["param_groups"] for index in group["params"]}
    out = {}
    for index, state in state_dict["state"].items():
        if isinstance(state, dict) and STEP in state:
            state = _with_numbers(state, numbers)
            step = state[STEP] = _step_number(state[STEP])
            if SUM in state:
                state[SUM_STEP] = state.pop(SUM_STEP, step)
                if index in parts:
                    state[SUM] = -1.0  # the keys are the same for all processes, and so is the value
                elif state[SUM] < 0:
                    del state[SUM], state[SUM_STEP]
            # float32 counts to 2^24, as in torch's own optimizers; float64 goes on.
            dtype = torch.float32 if step <= 2 ** 24 else torch.float64
            capturable = group_of.get(index, {}).get("capturable")
            devices = [shards.local(state[key]).device for key in _TENSORS if key in state]
            device = devices[0] if capturable and devices else "cpu"
            state[STEP] = torch.tensor(float(step), dtype=dtype, device=device)
        out[index] = state
    _note_counters(optimizer, counters)
    groups = [{**group, "swd": saved_counters(counters)} for group in state_dict["param_groups"]]
    return {**state_dict, "state": out, "param_groups": groups}


def saved_counters(counters):
    """As in each group of a state_dict."""
    return dict(zip(_COUNTER_KEYS, counters))


def _counters_of(saved):
    """Those of a loaded state_dict, ours or another's."""
    found = Counters()
    for entry in [saved] + saved["param_groups"]:
        kept = entry.get("swd", {})
        numbers = Counters(*(kind(kept.get(key, 0)) for key, kind in zip(_COUNTER_KEYS, (int, int, float, int))))
        if not (min(numbers[:2]) >= 0 and numbers.seed >= 0 and 0.0 <= numbers.reference < math.inf):
            raise ValueError(f"swd: {kept} in the state_dict is no pair of counters and a reference")
        found = found.merged(numbers)
    return found


def take_counters(optimizer):
    """Those that a wrapper wrote into the live groups past load_state_dict, as ZeroRedundancyOptimizer does."""
    found = _counters_of({"param_groups": optimizer.param_groups})
    if found != optimizer._noted:
        optimizer.counters = optimizer._noted = found


def _note_counters(optimizer, counters):
    """Writes them into the live groups: ZeroRedundancyOptimizer shares these dicts, and saves what stands there."""
    optimizer._noted = counters
    for group in optimizer.param_groups:
        group["swd"].update(saved_counters(counters))


def unpack(optimizer, saved, own_groups):
    """After torch.optim.Optimizer.load_state_dict: takes the moments again, in float32 and not shared with the loaded
    dict, and settles what the groups of other optimizers do not say."""
    own = optimizer.counters
    optimizer.counters = _counters_of(saved)
    if optimizer.counters.seed == 0:
        optimizer.counters = optimizer.counters._replace(seed=own.seed)
    for group in optimizer.param_groups:
        group["swd"] = {}
    _note_counters(optimizer, optimizer.counters)
    indices = (index for group in saved["param_groups"] for index in group["params"])
    params = (param for group in optimizer.param_groups for param in group["params"])
    for index, param in zip(indices, params):
        state = saved["state"].get(index)
        if not isinstance(state, dict):
            continue
        target = optimizer.state[param]
        for key in _TENSORS:
            if isinstance(state.get(key), torch.Tensor):
                dtype = state[key].dtype if key in states.NATIVE else torch.float32
                target[key] = state[key].detach().to(device=param.device, dtype=dtype, copy=True)
        if UNIT in state:
            target[UNIT] = float(state[UNIT])
        if _is_part(param):
            target.pop(SUM, None)
        for key in (STEP,) if _is_part(param) else (STEP, SUM):
            if key in state:
                target[key] = state[key].item() if isinstance(state[key], torch.Tensor) else state[key]
    for group, theirs, own in zip(optimizer.param_groups, saved["param_groups"], own_groups):
        _unpack_group(group, theirs, own)


def _unpack_group(group, theirs, own):
    if "decay" in theirs:
        return
    group["decay"] = own["decay"]
    if own["decay"] == "scheduled" and any(key in theirs for key in _TORCH_KEYS):
        if theirs.get("weight_decay"):
            warnings.warn(f"the checkpoint's weight_decay {theirs['weight_decay']} has the unit of Adam or AdamW; this "
                          f"group keeps its own, {own['weight_decay']} (see AdamS.weight_decay_from_adamw)",
                          stacklevel=5)
        group["weight_decay"] = own["weight_decay"]
