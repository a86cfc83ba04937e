# SPDX-License-Identifier: Apache-2.0
"""What PyTorch's own tests ask of every optimizer: the loss goes the right way, contiguous or not, with schedulers, with
tensor learning rates, with closures; hyper-parameters act per group."""
import copy

import pytest
import torch
from torch.optim import lr_scheduler

from swd.torch import AdamS

CONFIGS = [dict(), dict(decay="decoupled"), dict(decay="l2"), dict(amsgrad=True), dict(weight_decay=0.0),
           dict(decay="decoupled", amsgrad=True), dict(max_grad_norm=0.5), dict(maximize=True),
           dict(maximize=True, amsgrad=True), dict(betas=(0.0, 0.0)), dict(capturable=True)]
SCHEDULERS = {
    "step": lambda o: lr_scheduler.StepLR(o, step_size=5, gamma=0.9),
    "cosine": lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=30),
    "one_cycle": lambda o: lr_scheduler.OneCycleLR(o, max_lr=0.05, total_steps=60),
    "plateau": lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=3),
    "warmup": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.LinearLR(o, 0.1, total_iters=5), lr_scheduler.ExponentialLR(o, 0.99)], milestones=[5]),
}


def problem(contiguous):
    weight = torch.randn(10, 5)
    if not contiguous:
        weight = torch.randn(10, 5, 2)[..., 0]
    weight, bias = torch.nn.Parameter(weight), torch.nn.Parameter(torch.randn(10))
    assert weight.is_contiguous() == contiguous
    x = torch.randn(5)
    return [weight, bias], lambda: (weight.mv(x) + bias).pow(2).sum()


@pytest.mark.parametrize("contiguous", [True, False])
@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_loss_goes_the_right_way(config, contiguous):
    params, loss = problem(contiguous)
    optimizer = AdamS(params, lr=0.02, **{"weight_decay": 1e-4, **config})
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        value = loss()
        value.backward()
        losses.append(value.item())
        optimizer.step()
    if config.get("maximize"):
        assert losses[-1] > 1.5 * losses[0]
    else:
        assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("tensor_lr", [False, True])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_schedulers_drive_the_learning_rate(name, tensor_lr):
    params, loss = problem(True)
    optimizer = AdamS(params, lr=torch.tensor(0.05) if tensor_lr else 0.05)
    scheduler = SCHEDULERS[name](optimizer)
    first, rates = loss().item(), []
    for _ in range(40):
        optimizer.zero_grad()
        loss().backward()
        before = params[1].detach().clone()
        optimizer.step()
        # At the first step Adam moves every parameter by lr, but for the decay: what the scheduler said was used.
        if not rates:
            moved = (params[1].detach() - before).abs().max().item()
            assert moved == pytest.approx(float(optimizer.param_groups[0]["lr"]), rel=0.02)
        rates.append(float(optimizer.param_groups[0]["lr"]))
        scheduler.step(*([loss().item()] if name == "plateau" else []))
    assert loss().item() < first and (name == "plateau" or len(set(rates)) > 3)


def test_tensor_lr_equals_float_lr():
    lr = torch.tensor(0.0321)
    results = []
    for rate in (lr.item(), lr, torch.tensor([0.0321]), lr.double()):
        torch.manual_seed(2)
        params, loss = problem(True)
        optimizer = AdamS(params, lr=rate, weight_decay=1e-3)
        for _ in range(7):
            optimizer.zero_grad()
            loss().backward()
            optimizer.step()
        results.append([p.detach().clone() for p in params])
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other))


def test_tensor_lr_follows_changes_in_place():
    param = torch.nn.Parameter(torch.ones(3))
    lr = torch.tensor(0.1)
    optimizer = AdamS([param], lr=lr, weight_decay=0.0)
    param.grad = torch.ones(3)
    lr.zero_()
    optimizer.step()
    assert torch.equal(param.detach(), torch.ones(3))
    lr.fill_(0.5)
    optimizer.step()
    assert torch.allclose(param.detach(), torch.full((3,), 0.5), atol=1e-6)


