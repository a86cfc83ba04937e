# SPDX-License-Identifier: Apache-2.0
"""Cases of accelerate, Trainer and Lightning, on one process and on two, which the page's torchrun line started."""
import os
import shutil

import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor

import page
import swd.torch
from cases_torch import compare, go_on, start
from reference import HALF, OPTIONS, STEPS, Seen, largest, llama, loader, make_net, pairs, sentences


def processors_as_devices():
    """accelerate shards nothing on processors: without a word it takes DistributedDataParallel. So these are devices to it."""
    from accelerate.state import DistributedType, PartialState
    start()
    PartialState._prepare_backend = lambda *_, **__: ("gloo", DistributedType.MULTI_GPU)
    PartialState.set_device = lambda self: setattr(self, "device", torch.device("cpu"))


def sharded(model):
    assert all(isinstance(param, DTensor) for param in model.parameters()), "nothing is sharded"


def accelerated(block, folder):
    rows, names = list(zip(*pairs(8 * STEPS).tensors)), dict(swd=swd, options=OPTIONS)
    first, second = loader(rows[:8 * HALF]), loader(rows[8 * HALF:])
    model = make_net()
    seen = Seen(model)
    made = page.run(block, model=model, loader=first, **names)
    page.run("accelerate-save", accelerator=made.accelerator, folder=folder)
    go_on(made.model, made.optimizer, made.accelerator.prepare(second))
    out = compare(made.model, made.optimizer.optimizer.stats(), seen)
    again = page.run(block, model=make_net(), loader=[], **names)
    page.run("accelerate-resume", accelerator=again.accelerator, folder=folder)
    go_on(again.model, again.optimizer, made.accelerator.prepare(second))
    if block.endswith("fsdp2"):
        sharded(made.model)
    return {**out, "resume": largest(made.model, again.model)}


def accelerate(folder):
    return accelerated("accelerate", folder)


def accelerate_fsdp2(folder):
    processors_as_devices()
    return accelerated("accelerate-fsdp2", folder)


def forget(path):
    if int(os.environ.get("RANK", 0)) == 0:
        shutil.rmtree(path)
    if dist.is_initialized():
        dist.barrier()


def trained(folder, *changes):
    """By the Trainer, whose learning rate falls to 0 in a line; twice, from its checkpoint in the middle on."""
    settings = dict(max_steps=STEPS, per_device_train_batch_size=4, save_steps=HALF, use_cpu=True, report_to=[],
                    disable_tqdm=True)
    for block in changes:
        settings = page.run(block, settings=settings).settings
    dataset, made = sentences(8 * STEPS), []
    for resumed in (False, True):
        model = llama()
        seen = Seen(model)
        it = page.run("trainer", swd=swd, options=OPTIONS, model=model, folder=folder, dataset=dataset, settings=dict(settings))
        if resumed:
            forget(f"{folder}/checkpoint-{STEPS}")
            page.run("trainer-resume", trainer=it.trainer)
            assert len(seen) == STEPS - HALF
        else:
            it.trainer.train()
            for _, kwargs in seen if dist.is_initialized() else ():
                kwargs.pop("num_items_in_batch")  # of both ranks together
            lrs = [OPTIONS["lr"] * (1 - step / STEPS) for step in range(STEPS)]
            out = compare(it.trainer.model, it.trainer.optimizer.optimizer.stats(), seen, llama,
                          decays=lambda name: "norm" not in name, lrs=lrs)
        made.append(it.trainer.model)
    if changes:
        sharded(it.trainer.model)
    return {**out, "resume": largest(*made)}


def trainer(folder):
    return trained(folder)


def trainer_fsdp2(folder):
    processors_as_devices()
    return trained(folder, "trainer-fsdp2")


def lightning(folder):
    return fitted("lightning", folder)


def lightning_fsdp2(folder):
    return fitted("lightning-fsdp2", folder)


def fitted(block, folder):
    """Two epochs of Lightning with a checkpoint between them, and the second from there."""
    from lightning.pytorch import callbacks

    class Save(callbacks.Callback):
        def on_train_epoch_end(self, trainer, _):
            if trainer.current_epoch == 0:
                page.run("lightning-save", trainer=trainer, folder=folder)
    world = int(os.environ.get("WORLD_SIZE", 1))
    settings = dict(accelerator="cpu", devices=world, logger=False, enable_progress_bar=False,
                    enable_checkpointing=False, enable_model_summary=False)
    names, dataset = dict(swd=swd, options=OPTIONS), pairs(4 * HALF * world)
    model = make_net()
    seen = Seen(model)
    it = page.run(block, model=model, loader=loader(dataset), settings=dict(settings, max_epochs=2, callbacks=[Save()]),
                  **names)
    out = compare(it.module.model, it.trainer.optimizers[0].stats(), seen)
    again = page.run(block, model=make_net(), loader=loader(dataset), settings=dict(settings, max_epochs=0), **names)
    again.trainer.fit_loop.max_epochs = 2
    seen = Seen(again.module.model)
    page.run("lightning-resume", trainer=again.trainer, module=again.module, loader=loader(dataset), folder=folder)
    assert len(seen) == HALF
    if block.endswith("fsdp2"):
        sharded(again.module)
    return {**out, "resume": largest(it.module.model, again.module.model)}
