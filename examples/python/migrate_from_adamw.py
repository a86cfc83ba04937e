# SPDX-License-Identifier: Apache-2.0
"""Moves a training run from torch.optim.AdamW to AdamS: loads AdamW's checkpoint, converts weight_decay, goes on.

    python migrate_from_adamw.py                 # trains with AdamW first, to have a checkpoint

At the moment of the change AdamS decays as AdamW did. From there its decay follows the gradients: stronger as they
shrink, weaker as they grow. The table shows both, each going on from the same checkpoint on the same batches.
"""
import argparse
import os
import pathlib
import warnings

import torch
from tqdm import trange

import charlm
import swd.torch

MODEL = {"context": 32, "width": 32, "layers": 2, "heads": 2}
LR, BETAS, MAX_GRAD_NORM = 2e-3, (0.9, 0.99), 1.0


def train_with_adamw(text, model, optimizer, steps, random, batch=16):
    """Yields (loss, share of the parameters that the step's decay takes) after each step."""
    for _ in range(steps):
        loss = model.loss(*text.batch("train", batch, MODEL["context"], random))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRAD_NORM)
        optimizer.step()
        yield loss.item(), optimizer.param_groups[0]["lr"] * optimizer.param_groups[0]["weight_decay"]


def train_with_adams(text, model, optimizer, steps, random, batch=16):
    for _ in range(steps):
        loss = model.loss(*text.batch("train", batch, MODEL["context"], random))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()  # clips inside
        yield loss.item(), optimizer.stats()["largest_decay"]


def adams_from_adamw(model, adamw_state, groups):
    """AdamS with the moments, step counters and settings of an AdamW checkpoint."""
    optimizer = swd.torch.AdamS(groups, lr=LR, betas=BETAS, max_grad_norm=MAX_GRAD_NORM)
    with warnings.catch_warnings():  # it says that the units of weight_decay differ; the lines below take care of that
        warnings.simplefilter("ignore")
        optimizer.load_state_dict(adamw_state)
    for group, saved in zip(optimizer.param_groups, adamw_state["param_groups"]):
        group["weight_decay"] = optimizer.weight_decay_from_adamw(saved["weight_decay"])
    return optimizer


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", help="text files; default: the text of this repository")
    parser.add_argument("--before", type=int, default=300, help="steps with AdamW")
    parser.add_argument("--after", type=int, default=300, help="steps after the change")
    parser.add_argument("--weight-decay", type=float, default=0.1, help="AdamW's")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--output", default="build/migrate", help="folder for the checkpoint")
    options = parser.parse_args(arguments)
    if options.before < 1 or options.after < 1:
        parser.error("--before and --after must be above 0")
    text = charlm.Text(options.files or charlm.default_files(), options.device)

    def fresh_model():
        torch.manual_seed(1)
        return charlm.GPT(text.alphabet, **MODEL).to(options.device)

    model = fresh_model()
    adamw = torch.optim.AdamW(charlm.decay_groups(model, options.weight_decay), lr=LR, betas=BETAS)
    steps = train_with_adamw(text, model, adamw, options.before, torch.Generator().manual_seed(1))
    for _ in trange(options.before, desc="AdamW, before"):
        next(steps)
    os.makedirs(options.output, exist_ok=True)
    path = pathlib.Path(options.output) / "adamw.pt"
    torch.save({"model": model.state_dict(), "optimizer": adamw.state_dict()}, path)

    checkpoint = torch.load(path, map_location=options.device, weights_only=True)
    model2 = fresh_model()
    model2.load_state_dict(checkpoint["model"])
    adams = adams_from_adamw(model2, checkpoint["optimizer"], charlm.decay_groups(model2, 0.0))
    print(f"vbar {adams.vbar():.3e}: weight_decay {options.weight_decay:g} of AdamW becomes "
          f"{adams.param_groups[0]['weight_decay']:.3e}")

    runs = zip(train_with_adamw(text, model, adamw, options.after, torch.Generator().manual_seed(2)),
               train_with_adams(text, model2, adams, options.after, torch.Generator().manual_seed(2)))
    rows = []
    for step in trange(options.after, desc="both, after"):
        (loss_w, decay_w), (loss_s, decay_s) = next(runs)
        apart = max((a - b).abs().max().item() for a, b in zip(model.parameters(), model2.parameters()))
        rows.append((step + 1, loss_w, loss_s, decay_w, decay_s, decay_s / decay_w, apart))
    print("{:>6} {:>11} {:>11} {:>12} {:>12} {:>7} {:>9}".format(
        "step", "loss AdamW", "loss AdamS", "decay AdamW", "decay AdamS", "ratio", "apart"))
    for row in rows[:: max(1, options.after // 6)]:
        print("{:6d} {:11.4f} {:11.4f} {:12.4e} {:12.4e} {:7.4f} {:9.1e}".format(*row))
    print("decay: share of the parameters that a step takes. apart: largest difference between the two models.")
    return rows


if __name__ == "__main__":
    main()
