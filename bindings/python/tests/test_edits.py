# SPDX-License-Identifier: Apache-2.0
"""What others write into parameters and moments between two steps is what the next one starts from."""
import copy
import math

import pytest
import torch

from masters import master_of
from swd.torch import AdamS, audit, flatten

LOW = (torch.bfloat16, torch.float16)


def set_data(p, new):
    p.data = new.clone()


def by_foreach(p, new):
    torch._foreach_copy_([p.data], [new])


def by_numpy(p, new):
    p.detach().view(torch.int16).numpy()[:] = new.view(torch.int16).numpy()


WRITES = {
    "data": lambda p, new: p.data.copy_(new),
    "assigned": set_data,
    "slices": lambda p, new: [p.data[k].copy_(new[k]) for k in range(len(new))],
    "clamp": lambda p, new: p.data.clamp_(new.min(), new.max()),
    "added": lambda p, new: p.data.zero_().add_(new),
    "vector": lambda p, new: torch.nn.utils.vector_to_parameters(new.flatten(), [p]),
    "foreach": by_foreach,
    "numpy": by_numpy,
}


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("dtype", LOW)
@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_16_bit_parameter_written_in_any_way_is_what_the_step_starts_from(write, dtype, flat):
    param = torch.nn.Parameter(torch.randn(4, 8).to(dtype))
    if flat:
        flatten([param])
    optimizer = AdamS([param], lr=1e-6, weight_decay=0)
    for _ in range(3):
        param.grad = torch.randn(4, 8).to(dtype)
        optimizer.step()
    write(param, torch.full((4, 8), 100.0).to(dtype))
    assert (param == 100).all()
    param.grad = torch.randn(4, 8).to(dtype)
    optimizer.step()
    assert (param.float() - 100).abs().max() < 1


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("dtype", LOW)
def test_what_is_swapped_out_and_back_keeps_the_low_bits_of_the_master(dtype, flat):
    """An average swapped in for a validation, and one element that stays changed."""
    param = torch.nn.Parameter(torch.randn(64).to(dtype))
    if flat:
        flatten([param])
    optimizer = AdamS([param], lr=1e-4, weight_decay=0)
    param.grad = torch.randn(64).to(dtype)
    optimizer.step()
    twin, kept = copy.deepcopy(optimizer), param.detach().clone()
    param.data.copy_(torch.zeros(64))
    param.data.copy_(kept)
    param.data[5] = 3.0
    other = twin.param_groups[0]["params"][0]
    param.grad = other.grad = torch.randn(64).to(dtype)
    optimizer.step()
    twin.step()
    same = master_of(optimizer, param) == master_of(twin, other)
    assert same.sum() == 63 and not same[5] and abs(param[5] - 3.0) < 1e-2


def two_params(dtype, flat):
    params = [torch.nn.Parameter(torch.randn(shape).to(dtype)) for shape in ((64, 8), (16,))]
    if flat:
        flatten(params)
    optimizer = AdamS(params, lr=1e-3, weight_decay=1e-4)
    return params, optimizer


def steps(params, optimizer, count, size=1.0):
    for _ in range(count):
        for p in params:
            p.grad = (size * torch.randn(p.shape)).to(p.dtype)
        optimizer.step()


def expected_vbar(params, optimizer):
    """From the moments as they are, and the gradients that the next step finds."""
    total = 0.0
    for p in params:
        state, grad = optimizer.state[p], p.grad.float()
        v = 0.999 * state["exp_avg_sq"] + 0.001 * grad.square()
        total += (v / (1 - 0.999 ** (int(state["step"]) + 1))).double().sum().item()
    return total / sum(p.numel() for p in params)


def each(edit):
    return lambda o, ps: [edit(o.state[p]) for p in ps]


