# SPDX-License-Identifier: Apache-2.0
"""Cases of ranks.py: DTensor parameters, with nothing said to AdamS. Those in FOUR need 4 ranks, the others any number."""
import functools

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor, init_device_mesh
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

from ranks import OPTIONS, TINY, Net, differences, full, largest, loss, one_process, train
from swd.torch import AdamS, GradScaler


def shard(model, **options):
    for layer in (model.a, model.b, model.c):
        fully_shard(layer, **options)
    return fully_shard(model, **options)


def fsdp2(net=None, mesh=None, steps=20, **options):
    model = shard(Net(**(net or {})), **({"mesh": mesh} if mesh else {}))
    optimizer = AdamS(model.parameters(), **{**OPTIONS, **options})
    found = train(model, optimizer, range(steps))
    return differences([full(p) for p in model.parameters()], found, one_process(steps, net, **options))


DECAYS = {"scheduled": {}, "relative": dict(decay="relative", weight_decay=0.1, reference_step=5),
          "decoupled": dict(decay="decoupled", weight_decay=0.1), "l2": dict(decay="l2", weight_decay=0.01),
          "amsgrad": dict(amsgrad=True), "no_clip": dict(max_grad_norm=None, weight_decay=0.03),
          "propagate": dict(nonfinite="propagate", max_grad_norm=None)}
for _name, _options in DECAYS.items():
    globals()[f"case_fsdp2_{_name}"] = functools.partial(fsdp2, **_options)


def tensor_parallel(mesh, **options):
    """The first two layers are sharded, the others plain tensors that each rank has."""
    model = parallelize_module(Net(hidden=36), mesh, {"a": ColwiseParallel(), "b": RowwiseParallel()})
    if "dp" in (mesh._get_root_mesh().mesh_dim_names or ()):
        shard(model, mesh=mesh._get_root_mesh()["dp"])
    return model


def case_tp(**options):
    mesh = init_device_mesh("cpu", (dist.get_world_size(),), mesh_dim_names=("tp",))
    model = tensor_parallel(mesh)
    found = train(model, AdamS(model.parameters(), **{**OPTIONS, **options}), share=None)
    return differences([full(p) for p in model.parameters()], found, one_process(net=dict(hidden=36), **options))


def case_tp_amsgrad():
    return case_tp(amsgrad=True)


def case_hsdp():
    return fsdp2(mesh=init_device_mesh("cpu", (2, 2), mesh_dim_names=("replicate", "shard")))


def case_tp_fsdp2():
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("dp", "tp"))
    model = tensor_parallel(mesh["tp"])
    found = train(model, AdamS(model.parameters(), **OPTIONS), share=(mesh["dp"].get_local_rank(), 2))
    return differences([full(p) for p in model.parameters()], found, one_process(net=dict(hidden=36)))


def case_pipeline():
    """Two stages, each sharded over two ranks: the group of all ranks has to be said. Each stage is a network."""
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("pp", "dp"))
    stage, out = mesh["pp"].get_local_rank(), None
    for given in (mesh, dist.group.WORLD):
        model = shard(Net(hidden=20 + stage), mesh=mesh["dp"])
        found = train(model, AdamS(model.parameters(), shards=given, **OPTIONS), share=(mesh["dp"].get_local_rank(), 2))
        both = [Net(hidden=20), Net(hidden=21)]
        optimizer, wanted = AdamS([p for net in both for p in net.parameters()], **OPTIONS), []
        for step in range(20):
            optimizer.zero_grad()
            (loss(both[0], step) + loss(both[1], step)).backward()
            optimizer.step()
            wanted.append(optimizer.stats())
        now = differences([full(p) for p in model.parameters()], found, (list(both[stage].parameters()), wanted))
        out = now if out is None else {key: max(out[key], now[key]) for key in now}
    return out


def fed(model, dtype, **options):
    """Against one optimizer that gets the sharded model's own gradients: where the network computes in 16 bits."""
    options = {**OPTIONS, **options}
    optimizer = AdamS(model.parameters(), **options)
    plain = [nn.Parameter(full(p).clone()) for p in model.parameters()]
    one, found, wanted = AdamS(plain, **options), [], []
    for step in range(20):
        optimizer.zero_grad()
        loss(model, step, dist.get_rank(), dist.get_world_size(), dtype).backward()
        for p, q in zip(model.parameters(), plain):
            q.grad = full(p.grad).clone()
        optimizer.step()
        one.step()
        found.append(optimizer.stats())
        wanted.append(one.stats())
    return differences([full(p) for p in model.parameters()], found, ([q.detach() for q in plain], wanted))


