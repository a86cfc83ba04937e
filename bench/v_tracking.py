# SPDX-License-Identifier: Apache-2.0
"""How well each way to store the second moment follows it, over 10,000 steps: a picture and a table. Stored v against
v in fp64, beta2 0.999, on gradients that are normal with log-normal scales (sigma 1, and 1 more per row of 512):

    stationary   the scales stay
    drop         all gradients become 100 times smaller after a quarter of the steps
    sparse       a row has a gradient in 1 % of the steps

bf16 and block8 are libswd itself. The others are what the peers store, written down here from their sources: bf16
rounded to nearest; FlashOptim's root of v in 8 bits with one fp16 scale in 32; bitsandbytes' and torchao's dynamic
8-bit map with one fp32 scale in 256.

    v_tracking.py --library build/bench/libswd.so [--steps 10000] [--picture docs/narrow_states.png]"""
import argparse
import pathlib
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parent / "peers"))
import package  # noqa: E402

BETA2, ELEMENTS, ROW = 0.999, 2048, 512
SCENARIOS = ("stationary", "drop", "sparse")


def bf16_nearest(v):
    bits = v.view(np.uint32)
    return ((bits + np.uint32(0x7FFF) + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)).view(np.float32)


def flashoptim(v):
    root = np.sqrt(v.reshape(-1, 32))
    scale = np.maximum(root.max(axis=1, keepdims=True), 1e-12).astype(np.float16).astype(np.float32)
    safe = np.where(scale > 0, scale, 1)
    code = np.clip(np.rint(root / safe * 255), 0, 255)
    return ((code / np.float32(255) * scale) ** 2).astype(np.float32).reshape(-1)


def dynamic_map():
    """The 256 unsigned values: for each power of ten twice as many as for the one below, at the middles."""
    values = [0.0, 1.0]
    for i in range(7):
        edges = np.linspace(0.1, 1, 2 ** (i + 1) + 1)
        values += list((edges[:-1] + edges[1:]) / 2 * 10.0 ** (i - 6))
    return np.sort(np.array(values, np.float32))


MAP = dynamic_map()
MIDDLES = (MAP[1:] + MAP[:-1]) / 2


def bitsandbytes(v):
    blocks = v.reshape(-1, 256)
    scale = blocks.max(axis=1, keepdims=True)
    safe = np.where(scale > 0, scale, 1)
    return (MAP[np.searchsorted(MIDDLES, blocks / safe)] * scale).reshape(-1)


class Code:
    """fp32 arithmetic, then what a peer would store."""

    def __init__(self, store):
        self.store_as, self.v = store, np.zeros(ELEMENTS * len(SCENARIOS), np.float32)

    def step(self, g):
        self.v = self.store_as(self.v + np.float32(1 - BETA2) * (g * g - self.v))

    def read(self):
        return self.v


class Ours:
    """libswd with a learning rate of 0: a segment for each scenario."""

    def __init__(self, swd, moment_dtype):
        self.plan = plan = swd.Plan([ELEMENTS] * len(SCENARIOS), decay="none", moment_dtype=moment_dtype, threads=1)
        width = np.uint16 if moment_dtype == "bfloat16" else np.uint8
        state, workspace = swd.host_bytes(plan.state_bytes), swd.host_bytes(plan.workspace_bytes)
        plan.init_workspace(workspace)
        self.grad = np.zeros(plan.extent, np.float32)
        arrays = dict(param=np.zeros(plan.extent, np.float32), grad=self.grad)
        self.moments = [np.zeros(plan.extent, width) for _ in range(2)]  # given by address: numpy has no bf16
        arrays.update(exp_avg=self.moments[0].ctypes.data, exp_avg_sq=self.moments[1].ctypes.data)
        if moment_dtype == "block8":
            arrays.update(exp_avg_scale=np.zeros(plan.scale_bytes, np.uint8),
                          exp_avg_sq_scale=np.zeros(plan.scale_bytes, np.uint8))
        self.buffers = plan.buffers(state=state, workspace=workspace, **arrays)
        self.args = plan.args(swd.Group(lr=0.0, beta2=BETA2))
        self.v = np.zeros(plan.extent, np.float32)

    def step(self, g):
        self.grad[:] = g
        self.plan.step(self.buffers, self.args)

    def read(self):
        self.plan.store(self.buffers, exp_avg_sq=self.v)
        return self.v