EDITS = {
    "zeroed": each(lambda s: s["exp_avg_sq"].zero_()),
    "zeroed with its step": each(lambda s: (s["exp_avg_sq"].zero_(), s["step"].zero_())),
    "replaced": each(lambda s: s.update(exp_avg_sq=torch.zeros_like(s["exp_avg_sq"]))),
    "other memory": each(lambda s: setattr(s["exp_avg_sq"], "data", s["exp_avg_sq"] / 100)),
    "pruned": each(lambda s: s["exp_avg_sq"].mul_(torch.rand(s["exp_avg_sq"].shape) > 0.9)),
    "rows": lambda o, ps: o.state[ps[0]]["exp_avg_sq"][:32].fill_(0),
    "clamped": each(lambda s: s["exp_avg_sq"].clamp_(max=1e-6)),
    "in a state_dict": lambda o, ps: [s["exp_avg_sq"].mul_(0.01) for s in o.state_dict()["state"].values()],
    "foreach": lambda o, ps: torch._foreach_mul_([o.state[p]["exp_avg_sq"] for p in ps], 0.01),
}


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_moments_edited_by_the_user_count_at_the_next_step(edit, dtype, flat):
    params, optimizer = two_params(dtype, flat)
    steps(params, optimizer, 5)
    edit(optimizer, params)
    for p in params:
        p.grad = (0.01 * torch.randn(p.shape)).to(dtype)
    want = expected_vbar(params, optimizer)
    optimizer.step()
    assert optimizer.stats()["vbar"] == pytest.approx(want, rel=1e-5)


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("edit", [lambda v: v.data.mul_(0.01), lambda v: v.numpy().fill(1e-6)], ids=["data", "numpy"])
def test_moments_edited_where_torch_cannot_see_it_count_within_100_steps(edit, flat):
    params, optimizer = two_params(torch.float32, flat)
    steps(params, optimizer, 7)
    for p in params:
        edit(optimizer.state[p]["exp_avg_sq"])
    steps(params, optimizer, 99)
    for p in params:
        p.grad = 0.01 * torch.randn(p.shape)
    want = expected_vbar(params, optimizer)
    optimizer.step()
    assert optimizer.stats()["vbar"] == pytest.approx(want, rel=1e-5)


@pytest.mark.parametrize("betas", [(0.9, 0.9), (0.9, 0.999), (0.9, 0.99999)])
def test_sums_that_nobody_edited_keep_their_bits(betas):
    """300 steps over six orders of magnitude, with what is below the smallest normal number: no comparison takes one anew."""
    param = torch.nn.Parameter(torch.ones(3000))
    optimizer, seen = AdamS([param], lr=1e-4, weight_decay=0, betas=betas), []
    scale = torch.logspace(-24, 1, 3000)
    for step in range(300):
        param.grad = scale * torch.randn(3000) * (0.01 if step > 150 else 1.0)
        optimizer.step()
        if step % 100 == 97:
            engine = optimizer._layout.engines[0]
            before = engine.image.sums.clone()
            assert not audit.retake(engine, optimizer.param_groups, True).any()
            assert torch.equal(before, engine.image.sums)
            seen.append(step)
    assert len(seen) == 3


def test_a_loaded_sum_that_is_not_that_of_its_moments_is_taken_from_them_and_said():
    params, optimizer = two_params(torch.float32, False)
    steps(params, optimizer, 5)
    saved = copy.deepcopy(optimizer.state_dict())
    saved["state"][0]["exp_avg_sq"].mul_(1e-4)
    optimizer.load_state_dict(saved)
    for p in params:
        p.grad = 0.01 * torch.randn(p.shape)
    want = expected_vbar(params, optimizer)
    with pytest.warns(UserWarning, match="exp_avg_sq_sum: for 1 parameters the state has another sum"):
        optimizer.step()
    assert optimizer.stats()["vbar"] == pytest.approx(want, rel=1e-5)


@pytest.mark.parametrize("change", [lambda t: torch.cat([t, torch.zeros(30, t.shape[1])]), lambda t: t[::2],
                                    torch.zeros_like], ids=["grown", "pruned", "reset"])
def test_parameters_grown_and_pruned_with_their_moments(change):
    """State is moved by hand to a new parameter, as gaussian splatting does."""
    pairs = []
    for cls in (AdamS, torch.optim.AdamW):
        torch.manual_seed(2)
        optimizer = cls([torch.nn.Parameter(torch.randn(50, 3))], lr=1e-3, weight_decay=0.0)
        for half in range(2):
            param = optimizer.param_groups[0]["params"][0]
            steps([param], optimizer, 5)
            if half == 0:
                state = optimizer.state.pop(param)
                state.update({key: change(state[key]) for key in ("exp_avg", "exp_avg_sq")})
                new = torch.nn.Parameter(change(param.detach()))
                optimizer.param_groups[0]["params"][0], optimizer.state[new] = new, state
        pairs.append((param.detach(), optimizer, param))
    assert (pairs[0][0] - pairs[1][0]).abs().max() < 1e-6
    _, optimizer, param = pairs[0]
    v_hat = optimizer.state[param]["exp_avg_sq"] / (1 - 0.999 ** 10)
    assert math.isclose(optimizer.stats()["vbar"], v_hat.double().mean().item(), rel_tol=1e-5)
