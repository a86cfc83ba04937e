# SPDX-License-Identifier: Apache-2.0
"""Running sums of narrow moments that are loaded: believed where they can be, and what is said of the others."""
import copy
import warnings

import pytest
import torch

from states_model import NARROW, model, run
from swd.torch import AdamS, adamw_state_dict

ANOTHER = "exp_avg_sq_sum: for 4 parameters the state has another sum"


def trained(states, dtype):
    params = model(dtype)
    optimizer = AdamS(params, states=states)
    run(params, [optimizer], 0, 4)
    return params, optimizer


@pytest.mark.parametrize("states, dtype", NARROW)
def test_moments_of_zero_have_not_the_sum_of_others(states, dtype):
    """However wide the noise of rounding: block8 lets each other sum pass."""
    params, optimizer = trained(states, dtype)
    saved = copy.deepcopy(optimizer.state_dict())
    for state in saved["state"].values():
        for name in state:
            if name.startswith("exp_avg") and isinstance(state[name], torch.Tensor) and name != "exp_avg_sq_unit":
                state[name] = torch.zeros_like(state[name])
    other = AdamS(params, states=states)
    other.load_state_dict(saved)
    with pytest.warns(UserWarning, match=ANOTHER):
        assert other.vbar() == 0.0


@pytest.mark.parametrize("states, dtype", NARROW)
def test_the_sum_of_narrow_moments_is_not_that_of_float32_ones(states, dtype):
    """Each was rounded, the running sum was not: nobody changed anything, and nothing of the kind is said."""
    params, optimizer = trained(states, dtype)
    other = AdamS(params)
    other.load_state_dict(optimizer.state_dict())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert other.vbar() == pytest.approx(optimizer.vbar(), rel=1e-2)
    sums = [other.state[p]["exp_avg_sq_sum"].item() for p in params]
    assert sums == pytest.approx([other.state[p]["exp_avg_sq"].double().sum().item() for p in params], rel=1e-6)


@pytest.mark.parametrize("gradients", [True, False])
@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("states, dtype", NARROW)
def test_what_is_written_into_second_moments_is_summed_anew(states, dtype, flat, gradients):
    """Scales are part of them. With gradients everywhere the versions are read as lists, else one by one."""
    params = model(dtype, flat)
    optimizer = AdamS(params, states=states)
    run(params, [optimizer], 0, 4)
    param, state = params[2], optimizer.state[params[2]]
    if states == "mixed16":
        state["exp_avg_sq_bf16_over_unit"].div_(2)
    else:
        state["exp_avg_sq_block8_scale"].sub_(4)
    for k, p in enumerate(params):
        p.grad = torch.zeros_like(p) if gradients or k else None
    optimizer.step()
    exact = adamw_state_dict(optimizer)["state"][2]["exp_avg_sq"].double().sum().item()
    assert optimizer.state[param]["exp_avg_sq_sum"].item() == pytest.approx(exact, rel=0.05)
