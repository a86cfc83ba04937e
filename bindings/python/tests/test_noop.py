# SPDX-License-Identifier: Apache-2.0
"""What must change nothing: no gradients, frozen parameters, empty parameters, a NaN step, found_inf."""
import pytest
import torch

from swd.torch import AdamS, flatten


def bits(optimizer):
    """Every byte that a step may change."""
    tensors = [p.detach() for group in optimizer.param_groups for p in group["params"]]
    for state in optimizer.state.values():
        tensors += [value for value in state.values() if isinstance(value, torch.Tensor)]
    return [t.detach().clone() for t in tensors]


def same(before, after):
    return len(before) == len(after) and all(
        torch.equal(a.contiguous().view(torch.uint8), b.contiguous().view(torch.uint8))
        if a.dim() else torch.equal(a, b) for a, b in zip(before, after))


def trained(dtype=torch.float32, **options):
    params = [torch.nn.Parameter(torch.randn(n, dtype=dtype)) for n in (5, 70)]
    optimizer = AdamS(params, **options)
    for _ in range(3):
        for p in params:
            p.grad = torch.randn_like(p)
        optimizer.step()
    return params, optimizer


def test_no_gradients_is_no_step():
    params, optimizer = trained()
    before = bits(optimizer)
    for p in params:
        p.grad = None
    optimizer.step()
    assert same(before, bits(optimizer)) and optimizer.stats()["steps_applied"] == 3


def test_no_gradients_ever():
    param = torch.nn.Parameter(torch.ones(3))
    optimizer = AdamS([param])
    optimizer.step()
    assert len(optimizer.state) == 0 and torch.equal(param.detach(), torch.ones(3))
    assert optimizer.stats()["result"] == "none"


def test_zero_gradients_only_decay():
    params, optimizer = trained(decay="decoupled", weight_decay=0.0)
    fresh = torch.nn.Parameter(torch.ones(4))
    alone = AdamS([fresh], weight_decay=0.1)
    fresh.grad = torch.zeros(4)
    alone.step()
    assert torch.equal(fresh.detach(), torch.ones(4))  # vbar is 0: no scheduled decay
    assert alone.stats()["vbar"] == 0.0 and alone.stats()["result"] == "applied"


@pytest.mark.parametrize("flat", [False, True])
def test_missing_gradient_leaves_the_parameter(flat):
    params = [torch.nn.Parameter(torch.randn(n)) for n in (5, 70, 6)]
    if flat:
        flatten(params)
    optimizer = AdamS(params)
    for step in range(7):
        for k, p in enumerate(params):
            p.grad = None if step == 4 and k == 1 else torch.randn_like(p)
        before, state = params[1].detach().clone(), optimizer.state.get(params[1], {})
        kept = {key: value.clone() for key, value in state.items()}
        optimizer.step()
        if step == 4:
            assert torch.equal(before, params[1].detach())
            assert all(torch.equal(kept[key], optimizer.state[params[1]][key]) for key in kept)
        else:
            assert not torch.equal(before, params[1].detach())
    assert [int(optimizer.state[p]["step"]) for p in params] == [7, 6, 7]


def test_frozen_layer_has_no_state_until_it_thaws(network):
    model, x = network(), torch.randn(4, 7)
    model[0].requires_grad_(False)
    optimizer = AdamS(model.parameters())
    for step in range(4):
        if step == 2:
            model[0].requires_grad_(True)
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()
        assert len(optimizer.state) == (2 if step < 2 else 4)
    assert int(optimizer.state[model[0].weight]["step"]) == 2
    assert int(optimizer.state[model[2].weight]["step"]) == 4


@pytest.mark.parametrize("flat", [False, True])
def test_empty_parameters(flat):
    empty, scalar, full = (torch.nn.Parameter(torch.randn(shape)) for shape in ((0, 3), (), (4,)))
    if flat:
        flatten([empty, scalar, full])
    optimizer = AdamS([empty, scalar, full])
    for _ in range(2):
        for p in (empty, scalar, full):
            p.grad = torch.ones_like(p)
        optimizer.step()
    assert optimizer.stats()["grad_norm"] == pytest.approx(5 ** 0.5)
    assert optimizer.state[empty]["exp_avg"].shape == (0, 3)
    again = AdamS([empty, scalar, full])
    again.load_state_dict(optimizer.state_dict())
    alone = torch.nn.Parameter(torch.empty(0))
    alone.grad = torch.empty(0)
    AdamS([alone]).step()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("options", [dict(), dict(decay="l2"), dict(amsgrad=True), dict(max_grad_norm=1.0)], ids=str)
