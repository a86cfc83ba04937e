# SPDX-License-Identifier: Apache-2.0
"""Cases of ranks.py: plain tensors that are parts of a model, said by shards= or record_hook=; and wrong set-ups."""
import copy
import functools

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel as FSDP
from torch.distributed.fsdp import ShardingStrategy, StateDictType
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.nn.parallel import DistributedDataParallel as DDP

from ranks import OPTIONS, Net, differences, largest, loss, one_process, train, warned
from swd.torch import AdamS

RELATIVE = dict(decay="relative", weight_decay=0.1, reference_step=5)


def summed(record):
    dist.all_reduce(record)


def zero(said, **options):
    with warned() as texts:
        model = DDP(Net())
        optimizer = ZeroRedundancyOptimizer(model.parameters(), AdamS, **said, **{**OPTIONS, **options})
        found = train(model, optimizer, inner=optimizer.optim)
    assert not texts, texts
    return differences([p.detach() for p in model.parameters()], found, one_process(**options))


def case_zero_shards():
    return zero(dict(shards="world"))


def case_zero_hook():
    return zero(dict(record_hook=summed), amsgrad=True)


def case_zero_relative():
    return zero(dict(shards=dist.group.WORLD), **RELATIVE)


def case_zero_checkpoint():
    """consolidate_state_dict, loaded by one process and by another ZeroRedundancyOptimizer: both go on alike. That writes
    into state and groups of its AdamS, past load_state_dict."""
    model, options = DDP(Net()), {**OPTIONS, **RELATIVE}
    optimizer = ZeroRedundancyOptimizer(model.parameters(), AdamS, shards="world", **options)
    train(model, optimizer, range(6), inner=optimizer.optim)
    saved = None
    for to in range(dist.get_world_size()):
        optimizer.consolidate_state_dict(to)
        saved = copy.deepcopy(optimizer.state_dict()) if to == dist.get_rank() else saved
    nets = [Net(), Net()]
    for net in nets:
        net.load_state_dict(model.module.state_dict())
    one, twin = AdamS(nets[0].parameters(), **options), DDP(nets[1])
    other = ZeroRedundancyOptimizer(twin.parameters(), AdamS, shards="world", **options)
    one.load_state_dict(saved)
    other.load_state_dict(saved)
    wanted = train(nets[0], one, range(6, 12), share=None)
    found = train(model, optimizer, range(6, 12), inner=optimizer.optim)
    assert train(twin, other, range(6, 12), inner=other.optim) == found
    assert largest([p.detach() for p in model.parameters()], [p.detach() for p in twin.parameters()]) == 0.0
    return differences([p.detach() for p in model.parameters()], found, (
        [p.detach() for p in nets[0].parameters()], wanted))


def whole(model):
    with FSDP.state_dict_type(model, StateDictType.FULL_STATE_DICT):
        found = model.state_dict()
    return [found[name].clone() for name, _ in Net().named_parameters()]


def fsdp1(original, strategy=ShardingStrategy.FULL_SHARD, said=None, **options):
    model = FSDP(Net(), use_orig_params=original, device_id=torch.device("cpu"), sharding_strategy=strategy)
    optimizer = AdamS(model.parameters(), **(said or dict(shards="world")), **{**OPTIONS, **options})
    found = train(model, optimizer)
    return differences(whole(model), found, one_process(**options))


case_fsdp1_original = functools.partial(fsdp1, True)
case_fsdp1_flat = functools.partial(fsdp1, False)
case_fsdp1_flat_relative = functools.partial(fsdp1, False, **RELATIVE)
case_fsdp1_original_amsgrad = functools.partial(fsdp1, True, said=dict(record_hook=summed), amsgrad=True)
case_fsdp1_grad_op = functools.partial(fsdp1, True, ShardingStrategy.SHARD_GRAD_OP)


def case_fsdp1_checkpoint():
    """FSDP.optim_state_dict saves and loads; the run that saved and the one that loaded go on with the same bits. With
    original parameters only saved: loaded by these calls, torch's AdamW goes on with other numbers, too."""
    runs = []
    for original in (False, False, True):
        model = FSDP(Net(), use_orig_params=original, device_id=torch.device("cpu"))
        runs.append((model, AdamS(model.parameters(), shards=dist.group.WORLD, **OPTIONS)))
    (model, optimizer), (twin, other), (third, last) = runs
    for net, its in ((model, optimizer), (third, last)):
        train(net, its, range(6))
        with FSDP.state_dict_type(net, StateDictType.FULL_STATE_DICT):
            FSDP.optim_state_dict(net, its)
    with FSDP.state_dict_type(model, StateDictType.FULL_STATE_DICT):
        saved, weights = FSDP.optim_state_dict(model, optimizer), model.state_dict()
    with FSDP.state_dict_type(twin, StateDictType.FULL_STATE_DICT):
        twin.load_state_dict(weights)
        other.load_state_dict(FSDP.optim_state_dict_to_load(twin, other, saved))
    for net, its in ((model, optimizer), (twin, other), (third, last)):
        train(net, its, range(6, 12))
    assert largest(whole(model), whole(twin)) == 0.0
    return {"param": max(largest(whole(net), one_process(12)[0]) for net in (model, third))}


