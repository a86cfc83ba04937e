# SPDX-License-Identifier: Apache-2.0
"""Hooks of torch.optim.Optimizer, in torch's order; the record hook; two optimizers in two threads."""
import threading

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

import swd
from swd.torch import AdamS


def test_step_hooks_run_in_order(network):
    model, calls = network(), []
    optimizer = AdamS(model.parameters())
    model(torch.ones(1, 7)).sum().backward()
    optimizer.register_step_pre_hook(lambda o, args, kwargs: calls.append("pre"))
    handle = optimizer.register_step_post_hook(lambda o, args, kwargs: calls.append("post"))
    globally = register_optimizer_step_pre_hook(lambda o, args, kwargs: calls.append("global"))
    optimizer.step()
    globally.remove()
    handle.remove()
    optimizer.step()
    assert calls == ["global", "pre", "post", "pre"]


def test_shards_can_be_declined(network):
    AdamS(network().parameters(), shards=False).step()


def test_state_dict_hooks(network):
    model, calls = network(torch.bfloat16), []
    optimizer = AdamS(model.parameters())
    model(torch.ones(1, 7).bfloat16()).sum().backward()
    optimizer.step()
    optimizer.register_state_dict_pre_hook(lambda o: calls.append("pre"))
    optimizer.register_state_dict_post_hook(lambda o, d: {**d, "note": "kept"})
    state_dict = optimizer.state_dict()
    assert calls == ["pre"] and state_dict["note"] == "kept"

    def halve(o, d):
        d = dict(d, state={k: dict(v, exp_avg=v["exp_avg"] / 2) for k, v in d["state"].items()})
        calls.append("load pre")
        return d

    wanted = state_dict["state"][0]["exp_avg"] / 2  # float32, which torch's own loading would have rounded to 16 bits
    assert not torch.equal(wanted, wanted.bfloat16().float())
    optimizer.register_load_state_dict_pre_hook(halve)
    optimizer.register_load_state_dict_post_hook(
        lambda o: calls.append(torch.equal(o.state[model[0].weight]["exp_avg"], wanted)))
    optimizer.load_state_dict(state_dict)
    assert calls == ["pre", "load pre", True]


def shards(params):
    """The same parameters as one optimizer, and as two that know each other only through the norm record."""
    return [torch.nn.Parameter(p.detach().clone()) for p in params]


def test_record_hook_joins_optimizers():
    """Two shards in two threads, the records summed between the passes, step like one optimizer."""
    whole = [torch.nn.Parameter(torch.randn(n)) for n in (40, 50)]
    parts = shards(whole)
    one = AdamS(whole, lr=0.01, weight_decay=0.01, max_grad_norm=1.0)
    two = [AdamS([p], lr=0.01, weight_decay=0.01, max_grad_norm=1.0) for p in parts]
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
    for _ in range(5):
        for p, q in zip(whole, parts):
            p.grad = torch.randn_like(p)
            q.grad = p.grad.clone()
        one.step()
        threads = [threading.Thread(target=o.step) for o in two]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert one.stats()["grad_norm"] == pytest.approx(two[0].stats()["grad_norm"], rel=1e-12)
    assert two[0].stats()["vbar"] == two[1].stats()["vbar"]
    assert all((a - b).abs().max() <= 1e-6 for a, b in zip(whole, parts))


@pytest.mark.parametrize("amsgrad", [False, True])
def test_record_hook_that_raises_is_a_step_that_never_happened(amsgrad):
    """Also if the next step has fewer gradients: what was reduced in vain is not found there."""
    params = [torch.nn.Parameter(torch.randn(n)) for n in (40, 5)]
    twins = shards(params)
    one, two = AdamS(params, amsgrad=amsgrad), AdamS(twins, amsgrad=amsgrad)

    def fail(record):
        raise OSError("the network is down")

    for step in range(4):
        for p, q in zip(params, twins):
            p.grad = torch.randn_like(p)
            q.grad = p.grad.clone()
        if step == 2:
            before = [p.detach().clone() for p in params]
            one.record_hook = fail
            with pytest.raises(OSError):
                one.step()
            assert all(torch.equal(a, p.detach()) for a, p in zip(before, params))
            one.record_hook = lambda record: None
            params[1].grad = twins[1].grad = None
        one.step()
        two.step()
    assert all(torch.equal(p, q) for p, q in zip(params, twins))
    assert one.stats() == two.stats() and one.stats()["steps_applied"] == 4