def test_nonfinite_step_changes_nothing(options, value, dtype):
    params, optimizer = trained(dtype, **options)
    before = bits(optimizer)
    for p in params:
        p.grad = torch.randn_like(p)
    params[1].grad[33] = value
    optimizer.step()
    stats = optimizer.stats()
    assert same(before, bits(optimizer))
    assert (stats["result"], stats["steps_applied"], stats["steps_skipped"]) == ("skipped_nonfinite", 3, 1)
    assert stats["nonfinite"] and stats["bad"] == 1
    params[1].grad[33] = 0.5
    optimizer.step()
    assert not same(before, bits(optimizer)) and optimizer.stats()["steps_applied"] == 4


def test_nonfinite_step_propagates_where_asked():
    params, optimizer = trained(nonfinite="propagate", decay="decoupled")
    for p in params:
        p.grad = torch.randn_like(p)
    params[1].grad[33] = float("nan")
    optimizer.step()
    assert torch.isnan(params[1].detach()).nonzero().flatten().tolist() == [33]
    assert not torch.isnan(params[0].detach()).any() and optimizer.stats()["result"] == "applied"


def test_without_the_norm_a_step_is_the_same_and_the_statistics_say_so():
    """measure_norm=False: same parameters; the running sum is unknown afterwards, and rebuilt when it is needed."""
    results = []
    for options in (dict(), dict(measure_norm=False, nonfinite="propagate")):
        torch.manual_seed(4)
        params, optimizer = trained(decay="decoupled", weight_decay=0.1, **options)
        results.append([p.detach().clone() for p in params])
    assert all(torch.equal(a, b) for a, b in zip(*results))
    assert optimizer.stats()["grad_norm"] == 0.0 and optimizer.state[params[0]]["exp_avg_sq_sum"] == -1.0
    assert "exp_avg_sq_sum" not in optimizer.state_dict()["state"][0]
    moments = [optimizer.state[param]["exp_avg_sq"] for param in params]
    mean = sum(v.double().sum() for v in moments).item() / sum(v.numel() for v in moments)
    assert optimizer.vbar() == pytest.approx(mean / (1 - 0.999 ** 3), rel=1e-6)
    optimizer.step()  # drops them again
    optimizer.measure_norm, optimizer.nonfinite = True, "skip"
    optimizer.param_groups[0].update(decay="scheduled", weight_decay=1e-4)
    optimizer.step()
    state = optimizer.state[params[1]]
    assert state["exp_avg_sq_sum"].item() == pytest.approx(state["exp_avg_sq"].double().sum().item(), rel=1e-6)


def test_parameter_that_left_its_group_counts_no_more():
    params, optimizer = trained()
    both = optimizer.vbar()
    optimizer.param_groups[0]["params"].pop()
    left = optimizer.state[params[0]]
    assert optimizer.vbar() == pytest.approx(left["exp_avg_sq_sum"].item() / (1 - 0.999 ** 3) / 5) and optimizer.vbar() != both


def test_found_inf_is_obeyed():
    params, optimizer = trained()
    before = bits(optimizer)
    optimizer.grad_scale, optimizer.found_inf = None, torch.tensor(1.0)
    optimizer.step()
    assert same(before, bits(optimizer)) and optimizer.stats()["result"] == "skipped_nonfinite"
    optimizer.found_inf = torch.tensor(0.0)
    optimizer.step()
    assert not same(before, bits(optimizer))


def test_gradients_are_never_written():
    params, optimizer = trained(max_grad_norm=0.1)
    grads = [p.grad.clone() for p in params]
    optimizer.grad_scale = torch.tensor(8.0)
    optimizer.step()
    for wrong in (0.0, -1.0, float("inf"), float("nan"), torch.tensor(0.0)):
        optimizer.grad_scale = wrong
        with pytest.raises(ValueError, match="grad_scale: .* is no loss scale"):
            optimizer.step()
    assert all(torch.equal(g, p.grad) for g, p in zip(grads, params))
