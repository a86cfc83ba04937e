# SPDX-License-Identifier: Apache-2.0
"""What overlap_norm saves: backward and step of a stack of transformer blocks, without it and with it, in turns in one run.
Every run is of the same model and data from the same parameters, and must end with the same bits.

    python bench/overlap_norm.py [--device cpu|cuda] [--width 512] [--blocks 4] [--tokens 64] [--rounds 30] [--flat] [--one]
                                 [--quick]

Few tokens a step make backward short and the optimizer's share large, which is where anything can be seen. Medians; CPU:
wall clock, all threads; --one: one thread, and its processor time, for a machine that others use. CUDA: events around both
parts; 12 blocks of width 1024 and 1024 tokens unless said. The forward pass is not timed."""
import argparse
import statistics
import sys
import time

import torch

from swd.torch import AdamS, flatten


class Run:
    def __init__(self, given, overlap):
        torch.manual_seed(0)
        layer = torch.nn.TransformerEncoderLayer(given.width, max(1, given.width // 64), 4 * given.width, dropout=0.0,
                                                 batch_first=True, norm_first=True)
        self.net = torch.nn.TransformerEncoder(layer, given.blocks, enable_nested_tensor=False).to(given.device)
        if given.flat:
            flatten(self.net.parameters())
        self.optimizer = AdamS(self.net.parameters(), lr=1e-4, max_grad_norm=1.0, overlap_norm=overlap)
        self.x = torch.randn(1, given.tokens, given.width, device=given.device)
        self.clock = clock_of(given)
        self.times = {"backward": [], "step": [], "both": []}

    def turn(self):
        self.optimizer.zero_grad()
        loss = self.net(self.x).square().mean()
        begun = self.clock()
        loss.backward()
        between = self.clock()
        self.optimizer.step()
        ended = self.clock()
        for name, first, last in (("backward", begun, between), ("step", between, ended), ("both", begun, ended)):
            self.times[name].append(passed(first, last))


def clock_of(given):
    if given.device == "cpu":
        return time.thread_time if given.one else time.perf_counter

    def event():
        now = torch.cuda.Event(enable_timing=True)
        now.record()
        return now
    return event


def passed(first, last):
    """Milliseconds."""
    if isinstance(first, float):
        return 1e3 * (last - first)
    last.synchronize()
    return first.elapsed_time(last)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    for name, value in (("width", 512), ("blocks", 4), ("tokens", 64), ("rounds", 30)):
        parser.add_argument(f"--{name}", type=int, default=value)
    for name in ("flat", "one", "quick"):
        parser.add_argument(f"--{name}", action="store_true")
    if "cuda" in sys.argv[1:]:
        parser.set_defaults(width=1024, blocks=12, tokens=1024)
    given = parser.parse_args()
    if given.one:
        torch.set_num_threads(1)
    if given.quick:
        given.width, given.blocks, given.tokens, given.rounds = 256, 2, 8, 4
    runs = {"plain": Run(given, False), "overlap": Run(given, True)}
    for number in range(3 + given.rounds):
        if number == 3:  # what was warmed up does not count
            for run in runs.values():
                run.times = {name: [] for name in run.times}
        for run in list(runs.values())[::1 if number % 2 else -1]:
            run.turn()
    same = all(map(torch.equal, runs["plain"].net.parameters(), runs["overlap"].net.parameters()))
    count = sum(param.numel() for param in runs["plain"].net.parameters())
    again = sum(number for engine in runs["overlap"].optimizer._layout.engines for begin, length in engine.rest
                for number in (member.count for member in engine.members[begin:begin + length]))
    print(f"torch {torch.__version__}, {given.device}, {given.blocks} blocks of width {given.width}, {count:,} parameters, "
          f"{given.tokens} tokens, {'flat' if given.flat else 'list'}, {given.rounds} rounds in turns; medians in ms")
    print(f"bytes a parameter in the step: plain 32, overlap {28 + 4 * again / count:.2f} (of {again:,} parameters the gradient "
          "was read in the step)")
    medians = {kind: {name: statistics.median(times) for name, times in run.times.items()} for kind, run in runs.items()}
    for name in ("backward", "step", "both"):
        plain, overlap = medians["plain"][name], medians["overlap"][name]
        print(f"  {name:<9} plain {plain:8.3f}   overlap {overlap:8.3f}   overlap / plain {overlap / plain:.3f}")
    quarters = statistics.quantiles([b / a for a, b in zip(runs["plain"].times["both"], runs["overlap"].times["both"])], n=4)
    print(f"  overlap / plain of both, of each pair of turns: median {quarters[1]:.3f}, quartiles {quarters[0]:.3f} to "
          f"{quarters[2]:.3f}")
    if not same:
        raise SystemExit("the bits differ")


if __name__ == "__main__":
    main()