def case_own_shards():
    """Each rank owns some of the parameters, and one none that ever gets a gradient."""
    rank, world = dist.get_rank(), dist.get_world_size()
    model = Net()
    owner = {p: min(i % (world + 1), world - 1) for i, p in enumerate(model.parameters())}
    mine = [p for p in model.parameters() if owner[p] == rank]
    optimizer, found = AdamS(mine, shards=dist.group.WORLD, **OPTIONS), []
    for step in range(20):
        model.zero_grad()
        loss(model, step).backward()
        optimizer.step()
        found.append(optimizer.stats())
        for p in model.parameters():
            dist.broadcast(p.data, src=owner[p])
    return differences([p.detach() for p in model.parameters()], found, one_process())


def case_rank_without_gradients():
    """It takes part in every sum, and knows the whole model's norm."""
    rank, world = dist.get_rank(), dist.get_world_size()
    param = nn.Parameter(torch.ones(5))
    optimizer = AdamS([param], shards=dist.group.WORLD, amsgrad=True, **OPTIONS)
    for _ in range(3):
        param.grad = None if rank == world - 1 else torch.ones(5)
        optimizer.step()
    stats = optimizer.stats()
    assert stats["result"] == "applied" and stats["steps_applied"] == 3
    assert abs(stats["grad_norm"] - (5 * (world - 1)) ** 0.5) < 1e-6 and optimizer.vbar() > 0
    assert bool((param == 1).all()) == (rank == world - 1)
    return {"param": 0.0}


def case_wrong_fsdp1_without_shards():
    for original in (True, False):
        model = FSDP(Net(), use_orig_params=original, device_id=torch.device("cpu"))
        optimizer, before = AdamS(model.parameters(), **OPTIONS), whole(model)
        loss(model, 0).backward()
        try:
            optimizer.step()
        except ValueError as error:
            assert "pass shards=\"world\"" in str(error)
        else:
            raise AssertionError("FSDP1 without shards stepped")
        assert largest(before, whole(model)) == 0.0
    return {}


def few_steps(model, optimizer, count=6, inner=None):
    with warned() as texts:
        train(model, optimizer, range(count), inner=inner)
    return texts


def case_wrong_zero_without_shards():
    model = DDP(Net())
    optimizer = ZeroRedundancyOptimizer(model.parameters(), AdamS, **OPTIONS)
    texts = few_steps(model, optimizer, 12, optimizer.optim)
    assert len(texts) == 1 and 'pass shards="world"' in texts[0] and "at step 1 " in texts[0], texts
    return {}


def case_wrong_ddp_with_a_sum():
    for said in (dict(shards=dist.group.WORLD), dict(record_hook=summed)):
        model = DDP(Net())
        texts = few_steps(model, AdamS(model.parameters(), **said, **OPTIONS), 12)
        assert len(texts) == 1 and "the norm is too large" in texts[0], texts
    return {}


def case_right_ddp_says_nothing():
    """Two optimizers at once, and one whose ranks train models of their own and say so."""
    model = DDP(Net())
    halves = [AdamS(part.parameters(), **OPTIONS) for part in (model.module.a, model.module.c)]
    with warned() as texts:
        for step in range(12):
            model.zero_grad()
            loss(model, step, dist.get_rank(), dist.get_world_size()).backward()
            for half in halves:
                half.step()
        own = Net(hidden=5 + dist.get_rank())
        train(own, AdamS(own.parameters(), shards=False, **OPTIONS), range(12))
    assert not texts, texts
    return {}


def case_wrong_or_not_models_of_their_own():
    """As GANs over ranks: told once what to write."""
    model = Net(hidden=5 + dist.get_rank())
    optimizer = AdamS(model.parameters(), **OPTIONS)
    with warned() as texts:
        for step in range(12):
            train(model, optimizer, [step])
            dist.barrier()  # else a rank may have ended before the other begins, and is not seen
    assert len(texts) == 1 and "pass shards=False" in texts[0], texts
    return {}


def case_wrong_a_rank_that_stopped():
    """Nobody waits for it."""
    model = Net()
    steps = 0 if dist.get_rank() == 1 else 120
    return {"warned": len(few_steps(model, AdamS(model.parameters(), **OPTIONS), steps)) * (dist.get_world_size() == 2)}
