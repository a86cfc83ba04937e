# SPDX-License-Identifier: Apache-2.0
"""Trains a small GPT on text files with AdamS, AdamW or Adam, on a CPU or a GPU.

    python train_charlm.py                                # AdamS, on the text of this repository
    python train_charlm.py --optimizer adamw --output build/adamw book1.txt book2.txt
    python train_charlm.py --resume build/charlm/checkpoint.pt

Shows a progress bar and leaves curves.png and checkpoint.pt in the output folder. Ctrl-C ends it after the present
step, with a checkpoint. A resumed run gives the bits of one that was never interrupted, on the same machine.
"""
import argparse
import math
import os
import pathlib
import signal
import sys

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # before CUDA starts: cuBLAS then adds in one order

import matplotlib
import torch
from tqdm import tqdm

import charlm
import swd
import swd.torch

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402

BETAS = (0.9, 0.99)


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("files", nargs="*", help="text files; default: the text of this repository")
    add("--optimizer", choices=("adams", "adamw", "adam"), default="adams", help="adam: weight decay as L2")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto")
    add("--steps", type=int, default=2000)
    add("--lr", type=float, default=2e-3)
    add("--weight-decay", type=float, help="adams and adamw: in AdamW's unit, default 0.1; adam: L2, default 1e-4")
    add("--max-grad-norm", type=float, default=1.0, help="above 0")
    add("--batch", type=int, default=32)
    add("--context", type=int, default=64)
    add("--width", type=int, default=64)
    add("--layers", type=int, default=2)
    add("--heads", type=int, default=4)
    add("--seed", type=int, default=1)
    add("--log-every", type=int, default=10, help="steps from one point of the curves to the next")
    add("--checkpoint-every", type=int, default=200)
    add("--output", default="build/charlm", help="folder for curves.png and checkpoint.pt")
    add("--resume", metavar="CHECKPOINT", help="go on from there; all other settings but --output come from it")
    options = parser.parse_args(arguments)
    if options.steps < 1 or options.log_every < 1 or options.checkpoint_every < 1 or options.max_grad_norm <= 0:
        parser.error("--steps, --log-every, --checkpoint-every and --max-grad-norm must be above 0")
    options.files = [os.path.abspath(path) for path in options.files or charlm.default_files()]
    if options.device == "auto":
        options.device = "cuda" if torch.cuda.is_available() else "cpu"
    if options.weight_decay is None:
        options.weight_decay = 1e-4 if options.optimizer == "adam" else 0.1
    return options


def make_optimizer(o, model):
    groups = charlm.decay_groups(model, o.weight_decay)
    if o.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=o.lr, betas=BETAS)
    if o.optimizer == "adam":
        return torch.optim.Adam(groups, lr=o.lr, betas=BETAS)
    # Scheduled decay counts in units of the gradient. While clipping is at work the norm is max_grad_norm, and vbar its
    # square over the number of parameters; there the decay is that of AdamW. It grows as the gradients shrink.
    vbar = o.max_grad_norm**2 / sum(p.numel() for p in model.parameters())
    groups[0]["weight_decay"] = swd.weight_decay_from_adamw(o.weight_decay, vbar)
    return swd.torch.AdamS(groups, lr=o.lr, betas=BETAS, max_grad_norm=o.max_grad_norm)