class Gradients:
    def __init__(self, steps):
        self.steps, self.draw = steps, np.random.default_rng(1)
        rows = ELEMENTS // ROW
        self.scale = np.exp(self.draw.standard_normal(ELEMENTS) + np.repeat(self.draw.standard_normal(rows), ROW))

    def next(self, step):
        g = self.scale * self.draw.standard_normal((len(SCENARIOS), ELEMENTS))
        if step >= self.steps // 4:
            g[SCENARIOS.index("drop")] *= 0.01
        g[SCENARIOS.index("sparse")] *= np.repeat(self.draw.random(ELEMENTS // ROW) < 0.01, ROW)
        return g.astype(np.float32).reshape(-1)


def compare(stored, exact):
    """Per scenario: rms error of the root, mean of stored / exact, elements stored as 0, the longest step over the
    right one."""
    stored, exact = stored.reshape(len(SCENARIOS), -1).astype(np.float64), exact.reshape(len(SCENARIOS), -1)
    for q, v in zip(stored, exact):
        q, v = q[v > 0], v[v > 0]
        yield (np.sqrt(np.mean((np.sqrt(q / v) - 1) ** 2)), np.mean(q / v), int(np.sum(q == 0)),
               np.max((np.sqrt(v) + 1e-8) / (np.sqrt(q) + 1e-8)))


def track(formats, steps, points):
    """{format: [(step, figures per scenario)]} at `points` steps."""
    gradients, exact = Gradients(steps), np.zeros(ELEMENTS * len(SCENARIOS))
    seen = {name: [] for name in formats}
    wanted = set(np.unique(np.linspace(steps // points, steps, points).astype(int)))
    for step in range(1, steps + 1):
        g = gradients.next(step)
        exact += (1 - BETA2) * (g.astype(np.float64) ** 2 - exact)
        for name, stored in formats.items():
            stored.step(g)
            if step in wanted:
                seen[name].append((step, list(compare(stored.read(), exact))))
    return seen


LOOKS = {"libswd bf16": ("#228833", "-"), "libswd block8": ("#cc3311", "-"), "bf16, nearest": ("#777777", "--"),
         "FlashOptim, 8 bits": ("#4477aa", ":"), "bitsandbytes, torchao, 8 bits": ("#aa7700", "-.")}


def draw(seen, picture):
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    figure, all_axes = plt.subplots(1, len(SCENARIOS), figsize=(13, 4), sharey=True, layout="constrained")
    for place, (scenario, axes) in enumerate(zip(SCENARIOS, all_axes)):
        for name, points in seen.items():
            colour, line = LOOKS[name]
            axes.plot([step for step, _ in points], [100 * figures[place][0] for _, figures in points], line,
                      color=colour, label=name)
        axes.set_yscale("log")
        axes.set_title(scenario)
        axes.set_xlabel("step")
        axes.grid(True, alpha=0.3)
    all_axes[0].set_ylabel("error of the root of the stored v, rms, %")
    all_axes[-1].legend(fontsize=8, frameon=False)
    figure.savefig(picture, dpi=80)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", required=True, help="path of libswd.so")
    parser.add_argument("--steps", type=int, default=10000)
    parser.add_argument("--picture")
    options = parser.parse_args()
    swd = package.load(options.library)
    formats = dict(zip(LOOKS, (Ours(swd, "bfloat16"), Ours(swd, "block8"), Code(bf16_nearest), Code(flashoptim),
                               Code(bitsandbytes))))
    seen = track(formats, options.steps, 50)
    print(f"{'after ' + str(options.steps) + ' steps':<30}" + "".join(f"{name:^40}" for name in SCENARIOS))
    print(f"{'':<30}" + f"{'rms %':>9} {'mean':>9} {'zeros':>7} {'step x':>10}  " * len(SCENARIOS))
    for name, points in seen.items():
        print(f"{name:<30}" + "".join(f"{100 * rms:9.1f} {mean:9.3f} {zeros:7d} {step:10.3g}  "
                                      for rms, mean, zeros, step in points[-1][1]))
    if options.picture:
        draw(seen, options.picture)


if __name__ == "__main__":
    main()
