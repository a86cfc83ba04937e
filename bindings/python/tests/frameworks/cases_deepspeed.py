# SPDX-License-Identifier: Apache-2.0
"""Cases of DeepSpeed's ZeRO 1 and 2, on two processes."""
import deepspeed

import page
import swd.torch
from cases_torch import compare, shared, start
from ranks import warned
from reference import HALF, OPTIONS, Seen, largest, make_net

deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False  # else it compiles one, for minutes


def make():
    return make_net(wide=36)  # a multiple of 4 elements: DeepSpeed pads, and its padding counts in vbar


def zero(folder, stage):
    start()
    batches, model = shared(), make()
    seen = Seen(model)

    def train_on(engine):
        for batch in batches[HALF:]:
            engine.backward(engine(*batch))
            engine.step()
    names = dict(swd=swd, options=OPTIONS, stage=stage)
    made = page.run("deepspeed", model=model, loader=batches[:HALF], **names)
    page.run("deepspeed-save", engine=made.engine, folder=folder)
    train_on(made.engine)
    out = compare(made.model, made.optimizer.stats(), seen, make)
    again = page.run("deepspeed", model=make(), loader=[], **names)
    page.run("deepspeed-resume", engine=again.engine, folder=folder)
    train_on(again.engine)
    return {**out, "resume": largest(made.model, again.model)}


def deepspeed_zero_1(folder):
    return zero(folder, 1)


def deepspeed_zero_2(folder):
    return zero(folder, 2)


def deepspeed_without_shards(_):
    """It is said."""
    start()
    source = page.text("deepspeed")[0].replace('shards="world", ', "")
    with warned() as texts:
        exec(source, dict(swd=swd, options=OPTIONS, stage=1, model=make(), loader=shared()))
    assert sum('pass shards="world"' in text for text in texts) == 1, texts
    return {}
