# SPDX-License-Identifier: Apache-2.0
"""Right calls in an order that few think of: each stood once between a mutant of swd.torch and a release, or was found by
test_histories."""
import copy
import pickle

import pytest
import torch

from resume import parameters, run
from swd.torch import AdamS, GradScaler, flatten

LAYOUTS = pytest.mark.parametrize("flat", [False, True], ids=["list", "flat"])


def trained(flat=False, steps=3, order=slice(None), **options):
    params = parameters()
    if flat:
        flatten(params[order])
    optimizer = AdamS(params, **options)
    run(params, [optimizer], 1, steps)
    return params, optimizer


def mean_of(pairs, key="exp_avg_sq", beta2=0.999):
    """What vbar is over pairs of a parameter and its state."""
    total = sum(state[key].double().sum().item() / (1 - beta2 ** int(state["step"])) for _, state in pairs)
    return total / sum(param.numel() for param, _ in pairs)


@LAYOUTS
def test_vbar_leaves_l2_groups_out(flat):
    params = parameters()
    if flat:
        flatten(params)
    optimizer = AdamS([{"params": params[:1], "decay": "l2"}, {"params": params[1:]}])
    run(params, [optimizer], 1, 5)
    assert optimizer.vbar() == pytest.approx(mean_of([(p, optimizer.state[p]) for p in params[1:]]), rel=1e-6)


@pytest.mark.parametrize("way", [lambda o: o.weight_decay_from_adamw(1.0) ** 2, lambda o: pickle.loads(pickle.dumps(o)).vbar(),
                                 lambda o: copy.deepcopy(o).vbar(), AdamS.vbar], ids=["unit", "pickle", "deepcopy", "vbar"])
@LAYOUTS
def test_vbar_follows_edited_moments_before_the_next_step(flat, way):
    params, optimizer = trained(flat)
    optimizer.state[params[1]]["exp_avg_sq"].mul_(4.0)
    assert way(optimizer) == pytest.approx(mean_of(optimizer.state.items()), rel=1e-6)


def test_edited_moments_are_saved_without_the_sum_that_was_theirs():
    """Else a load, or another option, would warn of moments that were changed elsewhere."""
    params, optimizer = trained()
    optimizer.state[params[1]]["exp_avg_sq"].mul_(4.0)
    saved = optimizer.state_dict()["state"]
    assert "exp_avg_sq_sum" in saved[0] and "exp_avg_sq_sum" not in saved[1]
    optimizer.param_groups[0]["maximize"] = True
    run(params, [optimizer], 4, 1)


def test_sums_stay_with_their_tensors_where_flat_order_is_not_group_order():
    params, one = trained(True, order=slice(None, None, -1))
    others = parameters()
    flatten(others[::-1])
    two = AdamS(others)
    two.load_state_dict(one.state_dict())
    assert two.vbar() == one.vbar()
    for param, other in zip(params, others):
        sums = [o.state[p]["exp_avg_sq_sum"].item() for o, p in ((one, param), (two, other))]
        assert sums[0] == sums[1] == pytest.approx(one.state[param]["exp_avg_sq"].double().sum().item(), rel=1e-6)
        assert one.state[param]["step"] == two.state[other]["step"]


@LAYOUTS
def test_through_adamw_and_saved_again_before_a_step(flat):
    """The sum that AdamW carried along must not come back to life as that of the present step."""
    params, ours = trained(flat, 5)
    theirs = torch.optim.AdamW(params)
    theirs.load_state_dict(copy.deepcopy(ours.state_dict()))
    run(params, [theirs], 6, 5)
    want = mean_of(theirs.state.items())
    ours.load_state_dict(copy.deepcopy(theirs.state_dict()))
    for _ in range(2):
        ours.load_state_dict(copy.deepcopy(ours.state_dict()))
    assert ours.vbar() == pytest.approx(want, rel=1e-6)


@pytest.mark.parametrize("set_to_none", [True, False])
def test_zero_grad_of_one_of_two_optimizers_on_one_flat_buffer(set_to_none):
    params = parameters()
    flatten(params)
    one, two = AdamS(params[:2]), AdamS(params[2:])
    run(params, [one, two], 1, 1)
    kept = params[2].grad.clone()
    one.zero_grad(set_to_none)
    assert not params[0].grad.any() and not params[1].grad.any()
    assert kept.any() and torch.equal(params[2].grad, kept)


@pytest.mark.parametrize("scale, grad, result", [(2.0 ** 127, 1.0, "skipped_underflow"), (1.0, 1e30, "skipped_overflow")])
def test_our_scaler_backs_off_after_a_skipped_step_of_finite_gradients(scale, grad, result):
    param = torch.nn.Parameter(torch.ones(3))
    optimizer, scaler = AdamS([param], weight_decay=0.0), GradScaler("cpu", init_scale=scale)
    param.grad = torch.full((3,), grad)
    scaler.scale(torch.zeros(()))
    scaler.step(optimizer)
    scaler.update()
    assert optimizer.stats()["result"] == result and scaler.get_scale() == scale / 2
    assert torch.equal(param.detach(), torch.ones(3))
    param.grad = torch.ones(3)
    scaler.step(optimizer)  # the next scale, and s of FLT_MIN, will do
    scaler.update()
    assert optimizer.stats()["result"] == "applied" and scaler.get_scale() == scale / 2


