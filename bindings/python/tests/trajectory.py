# SPDX-License-Identifier: Apache-2.0
"""Reads tests/golden and makes its stream of numbers again. See tests/golden/README.md. Used by test_golden."""
import os
from typing import NamedTuple

import numpy as np
import torch

FOLDER = os.path.join(os.path.dirname(__file__), "..", "..", "..", "tests", "golden")


class Snapshot(NamedTuple):
    step: int
    grad_norm: float
    vbar: float
    segment_steps: list
    values: dict  # (key, segment) -> float64 tensor


def _mix(x):
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def uniform(seed, stream, count):
    """`count` float32 in [-1, 1)."""
    with np.errstate(over="ignore"):
        base = _mix(_mix(np.array([seed], np.uint64)) ^ np.uint64(stream))
        bits = _mix(base + np.arange(count, dtype=np.uint64)) >> np.uint64(40)
    return torch.from_numpy((bits.astype(np.float64) * 2.0 ** -23 - 1.0).astype(np.float32))


class Trajectory:
    def __init__(self, name):
        self.groups, self.exponents, self.snapshots, self.head = [], [], [], {}
        with open(os.path.join(FOLDER, name + ".txt"), encoding="ascii") as file:
            for line in file:
                self._take(line.split())

    def _take(self, words):
        key = words[0]
        if key == "sizes":
            self.sizes = [int(word) for word in words[1:]]
        elif key == "group":
            lr, beta1, beta2, eps, decay = (float.fromhex(word) for word in words[2:11:2])
            self.groups.append((dict(lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=decay),
                                [int(word) for word in words[12:]]))
        elif key == "lr_factor":
            self.lr_factor = [float.fromhex(word) for word in words[1:]]
        elif key == "grad_exp":
            self.exponents.append([None if word == "x" else int(word) for word in words[2:]])
        elif key == "snapshot":
            at = words.index("segment_steps")
            self.snapshots.append(Snapshot(int(words[1]), float.fromhex(words[3]), float.fromhex(words[5]),
                                           [int(word) for word in words[at + 1:]], {}))
        elif self.snapshots and key != "end":
            values = torch.tensor([float.fromhex(word) for word in words[2:]], dtype=torch.float64)
            self.snapshots[-1].values[key, int(words[1])] = values
        elif key != "end":
            self.head[key] = words[1]

    def flag(self, name):
        return self.head[name] == "1"

    def params(self):
        seed = int(self.head["seed"])
        return [torch.nn.Parameter(uniform(seed, 1000003 * (k + 1), n)) for k, n in enumerate(self.sizes)]

    def gradient(self, step, k, param):
        """The gradient of a step, from 1; None if there is none."""
        exponent = self.exponents[k][step - 1]
        if exponent is None:
            return None
        noise = uniform(int(self.head["seed"]), 7919 * step + k, self.sizes[k])
        if not self.flag("closed_loop"):
            return noise * 2.0 ** exponent
        slope = 2.0 ** -(torch.arange(self.sizes[k]) % 4).double()
        return (slope * param.detach().double() + 0.125 * noise.double()).float()
