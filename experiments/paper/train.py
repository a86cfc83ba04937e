# SPDX-License-Identifier: Apache-2.0
"""One training of the paper's: ResNet18 or VGG16 with the settings of the authors' notebook, through swd.torch.

    train.py --data DIR --method adams|adamw|adam [--model resnet18|vgg16] [--seed N] [--epochs 200] [--output FOLDER]

DIR holds CIFAR-10 (binary or Python version) or four idx files, such as those of Debian's dataset-fashion-mnist. Batches of
128, learning rate 1e-3 divided by 10 at 40 % and 80 % of the epochs, random crop and flip, all parameters decayed:
AdamS 5e-4, Adam with L2 5e-4, AdamW 0.5, since the authors give it weight_decay / lr.

FOLDER gets NAME.json, the result, and NAME.pt, a checkpoint after every epoch: the same call goes on from it, to the bit.
"""
import argparse
import json
import math
import os
import sys

import torch

import swd.torch
from data import augment, load
from models import MODELS

METHODS = {"adams": ("scheduled", 5e-4), "adamw": ("decoupled", 0.5), "adam": ("l2", 5e-4)}
BATCH, LR = 128, 1e-3


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--data", required=True, help="folder with the images")
    add("--method", required=True, choices=list(METHODS))
    add("--model", choices=list(MODELS), default="resnet18")
    add("--seed", type=int, default=0)
    add("--epochs", type=int, default=200)
    add("--stop-after", type=int, metavar="EPOCHS", help="end this call after so many epochs; the next goes on")
    add("--width", type=int, default=64, help="channels of the first layer; 64 is the paper's")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--output", default="build/paper", help="folder for results and checkpoints")
    return parser.parse_args(arguments)


class Training:
    """Everything that a checkpoint holds, and the epochs."""

    def __init__(self, o):
        self.o, self.data = o, load(o.data, o.device)
        torch.manual_seed(o.seed)
        classes = int(max(self.data.train.labels.max(), self.data.test.labels.max())) + 1
        self.model = MODELS[o.model](self.data.train.images.shape[1], classes, o.width).to(o.device)
        decay, strength = METHODS[o.method]
        self.optimizer = swd.torch.AdamS(self.model.parameters(), lr=LR, weight_decay=strength, decay=decay)
        self.order = torch.Generator().manual_seed(o.seed + 1)  # of batches, crops and flips
        self.setting = {"data": self.data.name, "model": o.model, "width": o.width, "method": o.method, "seed": o.seed,
                        "epochs": o.epochs, "weight_decay": strength}
        self.history = []

    @property
    def name(self):
        o = self.o
        return os.path.join(o.output, f"{self.data.name}-{o.model}-{o.width}-{o.epochs}-{o.method}-{o.seed}")

    def restore(self):
        """Goes on from a checkpoint of the same setting, if there is one."""
        if not os.path.exists(self.name + ".pt"):
            return
        saved = torch.load(self.name + ".pt", map_location=self.o.device, weights_only=True)
        if saved["setting"] != self.setting:
            raise SystemExit(f"{self.name}.pt is of another setting: {saved['setting']}")
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.order.set_state(saved["order"].cpu())
        self.history = saved["history"]

    def save(self):
        saved = {"setting": self.setting, "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(),
                 "order": self.order.get_state(), "history": self.history}
        torch.save(saved, self.name + ".pt.new")
        os.replace(self.name + ".pt.new", self.name + ".pt")
        with open(self.name + ".json.new", "w", encoding="utf-8") as file:
            json.dump({**self.setting, "history": self.history}, file)
            file.write("\n")
        os.replace(self.name + ".json.new", self.name + ".json")

    def epoch(self):
        """One pass; its mean loss and norms, and what the test images say after it."""
        number, part = len(self.history), self.data.train
        milestone = max(1, self.o.epochs * 2 // 5)
        for group in self.optimizer.param_groups:
            group["lr"] = LR * 0.1 ** (number // milestone)
        self.model.train()
        logs, losses = [], []  # a look waits for the device: every 20th step
        order = torch.randperm(len(part.labels), generator=self.order).to(self.o.device)
        for chosen in order.split(BATCH):
            images = self.data.normalise(augment(part.images[chosen], self.order))
            loss = torch.nn.functional.cross_entropy(self.model(images), part.labels[chosen])
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            losses.append(loss.detach())
            if len(losses) % 20 == 1:
                logs.append(self.optimizer.log())
        weights = torch.stack([p.detach().square().sum() for p in self.model.parameters() if p.dim() > 1]).sum()
        self.history.append({
            "epoch": number + 1, "lr": self.optimizer.param_groups[0]["lr"], "loss": float(torch.stack(losses).mean()),
            **{key: sum(log[key] for log in logs) / len(logs) for key in ("grad_norm", "lambda_eff", "largest_decay")},
            "steps_skipped": self.optimizer.log()["steps_skipped"], "weight_norm": math.sqrt(float(weights)),
            "test_error": self.test_error()})

    @torch.no_grad()
    def test_error(self):
        self.model.eval()
        wrong = 0
        for images, labels in zip(self.data.test.images.split(1000), self.data.test.labels.split(1000)):
            wrong += int((self.model(self.data.normalise(images)).argmax(1) != labels).sum())
        return wrong / len(self.data.test.labels)


def main(arguments=None):
    o = parse(arguments)
    torch.backends.cudnn.deterministic = True  # or a run that goes on would not be the same run
    os.makedirs(o.output, exist_ok=True)
    training = Training(o)
    training.restore()
    end = min(o.epochs, len(training.history) + (o.stop_after or o.epochs))
    while len(training.history) < end:
        training.epoch()
        training.save()
        now = training.history[-1]
        print(f"{o.method} seed {o.seed}, epoch {now['epoch']}/{o.epochs}: loss {now['loss']:.4f}, norm {now['grad_norm']:.3f}, "
              f"lambda_eff {now['lambda_eff']:.3g}, test error {100 * now['test_error']:.2f} %", flush=True)
    return training


if __name__ == "__main__":
    main()
    sys.exit(0)
