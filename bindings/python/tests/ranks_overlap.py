# SPDX-License-Identifier: Apache-2.0
"""Cases of ranks.py: overlap_norm, against the same without it: equal bits, and who reduces early. hsdp needs 4 ranks."""
import torch
import torch.distributed as dist
from torch.distributed.tensor import init_device_mesh
from torch.nn.parallel import DistributedDataParallel as DDP

from ranks import OPTIONS, Net, full, loss, warned
from ranks_dtensor import shard, tensor_parallel
from swd.torch import AdamS, early

early._BATCH = {"cpu": 1, "cuda": 1}  # of this process and its forks: gradients so small would wait for the step


def train(make, overlap, change, rank, world, **options):
    """(parameters, what steps reduced, of how many)."""
    model, left = make(), []
    optimizer = AdamS(model.parameters(), overlap_norm=overlap, amsgrad=True, **OPTIONS, **options)
    for step in range(8):
        optimizer.zero_grad(set_to_none=change != "kept")
        for part in range(2) if change == "accumulate" else (1,):
            if change == "accumulate":
                model.set_requires_gradient_sync(part == 1)
            loss(model, 2 * step + part, rank, world).backward()
        if change == "clip":
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.2)
        elif change == "mul":
            for param in model.parameters():
                param.grad.mul_(0.5)
        elif change == "summed":
            for param in model.parameters():
                dist.all_reduce(param.grad)
        optimizer.step()
        left.append(sum(count for engine in optimizer._layout.engines for _, count in engine.rest))
    params = [full(param).clone() for param in model.parameters()]
    return [*params, torch.tensor(list(optimizer.log().values()))], left[-1], len(optimizer._layout.where)


def compare(make, change=None, share=None, **options):
    """The share of the segments that a step reduced itself."""
    rank, world = share or (dist.get_rank(), dist.get_world_size())
    with warned() as texts:
        (one, *_), (two, left, count) = (train(make, overlap, change, rank, world, **options) for overlap in (False, True))
    assert all(map(torch.equal, one, two)), change
    assert not any("overlap_norm" in text for text in texts), texts
    return left / count


def case_fsdp2():
    assert compare(lambda: shard(Net())) == 0
    assert compare(lambda: shard(Net()), "accumulate") == 0
    for change in ("clip", "mul"):
        assert compare(lambda: shard(Net()), change) == 1
    return {}


def case_hsdp():
    assert compare(lambda: shard(Net(), mesh=init_device_mesh("cpu", (2, 2), mesh_dim_names=("replicate", "shard")))) == 0
    return {}


def case_pipeline():
    """Meshes that are not all processes: others may hold replicas."""
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("pp", "dp"))
    share = mesh["dp"].get_local_rank(), 2
    assert compare(lambda: shard(Net(hidden=20 + mesh["pp"].get_local_rank()), mesh=mesh["dp"]), share=share,
                   shards="world") == 1
    return {}


def case_tp():
    """Those that are plain tensors are not early, nor are replicated DTensors."""
    mesh = init_device_mesh("cpu", (dist.get_world_size(),), mesh_dim_names=("tp",))
    assert 0 < compare(lambda: tensor_parallel(mesh), share=(0, 1)) < 1
    return {}


def case_ddp():
    """Gradients are summed after their hooks. No version shows that of views that stay, or of an all-reduce of one's own."""
    for views in (False, True):
        for change in (None, "kept"):
            assert compare(lambda: DDP(Net(), gradient_as_bucket_view=views), change) == 1
    assert compare(Net, "summed") == 1
    return {}
