# SPDX-License-Identifier: Apache-2.0
"""decay="relative": AdamW to the bit until the reference is there, SWD with weight_decay * sqrt(reference) from then on;
the reference by hand, in checkpoints of every kind, over shards."""
import copy
import math
import pickle
import threading

import pytest
import torch

from resume import close, parameters, run, through_file
from swd.torch import AdamS, adamw_state_dict

REFERENCE_STEP, STEPS, DECAY = 20, 300, 0.5
CONFIGS = [dict(), dict(amsgrad=True), dict(max_grad_norm=1.0), dict(maximize=True)]


def same(params, others):
    return all(torch.equal(a, b) for a, b in zip(params, others))


def shrinking(params, optimizers, first, steps):
    """As resume.run, but the gradients fall over the steps, so that the decay rises."""
    for step in range(first, first + steps):
        for k, p in enumerate(params):
            generator = torch.Generator().manual_seed(1000 * step + k)
            p.grad = torch.randn(p.shape, generator=generator) / (1 + 0.05 * step)
        for optimizer in optimizers:
            optimizer.step()


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_decoupled_to_the_bit_and_then_scheduled(config):
    params, twins = parameters(), parameters()
    one = AdamS(params, lr=0.01, betas=(0.9, 0.99), weight_decay=DECAY, decay="relative",
                reference_step=REFERENCE_STEP, **config)
    two = AdamS(twins, lr=0.01, betas=(0.9, 0.99), weight_decay=DECAY, decay="decoupled", **config)
    for step in range(1, REFERENCE_STEP + 1):
        assert one.vbar_reference == 0.0
        shrinking(params, [one], step, 1)
        shrinking(twins, [two], step, 1)
        assert same(params, twins)
    stats = one.stats()
    assert one.vbar_reference == stats["vbar_reference"] == stats["vbar"]
    assert stats["lambda_eff"] == [DECAY]
    two.param_groups[0].update(decay="scheduled", weight_decay=DECAY * math.sqrt(one.vbar_reference))
    start = [p.detach().clone() for p in params]
    shrinking(params, [one], REFERENCE_STEP + 1, STEPS)
    shrinking(twins, [two], REFERENCE_STEP + 1, STEPS)
    assert close(params, twins, 1e-6) and not close(params, start, 0.1)
    ours, theirs = one.stats(), two.stats()
    assert ours["lambda_eff"] == pytest.approx(theirs["lambda_eff"], rel=1e-6)
    assert ours["lambda_eff"][0] > 1.5 * DECAY or config.get("max_grad_norm")  # clipped gradients are all of one size
    assert ours["vbar_reference"] == stats["vbar"]


def test_the_default_is_step_100():
    params = parameters()
    optimizer = AdamS(params, decay="relative", weight_decay=0.1)
    shrinking(params, [optimizer], 1, 99)
    assert optimizer.vbar_reference == 0.0
    shrinking(params, [optimizer], 100, 1)
    assert optimizer.vbar_reference == optimizer.stats()["vbar"] > 0


@pytest.mark.parametrize("before", [0, 5])
def test_reference_by_hand(before):
    params, twins = parameters(), parameters()
    one = AdamS(params, lr=5e-3, weight_decay=DECAY, decay="relative", reference_step=3)
    two = AdamS(twins, lr=5e-3, weight_decay=DECAY, decay="relative", reference_step=3)
    run(params, [one], 2, before)
    run(twins, [two], 2, before)
    one.vbar_reference = 4.0
    assert one.vbar_reference == 4.0
    two.param_groups[0].update(decay="scheduled", weight_decay=2 * DECAY)
    run(params, [one], 2 + before, 10)
    run(twins, [two], 2 + before, 10)
    assert close(params, twins, 1e-6) and one.stats()["vbar_reference"] == 4.0
    one.vbar_reference = 0.0  # taken anew at once, as step 3 is past
    run(params, [one], 20, 1)
    assert one.vbar_reference == one.stats()["vbar"] != 4.0
    for wrong in (-1.0, math.nan, math.inf, "much"):
        with pytest.raises((ValueError, TypeError), match="vbar_reference"):
            one.vbar_reference = wrong


def test_groups_have_their_own_decay():
    """Per group as ever: the relative one follows the gradients, the decoupled one does not."""
    params = parameters()
    optimizer = AdamS([dict(params=params[:1], weight_decay=0.2), dict(params=params[1:2], weight_decay=0.1),
                       dict(params=params[2:], weight_decay=0.3, decay="decoupled")], decay="relative",
                      reference_step=2)
    shrinking(params, [optimizer], 1, 60)
    first, second, third = optimizer.stats()["lambda_eff"]
    assert first == pytest.approx(2 * second) and first > 0.21 and third == 0.3


def resumed(optimizer, params, way):
    if way == "pickle":
        other = pickle.loads(pickle.dumps(optimizer))
    elif way == "deepcopy":
        other = copy.deepcopy(optimizer)
    else:
        others = [torch.nn.Parameter(p.detach().clone()) for p in params]
        other = AdamS(others, reference_step=REFERENCE_STEP)
        other.load_state_dict(through_file(optimizer.state_dict()))
    return other, other.param_groups[0]["params"]


