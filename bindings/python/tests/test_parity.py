# SPDX-License-Identifier: Apache-2.0
"""decay="decoupled" is torch.optim.AdamW and "l2" is torch.optim.Adam, over 1,000 steps.

The bound is against torch in float64, on the same float32 gradients: 5e-6 of the largest value of each tensor. torch in
float32 is itself up to 3.3e-5 off under decoupled decay, because it cannot hold 1 - lr * weight_decay: ours agrees with
it within 5e-5 there, and within 1e-6 under l2.
"""
import pytest
import torch

from swd.torch import AdamS

STEPS, BOUND = 1000, 5e-6
TO_FLOAT32 = {"decoupled": 5e-5, "l2": 1e-6}
TORCH = {"decoupled": torch.optim.AdamW, "l2": torch.optim.Adam}
CASES = {
    "plain": dict(),
    "amsgrad": dict(amsgrad=True),
    "maximize": dict(maximize=True),
    "no_decay": dict(weight_decay=0.0),
    "betas": dict(betas=(0.8, 0.95), eps=1e-6),
    "small_betas": dict(betas=(0.0, 0.3)),
    "clip": dict(max_grad_norm=3.0),
}


def largest_error(params, wanted):
    return max(((a.detach().double() - b.detach().double()).abs().max() / b.detach().double().abs().max()).item()
               for a, b in zip(params, wanted))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("decay", ["decoupled", "l2"])
def test_parity_with_torch(decay, case):
    options = dict(lr=1e-3, weight_decay=0.02, **{k: v for k, v in CASES[case].items() if k != "weight_decay"})
    options.update({k: v for k, v in CASES[case].items() if k == "weight_decay"})
    clip = options.pop("max_grad_norm", None)
    shapes = [(13, 5), (5,), (40,)]
    ours = [torch.nn.Parameter(torch.randn(shape)) for shape in shapes]
    exact = [torch.nn.Parameter(p.detach().double()) for p in ours]
    single = [torch.nn.Parameter(p.detach().clone()) for p in ours]
    optimizer = AdamS(ours, decay=decay, max_grad_norm=clip, **options)
    others = [TORCH[decay](exact, **options), TORCH[decay](single, **options)]
    generator = torch.Generator().manual_seed(3)
    for step in range(STEPS):
        scale = 0.1 if step % 3 else 2.0
        for a, b, c in zip(ours, exact, single):
            a.grad = scale * torch.randn(a.shape, generator=generator)
            b.grad, c.grad = a.grad.double(), a.grad.clone()
        optimizer.step()
        for params, other in zip((exact, single), others):
            if clip:
                torch.nn.utils.clip_grad_norm_(params, clip)
            other.step()
    assert largest_error(ours, exact) <= BOUND
    assert largest_error(ours, single) <= TO_FLOAT32[decay]
    for a, b in zip(ours, exact):
        state, reference = optimizer.state[a], others[0].state[b]
        for key in ("exp_avg", "exp_avg_sq") + (("max_exp_avg_sq",) if options.get("amsgrad") else ()):
            assert largest_error([state[key]], [reference[key]]) <= BOUND, key
        assert int(state["step"]) == STEPS


def test_scheduled_decay_is_decoupled_decay_over_root_of_vbar():
    """One step by hand: the decay factor is lr * weight_decay / sqrt(mean of g^2) at the first step."""
    param = torch.nn.Parameter(torch.randn(50, dtype=torch.float32))
    start, grad = param.detach().double(), torch.randn(50)
    param.grad = grad
    AdamS([param], lr=0.01, weight_decay=0.05).step()
    g = grad.double()
    decay = 0.01 * 0.05 / g.square().mean().sqrt()
    wanted = start - decay * start - 0.01 * g / (g.abs() + 1e-8)
    assert (param.detach().double() - wanted).abs().max() <= 2e-7
