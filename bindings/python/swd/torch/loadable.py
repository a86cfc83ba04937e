# SPDX-License-Identifier: Apache-2.0
"""What a state_dict must be to be loaded: looked at before anything of the optimizer changes. Called by loading.

torch installs state and groups between the two hooks of load_state_dict; who raises after that leaves an optimizer that
is neither the one before nor the one that was saved.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import blocks, checkpoint, checks, remainders
from .states import UNIT
from .tensors import STEP, SUM

if TYPE_CHECKING:
    from .adams import AdamS


def check(optimizer: AdamS, saved: dict[str, Any]) -> None:
    for group in optimizer.param_groups:
        for param in group["params"]:
            blocks.form_of(optimizer.states, param, False)  # raises where a parameter cannot have these states
    applied = checkpoint.counters_of(saved).applied
    found = {key: state for key, state in saved["state"].items() if isinstance(state, dict)}
    if applied > 0 and found and not any(found.values()):
        _forget_looked_at(optimizer)
        raise ValueError(f"states: the state_dict is of {applied} steps, and has a state of no parameter. Of a flattened one "
                         "set_optimizer_state_dict takes what the optimizer has names for, and makes these only where no "
                         "parameter has a gradient: set each .grad to None before (zero_grad() leaves those of "
                         "swd.torch.flatten), or load a state_dict that is not flattened")
    for key, state in found.items():
        _check_complete(key, state, optimizer.states)
        remainders.check(state)
        if STEP in state:
            checkpoint.step_number(state[STEP])
        if SUM in state:
            checks.one_number(SUM, state[SUM])
        unit = checks.one_number(UNIT, state.get(UNIT, 0.0))
        if not (unit == 0.0 or 0.5 <= unit <= 1.0):
            raise ValueError(f"{UNIT}: {unit} in the state, expected a number from 0.5 to 1 (0: 1)")


def _forget_looked_at(optimizer: AdamS) -> None:
    """torch left empty states where it looked for names, and would take them for made ones at the next try."""
    for param in [param for param, state in optimizer.state.items() if not state]:
        del optimizer.state[param]


def _check_complete(key: Any, state: dict[str, Any], own: str) -> None:
    """Of a flattened state_dict, set_optimizer_state_dict takes the names that the optimizer has, and {} where there is
    nothing of a name."""
    missing = [name for name, value in state.items() if isinstance(value, dict) and not value]
    if not missing:
        return
    cause = (f"state of parameter {key!r}: it had no gradient yet in the optimizer that was saved" if len(missing) == len(state)
             else f"{missing[0]}; it was saved by an optimizer with other states than {own!r}")
    raise ValueError(f"states: the flattened state_dict has no {cause}. Load one that is not flattened")