@pytest.mark.parametrize("way", ["file", "pickle", "deepcopy"])
@pytest.mark.parametrize("cut", [REFERENCE_STEP - 5, REFERENCE_STEP + 5])
def test_resume_is_bit_for_bit(cut, way):
    params = parameters()
    optimizer = AdamS(params, lr=0.01, weight_decay=DECAY, decay="relative", reference_step=REFERENCE_STEP)
    shrinking(params, [optimizer], 1, cut)
    other, others = resumed(optimizer, params, way)
    assert other.vbar_reference == optimizer.vbar_reference and other.param_groups[0]["decay"] == "relative"
    shrinking(params, [optimizer], cut + 1, 20)
    shrinking(others, [other], cut + 1, 20)
    assert same(params, others) and other.stats() == optimizer.stats() and other.vbar_reference > 0


@pytest.mark.parametrize("flatten", [False, True])
def test_the_distributed_checkpoint_functions_keep_the_reference(network, flatten):
    """They know state and groups only: what lies beside these is lost there."""
    from torch.distributed.checkpoint.state_dict import (StateDictOptions, get_optimizer_state_dict,
                                                         set_optimizer_state_dict)
    model, twin = network(), network()
    options, x = StateDictOptions(flatten_optimizer_state_dict=flatten), torch.randn(4, 7)
    make = dict(lr=0.01, weight_decay=DECAY, decay="relative", reference_step=3)
    one, two = AdamS(model.parameters(), **make), AdamS(twin.parameters(), **make)

    def train(model, optimizer, steps):
        for _ in range(steps):
            optimizer.zero_grad()
            model(x).square().mean().backward()
            optimizer.step()

    train(model, one, 5)
    state_dict = get_optimizer_state_dict(model, one, options=options)
    set_optimizer_state_dict(twin, two, state_dict, options=options)
    twin.load_state_dict(model.state_dict())
    assert two.vbar_reference == one.vbar_reference > 0
    assert (two.stats()["steps_applied"], two.stats()["steps_skipped"]) == (5, 0)
    train(model, one, 3)
    train(twin, two, 3)
    assert same(model.parameters(), twin.parameters())


def test_checkpoints_of_0_1_load():
    """Counters lay beside the groups there, and there was no reference."""
    params = parameters()
    optimizer = AdamS(params)
    run(params, [optimizer], 1, 5)
    state_dict = optimizer.state_dict()
    for group in state_dict["param_groups"]:
        del group["swd"]
    state_dict["swd"] = {"steps_applied": 5, "steps_skipped": 2}
    other = AdamS(params, decay="relative")
    other.load_state_dict(state_dict)
    assert other.vbar_reference == 0.0
    assert (other.stats()["steps_applied"], other.stats()["steps_skipped"]) == (5, 2)
    state_dict["swd"]["vbar_reference"] = -1.0
    with pytest.raises(ValueError, match="swd: .*-1.0"):
        other.load_state_dict(state_dict)


def test_adamw_checkpoints_bring_their_weight_decay():
    params = parameters()
    theirs = torch.optim.AdamW(params, weight_decay=0.3)
    run(params, [theirs], 1, 5)
    ours = AdamS(params, decay="relative", reference_step=3)
    ours.load_state_dict(theirs.state_dict())  # without the warning that scheduled decay gives: the unit is the same
    assert ours.param_groups[0]["weight_decay"] == 0.3 and ours.param_groups[0]["decay"] == "relative"
    shrinking(params, [ours], 6, 40)
    back = adamw_state_dict(ours)["param_groups"][0]["weight_decay"]
    assert back == pytest.approx(0.3 * math.sqrt(ours.vbar_reference / ours.vbar())) and back > 0.31


def test_shards_share_the_reference():
    whole = [torch.nn.Parameter(torch.randn(n)) for n in (40, 50)]
    parts = [torch.nn.Parameter(p.detach().clone()) for p in whole]
    options = dict(lr=0.01, weight_decay=DECAY, decay="relative", reference_step=3)
    one, two = AdamS(whole, **options), [AdamS([p], **options) for p in parts]
    barrier, records = threading.Barrier(2), [None, None]

    def all_reduce(rank):
        def hook(record):
            records[rank] = record
            barrier.wait(30)
            total = records[0] + records[1]
            barrier.wait(30)
            record.copy_(total)
        return hook

    for rank, optimizer in enumerate(two):
        optimizer.record_hook = all_reduce(rank)
    for _ in range(8):
        for p, q in zip(whole, parts):
            p.grad = torch.randn_like(p)
            q.grad = p.grad.clone()
        one.step()
        threads = [threading.Thread(target=o.step) for o in two]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert two[0].vbar_reference == two[1].vbar_reference == pytest.approx(one.vbar_reference, rel=1e-12)
    assert all((a - b).abs().max() <= 1e-6 for a, b in zip(whole, parts))
