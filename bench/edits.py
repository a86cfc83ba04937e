# SPDX-License-Identifier: Apache-2.0
"""What it costs AdamS to notice what others wrote, beside its step, on the CPU: the comparison of a 16-bit parameter with
its master (each step), and of the running sums with the moments (every 100 steps). One thread; medians of interleaved
runs, in processor time.

    python bench/edits.py [ELEMENTS]
"""
import statistics
import sys
import time

import torch

from swd.torch import AdamS, audit
from swd.torch.tensors import refresh_master


def timed(function):
    start = time.process_time()
    function()
    return 1e3 * (time.process_time() - start)


def main(elements):
    torch.set_num_threads(1)
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        param = torch.nn.Parameter(torch.randn(elements).to(dtype))
        param.grad = torch.randn(elements).to(dtype)
        optimizer = AdamS([param], lr=1e-3, weight_decay=1e-4)
        optimizer.step()
        engine, times = optimizer._layout.engines[0], {"step": [], "master": [], "sums": []}
        for _ in range(15):
            times["step"].append(timed(optimizer.step))
            if dtype != torch.float32:
                with torch.no_grad():
                    times["master"].append(timed(lambda: refresh_master(engine.members[0].work, param)))
            times["sums"].append(timed(lambda: audit.retake(engine, optimizer.param_groups, True)))
        found = {name: statistics.median(values) for name, values in times.items() if values}
        share = f", of it the master {found['master']:.2f} ms ({found['master'] / found['step']:.0%})" if "master" in found else ""
        print(f"{dtype}: step {found['step']:.2f} ms{share}; sums {found['sums']:.2f} ms, "
              f"a hundredth of it {found['sums'] / found['step'] / 100:.2%} of a step")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1 << 24)