def test_a_copy_of_a_flat_optimizer_owns_what_it_needs_and_leaves_the_original_alone():
    params, optimizer = trained(True)
    run(params, [optimizer], 9, 1)
    before = {p: dict(optimizer.state[p]) for p in params}
    bits = {p: {name: value.clone() for name, value in state.items()} for p, state in before.items()}
    twin = copy.deepcopy(optimizer)
    others = twin.param_groups[0]["params"]
    for state in twin.state.values():
        assert all(state[name].untyped_storage().nbytes() == state[name].nbytes for name in ("exp_avg", "exp_avg_sq"))
    run(others, [twin], 4, 3)
    for p in params:
        assert all(optimizer.state[p][name] is value for name, value in before[p].items())
        assert all(torch.equal(before[p][name], value) for name, value in bits[p].items())
    assert optimizer._layout is not None and optimizer._layout.engines[0].flat is not None
    run(params, [optimizer], 4, 3)
    assert all(torch.equal(a, b) for a, b in zip(params, others))


@LAYOUTS
def test_update_norms_switched_on_later(flat):
    params, optimizer = trained(flat)
    assert optimizer.stats()["update_norm"] is None
    optimizer.update_norms = True
    before = [param.detach().double().clone() for param in params]
    for param in params:
        param.grad = torch.ones_like(param)
    optimizer.step()
    stats = optimizer.stats()
    lost = sum((a - b.detach()).square().sum().item() for a, b in zip(before, params)) ** 0.5
    assert stats["update_norm"] == pytest.approx(lost, rel=1e-3)
    assert stats["param_norm"] == pytest.approx(sum(p.detach().square().sum().item() for p in params) ** 0.5, rel=1e-5)


@LAYOUTS
def test_amsgrad_switched_on_with_state(flat):
    """The maximum starts from the second moments that are there."""
    params, optimizer = trained(flat, betas=(0.9, 0.5))
    before = [optimizer.state[param]["exp_avg_sq"].clone() for param in params]
    optimizer.param_groups[0]["amsgrad"] = True
    for param in params:
        param.grad = 0.01 * torch.ones_like(param)
    optimizer.step()
    for param, old in zip(params, before):
        state = optimizer.state[param]
        assert torch.equal(state["max_exp_avg_sq"], torch.maximum(old, state["exp_avg_sq"])) and (state["exp_avg_sq"] < old).any()
    want = mean_of(optimizer.state.items(), "max_exp_avg_sq", 0.5)
    assert optimizer.stats()["vbar"] == pytest.approx(want, rel=1e-5)


@pytest.mark.parametrize("option", [{"decay": "l2"}, {"decay": "decoupled", "weight_decay": 0.5}, {"maximize": True}, {"amsgrad": True},
                                    {"betas": (0.5, 0.6)}, {"eps": 0.1}, {"lr": torch.tensor(0.1)}], ids=str)
@LAYOUTS
def test_an_option_set_between_two_steps_counts_at_the_next(flat, option):
    """As in a copy, which has everything made anew."""
    params, optimizer = trained(flat)
    twin = copy.deepcopy(optimizer)
    others = twin.param_groups[0]["params"]
    for one in (optimizer, twin):
        one.param_groups[0].update(option)
    run(params, [optimizer], 4, 2)
    run(others, [twin], 4, 2)
    assert all(torch.equal(a, b) for a, b in zip(params, others))


def test_a_parameter_that_left_its_flat_buffer_is_stepped_where_it_is():
    params, optimizer = trained(True)
    twin = copy.deepcopy(optimizer)
    params[1].data = params[1].data.clone()
    others = twin.param_groups[0]["params"]
    run(params, [optimizer], 4, 2)
    run(others, [twin], 4, 2)
    assert all(torch.equal(a, b) for a, b in zip(params, others))


@pytest.mark.parametrize("decay", ["scheduled", "relative"])
def test_amsgrad_over_two_engines_has_vbar_of_the_maxima(decay):
    params = parameters()
    optimizer = AdamS([{"params": params[:1]}, {"params": params[1:], "maximize": True}], decay=decay, amsgrad=True, betas=(0.9, 0.5),
                      reference_step=1)
    for size in (1.0, 0.1):
        for param in params:
            param.grad = size * torch.ones_like(param)
        optimizer.step()
    assert len(optimizer._layout.engines) == 2
    assert optimizer.stats()["vbar"] == pytest.approx(mean_of(optimizer.state.items(), "max_exp_avg_sq", 0.5), rel=1e-5)


@pytest.mark.parametrize("before", [0.25, 0.0])
def test_a_group_that_is_added_leaves_counters_and_reference(before):
    """After a reference by hand it took the counters of before the first step."""
    params, later = parameters(), torch.nn.Parameter(torch.ones(3))
    optimizer = AdamS(params)
    optimizer.vbar_reference = before
    run(params, [optimizer], 1, 3)
    optimizer.vbar_reference = 0.5
    optimizer.add_param_group({"params": [later]})
    run(params, [optimizer], 4, 1)
    stats = optimizer.stats()
    assert (stats["steps_applied"], stats["vbar_reference"]) == (4, 0.5)
