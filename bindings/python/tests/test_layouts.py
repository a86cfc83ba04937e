# SPDX-License-Identifier: Apache-2.0
"""Memory: other orders, gaps, odd alignment, 16-bit with a master, several dtypes at once, moved data. The result
is that of plain contiguous float32 tensors, to the bit, wherever the numbers are the same."""
import pytest
import torch

from masters import master_of
from swd.torch import AdamS, flatten

SHAPE = (4, 6, 5, 3)


def channels_last(t):
    return t.contiguous(memory_format=torch.channels_last)


LAYOUTS = {
    "channels_last": channels_last,
    "transposed": lambda t: t.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0),
    "gaps": lambda t: torch.stack([t, torch.full_like(t, 7.0)], dim=-1)[..., 0],
    "rows": lambda t: torch.cat([t, torch.full_like(t, 7.0)], dim=1)[:, :SHAPE[1]],
    "misaligned": lambda t: torch.cat([t.new_zeros(1), t.flatten()])[1:].view(SHAPE),
}


def steps(params, optimizer, layout=lambda t: t, count=4):
    generator = torch.Generator().manual_seed(4)
    for _ in range(count):
        for p in params:
            grad = layout(torch.randn(p.shape, generator=generator).bfloat16().to(p.dtype))
            if grad.stride() != p.stride() and p.grad is not None:
                p.grad = None
            p.grad = grad
        optimizer.step()
    return [p.detach().clone() for p in params]


@pytest.mark.parametrize("config", [dict(), dict(amsgrad=True, decay="l2"), dict(max_grad_norm=1.0)], ids=str)
@pytest.mark.parametrize("grads", ["same", "contiguous"])
@pytest.mark.parametrize("name", LAYOUTS)
def test_any_layout_gives_the_update_of_its_memory_order(name, grads, config):
    """Elements of one order: the contiguous run with the same order of elements is the oracle."""
    layout = LAYOUTS[name]
    start = torch.randn(SHAPE)
    param = torch.nn.Parameter(layout(start))
    order = sorted(range(4), key=lambda d: -torch.empty_like(param, device="meta").stride()[d])
    back = [order.index(d) for d in range(4)]
    plain = torch.nn.Parameter(start.permute(order).contiguous())
    one = AdamS([param], lr=0.01, weight_decay=0.01, **config)
    two = AdamS([plain], lr=0.01, weight_decay=0.01, **config)
    untouched = param.detach().untyped_storage().tolist() if name in ("gaps", "rows") else None
    for _ in range(4):
        grad = torch.randn(SHAPE)
        param.grad = layout(grad) if grads == "same" else grad.contiguous()
        plain.grad = grad.permute(order).contiguous()
        one.step()
        two.step()
    assert torch.equal(param.detach(), plain.detach().permute(back))
    assert torch.equal(one.state[param]["exp_avg_sq"], two.state[plain]["exp_avg_sq"].permute(back))
    if untouched is not None:
        gaps = torch.frombuffer(bytearray(untouched), dtype=torch.float32) == 7.0
        now = torch.frombuffer(bytearray(param.detach().untyped_storage().tolist()), dtype=torch.float32)
        assert gaps.sum() == start.numel() and (now[gaps] == 7.0).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("flat", [False, True])
def test_16_bit_parameters_follow_a_float32_master(dtype, flat):
    start = torch.randn(200).to(dtype)
    low, high = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.float())
    if flat:
        flatten([low])
    one, two = AdamS([low], lr=1e-4), AdamS([high], lr=1e-4)
    for _ in range(20):
        grad = torch.randn(200).to(dtype)
        low.grad, high.grad = grad, grad.float()
        one.step()
        two.step()
    assert torch.equal(master_of(one, low), high.detach())
    assert torch.equal(low.detach(), high.detach().to(dtype))
    assert not torch.equal(low.detach(), start)  # 20 steps of 1e-4 add up only in float32


def test_16_bit_parameters_with_gaps():
    store = torch.randn(30, 2).bfloat16()
    param, plain = torch.nn.Parameter(store[:, 0]), torch.nn.Parameter(store[:, 0].clone())
    kept = store[:, 1].clone()
    one, two = AdamS([param], lr=0.01), AdamS([plain], lr=0.01)
    assert torch.equal(*[steps([p], o)[0] for p, o in ((param, one), (plain, two))])
    assert torch.equal(store[:, 1], kept)


def test_what_others_write_into_16_bit_parameters_is_taken_over():
    param = torch.nn.Parameter(torch.randn(50).bfloat16())
    optimizer = AdamS([param], lr=1e-3)
    steps([param], optimizer)
    master = master_of(optimizer, param)
    with torch.no_grad():
        param[7] = 3.0
    param.grad = torch.zeros(50).bfloat16()
    optimizer.param_groups[0]["lr"] = 0.0
    optimizer.step()
    now = master_of(optimizer, param)
    assert param[7] == 3.0 and now[7].bfloat16() == 3.0  # it keeps a remainder, of less than half a step
    keep = torch.arange(50) != 7
    assert torch.equal(now[keep], master[keep])  # the low bits of all others are still there