def case_mixed_precision():
    policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    return fed(shard(Net(), mp_policy=policy), torch.float32)


def case_tiny():
    """Ranks that hold nothing of most tensors."""
    return fed(shard(Net(**TINY)), torch.float32)


def case_bfloat16():
    return fed(shard(Net().bfloat16()), torch.bfloat16)


def case_mixed16():
    """Moments rounded at random, by bits that are those of the whole tensor's element."""
    return fed(shard(Net().bfloat16()), torch.bfloat16, states="mixed16")


def case_accumulation():
    """Two backwards a step, the first without communication."""
    model, rank, world = shard(Net()), dist.get_rank(), dist.get_world_size()
    optimizer, found = AdamS(model.parameters(), **OPTIONS), []
    one = Net()
    alone, wanted = AdamS(one.parameters(), **OPTIONS), []
    for step in range(10):
        for o in (optimizer, alone):
            o.zero_grad()
        for part in range(2):
            model.set_requires_gradient_sync(part == 1)
            loss(model, 2 * step + part, rank, world).backward()
            loss(one, 2 * step + part).backward()
        optimizer.step()
        alone.step()
        found.append(optimizer.stats())
        wanted.append(alone.stats())
    return differences([full(p) for p in model.parameters()], found, ([p.detach() for p in one.parameters()], wanted))


def case_overflow_on_one_rank():
    """All ranks skip, their scales stay alike, and nothing has changed."""
    model, scaler = shard(Net()), GradScaler("cpu", init_scale=4.0)
    optimizer = AdamS(model.parameters(), **OPTIONS)
    for step in range(6):
        optimizer.zero_grad()
        scaler.scale(loss(model, step, dist.get_rank(), dist.get_world_size())).backward()
        before = [full(p).clone() for p in model.parameters()]
        bad = step == 3
        if bad and dist.get_rank() == dist.get_world_size() - 1:
            model.b.weight.grad.to_local()[0, 0] = float("inf")
        scaler.step(optimizer)
        scaler.update()
        assert (optimizer.stats()["result"] == "skipped_nonfinite") == bad
        assert (largest(before, [full(p) for p in model.parameters()]) == 0) == bad
        assert scaler.get_scale() == (2.0 if step >= 3 else 4.0)
    return {"param": 0.0}


def case_gradients_of_other_placements():
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    out = {}
    for placement in (Replicate(), Partial(), Shard(1)):
        torch.manual_seed(3)
        value, grad = torch.randn(7, 5), torch.randn(7, 5)
        param, plain = nn.Parameter(distribute_tensor(value, mesh, [Shard(0)])), nn.Parameter(value.clone())
        optimizer, one = AdamS([param], **OPTIONS), AdamS([plain], **OPTIONS)
        for _ in range(3):
            if placement.is_partial():
                given = DTensor.from_local(grad / mesh.size(), mesh, [placement])
            else:
                given = distribute_tensor(grad, mesh, [placement])
            param.grad, plain.grad = given, grad.clone()
            optimizer.step()
            one.step()
        now = differences([full(param)], [optimizer.stats()], ([plain.detach()], [one.stats()]))
        out = {key: max(out.get(key, 0.0), now[key]) for key in now}
    return out


def case_frozen():
    """A layer frozen on all ranks, thawed in mid-training."""
    model, one = shard(Net()), Net()
    optimizer, alone, found, wanted = AdamS(model.parameters(), **OPTIONS), AdamS(one.parameters(), **OPTIONS), [], []
    for half in range(2):
        for net in (model, one):
            net.b.requires_grad_(half == 1)
        found += train(model, optimizer, range(5))
        wanted += train(one, alone, range(5), share=None)
    return differences([full(p) for p in model.parameters()], found, ([p.detach() for p in one.parameters()], wanted))


def case_whole_model_is_reported():
    model, one = shard(Net()), Net()
    optimizer, alone = (AdamS(net.parameters(), update_norms=True, **OPTIONS) for net in (model, one))
    found, wanted = train(model, optimizer, range(6)), train(one, alone, range(6), share=None)
    out = differences([full(p) for p in model.parameters()], found, ([p.detach() for p in one.parameters()], wanted))
    for key in ("param_norm", "update_norm", "clip_coef", "largest_decay"):
        assert max(abs(a[key] / b[key] - 1) for a, b in zip(found, wanted)) < 1e-5, key
    assert abs(optimizer.vbar() / alone.vbar() - 1) < 1e-6
    assert abs(optimizer.weight_decay_from_adamw(0.1) / alone.weight_decay_from_adamw(0.1) - 1) < 1e-6
    return out


FOUR = ("case_hsdp", "case_tp_fsdp2", "case_pipeline")
