# SPDX-License-Identifier: Apache-2.0
"""Trains the small GPT of examples/python on text with each way to store its state, seed by seed: what docs/narrow_states.md
shows of trainings.

    train.py [FILE ...] [--results results/NAME.json] [--methods fp32 mixed16 ...] [--seeds FIRST:END] [--width 128 ...]

Without files the text is this repository's. The library is that of the installed package, or --library. Runs that are in the
results already are not made again, and each is written when it ends: a call that was cut off goes on there, more seeds add to
those there. report.py makes table and picture.

What is compared is what is stored. All methods start at the same numbers (of bfloat16), see the same batches, and compute
alike: in fp32 on a CPU, under bfloat16 autocast on a device, from the parameters as they are stored.
"""
import argparse
import math
import pathlib
import sys
import time

import torch
from torch.nn import functional as F

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(ROOT / folder) for folder in ("examples/python", "bench/peers", "examples/images", "experiments/images")]
import charlm  # noqa: E402
import grow  # noqa: E402
import package  # noqa: E402
import results as images  # noqa: E402
from nearest import NearestAdamS  # noqa: E402

METHODS = ("fp32", "mixed16", "compact8", "tiny8", "nearest")  # nearest: all bfloat16, rounded to nearest
BETAS, MAX_GRAD_NORM, WARMUP, CURVE = (0.9, 0.999), 1.0, 100, 50  # steps of a point of the curve


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("files", nargs="*")
    add("--results", type=pathlib.Path, default=HERE / "results" / "text.json", help="default: %(default)s")
    add("--library", help="a libswd.so that was built here")
    add("--methods", nargs="+", choices=METHODS, default=list(METHODS), metavar="NAME")
    add("--seeds", default="0:3", help="FIRST:END, END not included")
    add("--device", choices=("cpu", "cuda"), default="cpu")
    for name, value in (("steps", 2000), ("batch", 2), ("context", 64), ("width", 128), ("layers", 5), ("heads", 4)):
        add(f"--{name}", type=int, default=value)
    add("--lr", type=float, default=1e-3)
    add("--weight-decay", type=float, default=0.1, help="in AdamW's unit")
    return parser.parse_args(arguments)


def make_model(o, alphabet, seed):
    """Tied embeddings; every parameter a number of bfloat16."""
    torch.manual_seed(seed)
    model = charlm.GPT(alphabet, o.context, o.width, o.layers, o.heads)
    model.head.weight = model.token.weight
    return model.to(torch.bfloat16)


def make_optimizer(swd, o, method, model, seed):
    """Scheduled decay of as much as o.weight_decay is in AdamW's unit while clipping is at work."""
    vbar = MAX_GRAD_NORM**2 / sum(p.numel() for p in model.parameters())
    groups = charlm.decay_groups(model, swd.weight_decay_from_adamw(o.weight_decay, vbar))
    if method == "nearest":
        return NearestAdamS(groups, lr=o.lr, betas=BETAS, max_grad_norm=MAX_GRAD_NORM)
    return swd.torch.AdamS(groups, lr=o.lr, betas=BETAS, max_grad_norm=MAX_GRAD_NORM, states=method, rounding_seed=seed)


def loss(o, model, batch):
    """fp32 from the parameters as they are stored; gradients get the parameter's dtype."""
    wide = {name: p.float() for name, p in model.named_parameters()}
    with torch.autocast("cuda", dtype=torch.bfloat16, enabled=o.device == "cuda"):
        logits = torch.func.functional_call(model, wide, (batch[0],))
    return F.cross_entropy(logits.float().flatten(0, 1), batch[1].flatten())


@torch.no_grad()
def validation_loss(o, model, text):
    """Over the same 256 places of the part that is held out, for every run."""
    places = torch.Generator().manual_seed(99)
    return sum(loss(o, model, text.batch("validation", 32, o.context, places)).item() for _ in range(8)) / 8


def run(swd, o, method, seed, text):
    """One training: its losses in nats per byte, the curve as means of CURVE steps."""
    model = make_model(o, text.alphabet, seed).to(o.device, torch.float32 if method == "fp32" else torch.bfloat16)
    optimizer, places = make_optimizer(swd, o, method, model, seed), torch.Generator().manual_seed(seed)
    warmup, losses = min(WARMUP, o.steps // 10 + 1), []
    for step in range(o.steps):
        for group in optimizer.param_groups:
            group["lr"] = o.lr * min((step + 1) / warmup, 0.55 + 0.45 * math.cos(math.pi * step / o.steps))
        optimizer.zero_grad()
        value = loss(o, model, text.batch("train", o.batch, o.context, places))
        value.backward()
        optimizer.step()
        losses.append(value.detach())
    losses = torch.stack(losses).tolist()
    means = [sum(part) / len(part) for part in (losses[i:i + CURVE] for i in range(0, o.steps, CURVE))]
    last = losses[-max(1, o.steps // 10):]
    return {"kind": method, "strength": o.weight_decay, "seed": seed, "train_loss": sum(last) / len(last),
            "validation_loss": validation_loss(o, model, text), "memory": optimizer.memory(),
            "curve": [round(mean, 5) for mean in means]}


def setting(o, text):
    """What runs of one file have in common."""
    with torch.device("meta"):
        parameters = sum(p.numel() for p in make_model(o, text.alphabet, 0).parameters())
    named = {name: getattr(o, name) for name in ("steps", "batch", "context", "width", "layers", "heads", "lr", "device")}
    return {"text_bytes": text.bytes, "text_digest": text.digest, **named, "betas": list(BETAS), "max_grad_norm": MAX_GRAD_NORM,
            "parameters": parameters}


def main(arguments=None):
    o = parse(arguments)
    if o.library:
        package.load(o.library)
    import swd.torch
    text = charlm.Text(o.files or charlm.default_files(), o.device)
    about = setting(o, text)
    first, end = (int(part) for part in o.seeds.split(":"))
    o.results.parent.mkdir(parents=True, exist_ok=True)
    for seed in range(first, end):
        for method in o.methods:
            old = images.load(o.results) if o.results.exists() else None
            if old and any((r["kind"], r["seed"]) == (method, seed) for r in old["runs"]):
                continue
            begun = time.monotonic()
            made = run(swd, o, method, seed, text)
            if not math.isfinite(made["validation_loss"]):
                raise SystemExit(f"{method}, seed {seed}: the loss is not finite")
            grow.write(o.results, grow.merged(old, {**about, "runs": [made]}))
            print(f"{method}, seed {seed}: training {made['train_loss']:.4f}, validation {made['validation_loss']:.4f}, "
                  f"{time.monotonic() - begun:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