def test_float32_parameters_with_16_bit_gradients():
    param, plain = torch.nn.Parameter(torch.ones(9)), torch.nn.Parameter(torch.ones(9))
    if not hasattr(param, "grad_dtype"):
        pytest.fail("this torch has no grad_dtype")
    param.grad_dtype = torch.bfloat16
    one, two = AdamS([param], lr=0.01), AdamS([plain], lr=0.01)
    for _ in range(3):
        grad = torch.randn(9).bfloat16()
        param.grad, plain.grad = grad, grad.float()
        one.step()
        two.step()
    assert torch.equal(param.detach(), plain.detach())


@pytest.mark.parametrize("config", [dict(), dict(amsgrad=True), dict(max_grad_norm=1.0), dict(decay="decoupled")], ids=str)
def test_mixed_dtypes_share_norm_and_vbar(config):
    """float32, bfloat16 and float16 go through three plans. They step like one float32 optimizer."""
    starts = [torch.randn(n).bfloat16().float() / 4 for n in (50, 60, 70)]
    dtypes = [torch.float32, torch.bfloat16, torch.float16]
    mixed = [torch.nn.Parameter(s.to(d)) for s, d in zip(starts, dtypes)]
    plain = [torch.nn.Parameter(s.to(d).float()) for s, d in zip(starts, dtypes)]
    one, two = AdamS(mixed, lr=0.01, weight_decay=0.01, **config), AdamS(plain, lr=0.01, weight_decay=0.01, **config)
    for _ in range(6):
        for p, q, d in zip(mixed, plain, dtypes):
            p.grad = torch.randn(q.shape).to(d)
            q.grad = p.grad.float()
        one.step()
        two.step()
    ours, theirs = one.stats(), two.stats()
    assert ours["grad_norm"] == pytest.approx(theirs["grad_norm"], rel=1e-12)
    assert ours["vbar"] == pytest.approx(theirs["vbar"], rel=1e-12)
    masters = [mixed[0]] + [master_of(one, p) for p in mixed[1:]]
    for a, b in zip(masters, plain):
        assert (a - b).abs().max() <= 3e-7
    mixed[1].grad[5] = float("nan")  # a bad gradient in one plan stops all of them
    before = [p.detach().clone() for p in mixed]
    one.step()
    assert all(torch.equal(a, b.detach()) for a, b in zip(before, mixed))
    assert one.stats()["steps_skipped"] == 1


def test_mixed_dtypes_without_the_norm():
    """Nothing couples the plans then: each parameter steps as it would alone."""
    options = dict(lr=0.01, decay="decoupled", nonfinite="propagate", measure_norm=False)
    mixed = [torch.nn.Parameter(torch.randn(50)), torch.nn.Parameter(torch.randn(60).bfloat16())]
    alone = [torch.nn.Parameter(p.detach().clone()) for p in mixed]
    optimizers = [AdamS(mixed, **options)] + [AdamS([p], **options) for p in alone]
    for _ in range(3):
        for p, q in zip(mixed, alone):
            p.grad = torch.randn_like(p)
            q.grad = p.grad
        for optimizer in optimizers:
            optimizer.step()
    assert all(torch.equal(p, q) for p, q in zip(mixed, alone))


def test_update_norms_are_joined_over_plans():
    mixed = [torch.nn.Parameter(torch.ones(50)), torch.nn.Parameter(torch.ones(60).bfloat16())]
    optimizer = AdamS(mixed, lr=0.01, weight_decay=0.0, update_norms=True)
    for p in mixed:
        p.grad = torch.ones_like(p)
    optimizer.step()
    stats = optimizer.stats()
    assert stats["update_norm"] == pytest.approx(0.01 * 110 ** 0.5, rel=1e-5)
    assert stats["param_norm"] == pytest.approx(0.99 * 110 ** 0.5, rel=1e-5)
    assert AdamS(mixed).stats()["update_norm"] is None


def test_pending_negation_is_resolved():
    """Parts of conjugated numbers are stored with the other sign, and so may a gradient or a parameter be. (Both at once
    would hide it: a step is odd in the two.)"""
    start, grad = torch.randn(6), torch.randn(6)
    params = [torch.nn.Parameter(p) for p in (torch._neg_view(-start), start.clone(), start.clone())]
    for param, g in zip(params, (grad, torch._neg_view(-grad), grad)):
        param.grad = g
        AdamS([param], lr=0.1).step()
    assert params[0].is_neg() and params[1].grad.is_neg() and not torch.equal(params[2].detach(), start)
    assert torch.equal(params[0].resolve_neg(), params[2]) and torch.equal(params[1], params[2])