def test_record_hook_runs_on_a_rank_without_gradients():
    seen = []
    optimizer = AdamS([torch.nn.Parameter(torch.ones(3))], amsgrad=True)
    optimizer.record_hook = lambda record: seen.append(record.clone())
    optimizer.step()
    assert [r.tolist() for r in seen] == [[0.0] * swd.Plan([]).record_doubles] * 2  # two rounds: amsgrad with scheduled decay


def test_two_optimizers_in_two_threads(network):
    """Each thread trains its own network; both end as one that trained alone."""
    def train(model):
        optimizer = AdamS(model.parameters(), lr=0.01, max_grad_norm=1.0)
        generator = torch.Generator().manual_seed(6)
        for _ in range(150):
            optimizer.zero_grad()
            model(torch.randn(4, 7, generator=generator)).square().mean().backward()
            optimizer.step()
        return optimizer.stats()

    models, results = [network() for _ in range(3)], [None] * 3

    def work(i):
        results[i] = train(models[i])

    work(0)
    threads = [threading.Thread(target=work, args=(i,)) for i in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    for model in models[1:]:
        assert all(torch.equal(a, b) for a, b in zip(models[0].parameters(), model.parameters()))
    assert results[0] == results[1] == results[2]


def test_what_is_reported_is_of_the_whole_model_where_a_hook_sums():
    """vbar, its conversion and the norms; the second process is played by the hook, which doubles."""
    param = torch.nn.Parameter(torch.randn(40))
    twins = shards([param, param])
    half = AdamS([param], lr=0.01, weight_decay=0.01, update_norms=True, record_hook=lambda record: record.mul_(2.0))
    whole = AdamS(twins, lr=0.01, weight_decay=0.01, update_norms=True)
    for _ in range(3):
        param.grad = torch.randn(40)
        for twin in twins:
            twin.grad = param.grad.clone()
        half.step()
        whole.step()
    assert half.vbar() == pytest.approx(whole.vbar(), rel=1e-12)
    assert half.weight_decay_from_adamw(0.1) == pytest.approx(whole.weight_decay_from_adamw(0.1), rel=1e-12)
    ours, theirs = half.stats(), whole.stats()
    assert {key: ours[key] for key in ("param_norm", "update_norm", "grad_norm")} == pytest.approx(
        {key: theirs[key] for key in ("param_norm", "update_norm", "grad_norm")}, rel=1e-12)
    assert half.log() == pytest.approx(whole.log(), rel=1e-12)

    def uneven(record):  # another process with as many elements, of twice the mean
        record[0] *= 3.0
        record[1] *= 2.0

    half.record_hook = uneven
    assert half.vbar() == pytest.approx(whole.vbar() * 1.5, rel=1e-12)


def test_a_process_outside_of_the_mesh_counts_nothing():
    from torch.distributed.tensor import DeviceMesh, DTensor, Replicate
    from torch.testing._internal.distributed.fake_pg import FakeStore
    from swd.torch import shards
    torch.distributed.init_process_group("fake", store=FakeStore(), rank=1, world_size=2)
    try:
        inside, outside = (DTensor.from_local(torch.ones(4), DeviceMesh("cpu", [rank]), [Replicate()]) for rank in (1, 0))
        assert shards.first_in_mesh(inside) and not shards.first_in_mesh(outside)
    finally:
        torch.distributed.destroy_process_group()