class Training:
    def __init__(self, o):
        self.o = o
        self.text = charlm.Text(o.files, o.device)
        torch.manual_seed(o.seed)
        self.model = charlm.GPT(self.text.alphabet, o.context, o.width, o.layers, o.heads).to(o.device)
        self.optimizer = make_optimizer(o, self.model)
        warmup = min(100, o.steps // 10 + 1)
        self.scheduler = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda step: min(
            (step + 1) / warmup, 0.55 + 0.45 * math.cos(math.pi * step / o.steps)))
        self.random = torch.Generator().manual_seed(o.seed)
        self.step = 0
        self.curves = {"step": [], "loss": [], "validation": [], "grad_norm": [], "lambda_eff": []}

    def train_step(self):
        """AdamS clips inside its step; the others need a pass over the gradients for it."""
        loss = self.model.loss(*self.text.batch("train", self.o.batch, self.o.context, self.random))
        self.optimizer.zero_grad()
        loss.backward()
        if self.o.optimizer == "adams":
            self.optimizer.step()
            norm = None
        else:
            norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.o.max_grad_norm)
            self.optimizer.step()
        self.scheduler.step()
        self.step += 1
        if self.step % self.o.log_every == 0 or self.step == self.o.steps:
            self.log(loss, norm)

    @torch.no_grad()
    def log(self, loss, norm):
        if self.o.optimizer == "adams":
            stats = self.optimizer.stats()  # waits for the device, as item() does
            norm, decay = stats["grad_norm"], stats["lambda_eff"][0]
        else:  # L2 is no decay of the parameters by a share
            norm, decay = norm.item(), self.o.weight_decay if self.o.optimizer == "adamw" else math.nan
        places = torch.Generator().manual_seed(0)  # the same ones every time
        validation = self.model.loss(*self.text.batch("validation", 4 * self.o.batch, self.o.context, places))
        for name, value in (("step", self.step), ("loss", loss.item()), ("validation", validation.item()),
                            ("grad_norm", norm), ("lambda_eff", decay)):
            self.curves[name].append(value)

    def save(self, path):
        checkpoint = {"settings": vars(self.o), "text": self.text.digest, "step": self.step, "curves": self.curves,
                      "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(),
                      "scheduler": self.scheduler.state_dict(), "random": self.random.get_state()}
        torch.save(checkpoint, f"{path}.new")
        os.replace(f"{path}.new", path)  # never half a checkpoint

    def load(self, checkpoint):
        if checkpoint["text"] != self.text.digest:
            raise SystemExit("the text has changed since the checkpoint was written: this run cannot go on")
        self.model.load_state_dict(checkpoint["model"])
        self.optimizer.load_state_dict(checkpoint["optimizer"])
        self.scheduler.load_state_dict(checkpoint["scheduler"])
        self.random.set_state(checkpoint["random"])
        self.step, self.curves = checkpoint["step"], checkpoint["curves"]

    def draw(self, path):
        figure, panels = plt.subplots(1, 3, figsize=(15, 4.5))
        training = {"loss": "training"}
        for names, title, panel in ((("loss", "validation"), "loss (nats per byte)", panels[0]),
                                    (("grad_norm",), "gradient norm, before clipping", panels[1]),
                                    (("lambda_eff",), "effective lambda (AdamW's unit)", panels[2])):
            for name in names:
                panel.plot(self.curves["step"], self.curves[name], label=training.get(name, name), linewidth=1)
            panel.set_title(title)
            panel.set_xlabel("step")
            panel.grid(alpha=0.3)
        panels[0].legend()
        panels[1].set_yscale("log")
        if self.o.optimizer == "adam":
            panels[2].set(xticks=[], yticks=[], xlabel="")
            panels[2].text(0.5, 0.5, "L2 is not a decay of the parameters", ha="center", transform=panels[2].transAxes)
        figure.suptitle(f"{self.o.optimizer}, weight decay {self.o.weight_decay:g}, {self.text.bytes:,} bytes of text")
        figure.tight_layout()
        figure.savefig(path, dpi=110)
        plt.close(figure)


def main(arguments=None):
    options = parse(arguments)
    checkpoint = None
    if options.resume:
        checkpoint = torch.load(options.resume, map_location="cpu", weights_only=True)
        options = argparse.Namespace(**{**checkpoint["settings"], "output": options.output, "resume": options.resume})
    torch.use_deterministic_algorithms(True, warn_only=True)
    training = Training(options)
    if checkpoint:
        training.load(checkpoint)
    output = pathlib.Path(options.output)
    output.mkdir(parents=True, exist_ok=True)

    interrupted = []
    previous = signal.signal(signal.SIGINT, lambda *_: interrupted.append(True))  # a step is never left half done
    with tqdm(total=options.steps, initial=training.step, unit="step", desc=options.optimizer) as bar:
        while training.step < options.steps and not interrupted:
            training.train_step()
            bar.update()
            if training.curves["step"] and training.curves["step"][-1] == training.step:
                bar.set_postfix({name: f"{training.curves[name][-1]:.3f}" for name in ("loss", "validation")})
            if training.step % options.checkpoint_every == 0:
                training.save(output / "checkpoint.pt")
    training.save(output / "checkpoint.pt")
    signal.signal(signal.SIGINT, previous)
    if training.curves["step"]:
        training.draw(output / "curves.png")
    if interrupted:
        print(f"interrupted after step {training.step}; go on with --resume {output / 'checkpoint.pt'}")
        return 130
    last = {name: values[-1] for name, values in training.curves.items()}
    print(f"{options.optimizer}: loss {last['loss']:.4f}, validation {last['validation']:.4f}, gradient norm "
          f"{last['grad_norm']:.4f}, effective lambda {last['lambda_eff']:.3g}. Curves: {output / 'curves.png'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
