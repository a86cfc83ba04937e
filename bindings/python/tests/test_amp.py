# SPDX-License-Identifier: Apache-2.0
"""Loss scaling: torch's GradScaler and ours do the same, and ours leaves the gradients alone."""
import pytest
import torch

from swd.torch import AdamS, GradScaler

SCALERS = {"torch": torch.amp.GradScaler, "swd": GradScaler}


def scaled_run(scaler, model, optimizer, steps=12, clip=None, unscale=False):
    """Trains; the loss of steps 3 and 4 is infinite. Returns the scales."""
    scales = []
    generator = torch.Generator().manual_seed(8)
    for step in range(steps):
        x = torch.randn(4, 7, generator=generator)
        optimizer.zero_grad()
        loss = model(x).square().mean()
        if step in (3, 4):
            loss = loss * float("inf")
        scaler.scale(loss).backward()
        if unscale:
            scaler.unscale_(optimizer)
        if clip:
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        scaler.step(optimizer)
        scaler.update()
        scales.append(scaler.get_scale())
    return scales


@pytest.mark.parametrize("unscale", [False, True])
@pytest.mark.parametrize("name", SCALERS)
def test_scaled_training_equals_plain_training(network, name, unscale):
    """Powers of two scale exactly, so that parameters and moments are the same bits as without a scaler."""
    model, twin = network(), network()
    one = AdamS(model.parameters(), lr=0.01, max_grad_norm=0.7)
    scaler = SCALERS[name]("cpu", init_scale=2.0 ** 10, growth_interval=4)
    scales = scaled_run(scaler, model, one, unscale=unscale)
    two = AdamS(twin.parameters(), lr=0.01, max_grad_norm=0.7)
    scaled_run(torch.amp.GradScaler("cpu", enabled=False), twin, two)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), twin.parameters()))
    stats = one.stats()
    assert (stats["steps_applied"], stats["steps_skipped"]) == (10, 2)
    assert all(int(one.state[p]["step"]) == 10 for p in model.parameters())
    assert scales == [1024.0] * 3 + [512.0, 256.0] + [256.0] * 3 + [512.0] * 4 or scales[3:5] == [512.0, 256.0]
    assert not hasattr(one, "grad_scale") and not hasattr(one, "found_inf")


def test_both_scalers_move_the_scale_alike(network):
    scales = []
    for make in SCALERS.values():
        model = network()
        scales.append(scaled_run(make("cpu", init_scale=2.0 ** 16, growth_interval=2), model, AdamS(model.parameters())))
    assert scales[0] == scales[1] and len(set(scales[0])) > 3


def test_our_scaler_makes_no_pass_over_the_gradients(network, monkeypatch):
    """torch's reads and writes all gradients through one function; ours never calls it."""
    calls = []
    original = torch._amp_foreach_non_finite_check_and_unscale_
    monkeypatch.setattr(torch, "_amp_foreach_non_finite_check_and_unscale_",
                        lambda *args: (calls.append(1), original(*args))[1])
    for name, expected in (("torch", 12), ("swd", 0)):
        calls.clear()
        model = network()
        scaled_run(SCALERS[name]("cpu"), model, AdamS(model.parameters()))
        assert len(calls) == expected


def test_gradients_stay_scaled(network):
    model = network()
    optimizer = AdamS(model.parameters())
    scaler = GradScaler("cpu", init_scale=64.0)
    scaler.scale(model(torch.ones(1, 7)).square().mean()).backward()
    kept = [p.grad.clone() for p in model.parameters()]
    scaler.step(optimizer)
    scaler.update()
    assert all(torch.equal(g, p.grad) for g, p in zip(kept, model.parameters()))
    norm = sum((g.double() / 64).square().sum() for g in kept).sqrt().item()
    assert optimizer.stats()["grad_norm"] == pytest.approx(norm, rel=1e-6)


def test_clipping_by_hand_after_unscale(network):
    model, twin = network(), network()
    one, two = AdamS(model.parameters(), lr=0.01), AdamS(twin.parameters(), lr=0.01)
    scaled_run(GradScaler("cpu", init_scale=256.0), model, one, clip=0.5, unscale=True)
    scaled_run(torch.amp.GradScaler("cpu", init_scale=256.0), twin, two, clip=0.5, unscale=True)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), twin.parameters()))


def test_our_scaler_serves_other_optimizers_too(network):
    models = [network(), network()]
    optimizers = [torch.optim.SGD(models[0].parameters(), lr=0.1), AdamS(models[1].parameters())]
    scaler = GradScaler("cpu", init_scale=8.0)
    before = [p.detach().clone() for m in models for p in m.parameters()]
    loss = sum(m(torch.ones(1, 7)).square().mean() for m in models)
    scaler.scale(loss).backward()
    models[1][0].bias.grad[0] = float("nan")
    for optimizer in optimizers:
        scaler.step(optimizer)
    scaler.update()
    after = [p.detach() for m in models for p in m.parameters()]
    moved = [not torch.equal(a, b) for a, b in zip(before, after)]
    assert moved == [True] * 4 + [False] * 4  # each optimizer has its own verdict
    assert scaler.get_scale() == 4.0          # the scale follows the worse one


def test_step_twice_is_refused_as_by_torch(network):
    model = network()
    optimizer, scaler = AdamS(model.parameters()), GradScaler("cpu")
    scaler.scale(model(torch.ones(1, 7)).sum()).backward()
    scaler.step(optimizer)
    with pytest.raises(RuntimeError, match="already been called"):
        scaler.step(optimizer)


def test_disabled_scaler_is_transparent(network):
    model, twin = network(), network()
    scaled_run(GradScaler("cpu", enabled=False), model, AdamS(model.parameters()))
    scaled_run(torch.amp.GradScaler("cpu", enabled=False), twin, AdamS(twin.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), twin.parameters()))


def test_fp16_training_with_master(network):
    model = network(torch.float16)
    optimizer, scaler = AdamS(model.parameters(), lr=0.01), GradScaler("cpu", init_scale=2.0 ** 8)
    x, losses = torch.randn(8, 7).half(), []
    for _ in range(60):
        optimizer.zero_grad()
        loss = model(x).float().square().mean()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]


@pytest.mark.parametrize("options", [dict(), dict(measure_norm=False, decay="decoupled")], ids=str)
@pytest.mark.parametrize("name", SCALERS)
def test_propagation_rests_while_a_scaler_is_at_work(network, name, options):
    model = network()
    optimizer = AdamS(model.parameters(), nonfinite="propagate", **options)
    scales = scaled_run(SCALERS[name]("cpu", init_scale=2.0 ** 10), model, optimizer)
    assert scales[-1] == 256.0 and optimizer.stats()["steps_skipped"] == 2
    assert all(torch.isfinite(p).all() for p in model.parameters())
