# SPDX-License-Identifier: Apache-2.0
"""A step that raises, as something of a loaded state is wrong, and that is repeated once it was repaired: as if it had
been right at once."""
import copy
import warnings

import pytest
import torch

from states_model import CASES, bits, model, run, same
from swd.torch import AdamS

PAIRS = [(source, own, dtype) for own, dtype in CASES for source, its in [*CASES, ("adamw", dtype)] if its == dtype]


def saved(source, dtype):
    params = model(dtype)
    optimizer = AdamS(params, states="fp32" if source == "adamw" else source)
    run(params, [optimizer], 0, 5)
    if source == "adamw":  # which carries the sum along with the step that it belongs to
        adamw = torch.optim.AdamW(params, lr=1e-3)
        adamw.load_state_dict(optimizer.state_dict())
        run(params, [adamw], 5, 3)
        optimizer = adamw
    return params, copy.deepcopy(optimizer.state_dict())


@pytest.mark.parametrize("source, own, dtype", PAIRS)
def test_a_repeated_step_is_that_of_a_state_that_was_right(source, own, dtype):
    params, state_dict = saved(source, dtype)
    found = []
    for fails in (0, 2):
        others = [torch.nn.Parameter(p.detach().clone()) for p in params]
        optimizer = AdamS(others, states=own)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            optimizer.load_state_dict(copy.deepcopy(state_dict))
            state = optimizer.state[others[3]]  # the last: those before it have been taken over when it raises
            name = next(name for name in state if name.startswith("exp_avg") and isinstance(state[name], torch.Tensor))
            good = state[name]
            for _ in range(fails):
                optimizer.state[others[3]][name] = torch.zeros(5, 3, dtype=good.dtype)
                with pytest.raises(ValueError, match=name):
                    run(others, [optimizer], 9, 1)
            optimizer.state[others[3]][name] = good
            run(others, [optimizer], 9, 2)
        found.append((bits(others, optimizer), {str(one.message) for one in said}))
    assert same(found[0][0], found[1][0]) and found[0][1] == found[1][1]