def test_closure(network):
    model, x = network(), torch.randn(4, 7)
    optimizer, twin = AdamS(model.parameters()), copy.deepcopy(model)
    other = AdamS(twin.parameters())

    def closure():
        assert torch.is_grad_enabled()
        optimizer.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        return loss

    with torch.no_grad():
        loss = optimizer.step(closure)
    twin(x).square().mean().backward()
    assert other.step() is None
    assert loss.item() > 0
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), twin.parameters()))


def test_groups_have_their_own_hyper_parameters():
    """Each group equals an optimizer of its own, where nothing couples them (no scheduled decay, no clipping)."""
    options = [dict(lr=0.1, betas=(0.5, 0.9), eps=1e-3, weight_decay=0.05, decay="decoupled"),
               dict(lr=0.01, weight_decay=0.0, decay="decoupled"),
               dict(lr=0.02, weight_decay=0.2, decay="l2", maximize=True)]
    starts = [torch.randn(6) for _ in options]
    params = [torch.nn.Parameter(s.clone()) for s in starts]
    together = AdamS([dict(o, params=[p]) for o, p in zip(options, params)])
    alone = [torch.nn.Parameter(s.clone()) for s in starts]
    optimizers = [AdamS([p], **o) for o, p in zip(options, alone)]
    for _ in range(5):
        for p, q in zip(params, alone):
            p.grad = torch.randn(6)
            q.grad = p.grad.clone()
        together.step()
        for optimizer in optimizers:
            optimizer.step()
    assert all(torch.equal(p, q) for p, q in zip(params, alone))


def test_add_param_group_in_the_middle(network):
    """A group that comes later starts at step 1 and leaves the others as they are."""
    model = network()
    first, last = list(model[0].parameters()), list(model[2].parameters())
    optimizer = AdamS(first, decay="decoupled")
    x = torch.randn(4, 7)

    def step():
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()

    step()
    moments = [optimizer.state[p]["exp_avg"].clone() for p in first]
    optimizer.add_param_group(dict(params=last, lr=0.5))
    assert optimizer.param_groups[1]["decay"] == "decoupled"
    before = [p.detach().clone() for p in last]
    step()
    assert all(not torch.equal(a, b.detach()) for a, b in zip(before, last))
    assert [int(optimizer.state[p]["step"]) for p in first + last] == [2, 2, 1, 1]
    assert all(not torch.equal(m, optimizer.state[p]["exp_avg"]) for m, p in zip(moments, first))
    assert optimizer.stats()["steps_applied"] == 2


def test_named_parameters(network):
    model = network()
    optimizer = AdamS(model.named_parameters())
    assert optimizer.param_groups[0]["param_names"] == [name for name, _ in model.named_parameters()]
    model(torch.randn(2, 7)).sum().backward()
    optimizer.step()
    assert "param_names" in optimizer.state_dict()["param_groups"][0]


def test_in_place_changes_are_seen_by_autograd():
    """A step between forward and backward makes backward fail, as with torch's optimizers, instead of giving wrong
    gradients."""
    param = torch.nn.Parameter(torch.ones(3))
    optimizer = AdamS([param])
    param.grad = torch.ones(3)
    loss = (param * param).sum()
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_statistics_of_a_hand_made_step():
    param = torch.nn.Parameter(torch.full((4,), 2.0))
    optimizer = AdamS([dict(params=[param], weight_decay=0.5)], lr=0.005, max_grad_norm=1.0)
    param.grad = torch.full((4,), 3.0)
    optimizer.step()
    stats = optimizer.stats()
    assert stats["grad_norm"] == pytest.approx(6.0) and stats["clip_coef"] == pytest.approx(1 / 6.000001)
    assert stats["vbar"] == pytest.approx(0.25, rel=1e-5) and stats["lambda_eff"] == [pytest.approx(1.0, rel=1e-5)]
    assert stats["largest_decay"] == pytest.approx(0.005, rel=1e-5)
    assert stats["clipped"] and not stats["large_decay"] and stats["result"] == "applied"
