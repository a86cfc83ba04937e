# SPDX-License-Identifier: Apache-2.0
"""Cases on one process, equal to the bit: the plain loop, peft, timm; and what the page says of the Trainer's arguments.
accelerate, Trainer and Lightning on one process are those of cases_packages."""
import math

import torch

import page
import swd.torch
from cases_torch import go_on
from reference import HALF, OPTIONS, Seen, apart, largest, llama, loader, make_net, pairs, replay, sentences


def plain(folder):
    """With the page's own options."""
    options = page.run("options").options
    batches, model = list(loader(pairs())), make_net()
    seen = Seen(model)
    made = page.run("plain", swd=swd, options=options, model=model, loader=batches[:HALF])
    page.run("plain-save", model=model, optimizer=made.optimizer, folder=folder)
    go_on(model, made.optimizer, batches[HALF:])
    again = page.run("plain", swd=swd, options=options, model=make_net(), loader=[])
    page.run("plain-resume", model=again.model, optimizer=again.optimizer, folder=folder)
    go_on(again.model, again.optimizer, batches[HALF:])
    one, wanted = replay(make_net(), [[call] for call in seen], {**options, "reference_step": 100})
    return {"param": largest(model, one), **apart(made.optimizer.stats(), wanted), "resume": largest(model, again.model)}


def overlap(_):
    options, batches, model = page.run("options").options, list(loader(pairs())), make_net()
    made = page.run("overlap", swd=swd, options=options, model=model, loader=batches)
    one = make_net()
    optimizer = swd.torch.AdamS(one.parameters(), **options)
    for first, last in zip(batches[::2], batches[1::2]):
        optimizer.zero_grad()
        one(*first).backward()
        one(*last).backward()
        optimizer.step()
    return {"param": largest(model, one), **apart(made.optimizer.stats(), optimizer.stats())}


def peft(folder):
    """Adapters; merged and taken out again between two steps; frozen parameters given or not."""
    def train(model, optimizer, batches):
        for step, batch in enumerate(batches):
            optimizer.zero_grad()
            model(**batch)["loss"].backward()
            optimizer.step()
            if step == 2:
                model.merge_adapter()
                model.unmerge_adapter()
    batches = list(loader(sentences()))

    def make():
        return page.run("peft", swd=swd, options=OPTIONS, model=llama())
    made, again = make(), make()
    train(made.model, made.optimizer, batches[:HALF])
    page.run("plain-save", model=made.model, optimizer=made.optimizer, folder=folder)
    train(made.model, made.optimizer, batches[HALF:])
    page.run("plain-resume", model=again.model, optimizer=again.optimizer, folder=folder)
    train(again.model, again.optimizer, batches[HALF:])

    import peft as package
    one = package.get_peft_model(llama(), package.LoraConfig(r=4, target_modules=["q_proj", "v_proj"]))
    optimizer = swd.torch.AdamS([param for param in one.parameters() if param.requires_grad], **OPTIONS)
    train(one, optimizer, batches[:HALF])
    train(one, optimizer, batches[HALF:])
    return {"param": largest(made.model, one), **apart(made.optimizer.stats(), optimizer.stats()),
            "resume": largest(made.model, again.model)}


def timm(folder):
    """With timm's schedule and groups; its checkpoint goes on in the middle of an epoch."""
    from timm.models.vision_transformer import VisionTransformer

    def make():
        torch.manual_seed(1)
        return VisionTransformer(img_size=8, patch_size=4, embed_dim=16, depth=1, num_heads=2, num_classes=3)
    images = torch.randn(16, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    batches, model, epochs = list(zip(images.split(4), torch.randint(0, 3, (16,)).split(4))), make(), 3
    names = dict(swd=swd, loader=batches, epochs=epochs, device="cpu")
    made = page.run("timm", model=model, **names)
    one, wanted, lrs = make(), None, [1e-3 * (1 + math.cos(math.pi * epoch / epochs)) / 2 for epoch in range(epochs)]
    lrs[0] = 0.0  # warms up
    bare = [name for name, param in one.named_parameters() if param.ndim < 2 or name in one.no_weight_decay()]
    optimizer = swd.torch.AdamS([{"params": [p for n, p in one.named_parameters() if n in bare], "weight_decay": 0.0},
                                 {"params": [p for n, p in one.named_parameters() if n not in bare]}],
                                **page.run("options").options)

    def epoch_of(model, optimizer):
        for x, y in batches:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
    for lr in lrs:
        for group in optimizer.param_groups:
            group["lr"] = lr
        epoch_of(one, optimizer)
    wanted = optimizer.stats()
    found = {"param": largest(model, one), **apart(made.optimizer.stats(), wanted)}
    page.run("plain-save", model=model, optimizer=made.optimizer, folder=folder)
    again = page.run("timm", model=make(), **{**names, "loader": []})
    page.run("plain-resume", model=again.model, optimizer=again.optimizer, folder=folder)
    for net, its in ((model, made.optimizer), (again.model, again.optimizer)):
        epoch_of(net, its)
    return {**found, "resume": largest(model, again.model)}


def trainer_overrides(folder):
    """What the page warns of: in optimizer_cls_and_kwargs weight_decay counts for nothing, and a missing lr is not
    learning_rate. optimizers= takes the optimizer as it is."""
    from transformers import Trainer, TrainingArguments
    arguments = TrainingArguments(folder, learning_rate=0.25, use_cpu=True, report_to=[])
    it = Trainer(llama(), arguments, optimizer_cls_and_kwargs=(swd.torch.AdamS, dict(decay="relative", weight_decay=0.7)))
    groups = it.create_optimizer().param_groups
    assert [group["weight_decay"] for group in groups] == [0.0, 0.0] and groups[0]["lr"] == 1e-3
    model = llama()
    it = Trainer(model, arguments, optimizers=(swd.torch.AdamS(model.parameters(), **OPTIONS), None))
    assert [group["weight_decay"] for group in it.create_optimizer().param_groups] == [OPTIONS["weight_decay"]]
    return {}


def lightning_clipping(_):
    """The page: under 16-mixed Lightning refuses gradient_clip_val."""
    from lightning.pytorch.plugins import MixedPrecision
    optimizer = swd.torch.AdamS(make_net().parameters())
    try:
        MixedPrecision("16-mixed", "cuda").clip_gradients(optimizer, 1.0)
    except RuntimeError as error:
        assert "AdamS" in str(error)
        return {}
    raise AssertionError("Lightning clips")
