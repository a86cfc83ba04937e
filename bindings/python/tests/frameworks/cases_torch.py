# SPDX-License-Identifier: Apache-2.0
"""Cases on two processes: PyTorch's own ways to share a model. Each trains by a block of the page, saves, trains on, resumes,
and compares with one process. What other cases need of that."""
import torch
import torch.distributed as dist

import page
import swd.torch
from reference import HALF, OPTIONS, STEPS, Seen, apart, largest, make_net, pairs, params, replay


def start():
    if not dist.is_initialized():
        dist.init_process_group()


def gathered(seen):
    """The calls of all ranks, step by step."""
    if not dist.is_initialized():
        return [[call] for call in seen]
    everyone = [None] * dist.get_world_size()
    dist.all_gather_object(everyone, list(seen))
    return list(zip(*everyone, strict=True))


def shared():
    """What one rank sees of the data: batches."""
    rank, world = dist.get_rank(), dist.get_world_size()
    x, y = pairs(4 * STEPS * world).tensors
    return list(zip(x[rank::world].split(4), y[rank::world].split(4)))


def go_on(model, optimizer, batches):
    for batch in batches:
        optimizer.zero_grad()
        model(*batch).backward()
        optimizer.step()


def compare(model, stats, seen, make=make_net, **reference):
    """Differences from one process that saw everything."""
    one, wanted = replay(make(), gathered(seen), **reference)
    return {"param": largest(model, one), **apart(stats, wanted)}


def by_loop(name, folder, parameters=params, optimizer_of=lambda optimizer: optimizer, **names):
    """A case whose blocks are NAME, a loop; NAME-save and NAME-resume."""
    batches, model = shared(), make_net()
    seen = Seen(model)
    made = page.run(name, swd=swd, options=OPTIONS, model=model, loader=batches[:HALF], **names)
    page.run(f"{name}-save", **{**vars(made), "folder": folder})
    go_on(made.model, made.optimizer, batches[HALF:])
    out = compare(parameters(made.model), optimizer_of(made.optimizer).stats(), seen)
    again = page.run(name, swd=swd, options=OPTIONS, model=make_net(), loader=[], **names)
    page.run(f"{name}-resume", **{**vars(again), "folder": folder})
    go_on(again.model, again.optimizer, batches[HALF:])
    return {**out, "resume": largest(parameters(made.model), parameters(again.model))}


def ddp(folder):
    start()
    batches, model = shared(), make_net()
    seen = Seen(model)
    made = page.run("ddp", swd=swd, options=OPTIONS, model=model, loader=batches[:HALF])
    if dist.get_rank() == 0:
        page.run("plain-save", model=made.model.module, optimizer=made.optimizer, folder=folder)
    dist.barrier()
    go_on(made.model, made.optimizer, batches[HALF:])
    again = page.run("ddp", swd=swd, options=OPTIONS, model=make_net(), loader=[])
    page.run("plain-resume", model=again.model.module, optimizer=again.optimizer, folder=folder)
    go_on(again.model, again.optimizer, batches[HALF:])
    return {**compare(made.model, made.optimizer.stats(), seen), "resume": largest(made.model, again.model)}


def fsdp2(folder):
    start()
    return by_loop("fsdp2", folder)


def zero(folder):
    start()
    return by_loop("zero", folder, optimizer_of=lambda optimizer: optimizer.optim)


def fsdp1(folder):
    from torch.distributed.fsdp import FullyShardedDataParallel, StateDictType
    start()

    def full_params(model):
        with FullyShardedDataParallel.state_dict_type(model, StateDictType.FULL_STATE_DICT):
            return {name: value.clone() for name, value in model.state_dict().items()}
    return by_loop("fsdp1", folder, parameters=full_params, device=torch.device("cpu"))
