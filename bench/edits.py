# SPDX-License-Identifier: Apache-2.0
"""What it costs AdamS to notice what others wrote, beside its step, on the CPU: the comparison of the running sums with
the moments (every 100 steps). What others wrote into a float16 parameter the step itself takes over from the copy; its
price is the last column: a step with and one without, through Plan. One thread; medians of interleaved runs, in
processor time.

    python bench/edits.py [ELEMENTS]
"""
import statistics
import sys
import time

import torch

from swd import Buffers, Group, Plan
from swd.torch import AdamS, audit


def timed(function):
    start = time.process_time()
    function()
    return 1e3 * (time.process_time() - start)


def float16_step(elements, take_copy):
    """A step of float32 parameters with a float16 copy, as swd.torch makes it of a float16 parameter."""
    plan = Plan([elements], grad_dtype="float16", copy_dtype="float16", take_copy=take_copy, threads=1)
    param, grad = torch.randn(elements), torch.randn(elements).half()
    workspace = torch.empty(plan.workspace_bytes, dtype=torch.uint8)
    plan.init_workspace(workspace)
    buffers = Buffers(plan, param=param, grad=grad, exp_avg=torch.zeros(elements), exp_avg_sq=torch.zeros(elements),
                      param_copy=param.half(), state=torch.zeros(plan.state_bytes, dtype=torch.uint8), workspace=workspace)
    args = plan.args(Group(weight_decay=1e-4))
    return lambda: plan.step(buffers, args)


def main(elements):
    torch.set_num_threads(1)
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        param = torch.nn.Parameter(torch.randn(elements).to(dtype))
        param.grad = torch.randn(elements).to(dtype)
        optimizer = AdamS([param], lr=1e-3, weight_decay=1e-4)
        optimizer.step()
        engine, steps, sums = optimizer._layout.engines[0], [], []
        for _ in range(15):
            steps.append(timed(optimizer.step))
            sums.append(timed(lambda: audit.retake(engine, optimizer.param_groups, True)))
        step, audits = statistics.median(steps), statistics.median(sums)
        print(f"{dtype}: step {step:.2f} ms; sums {audits:.2f} ms, a hundredth of it {audits / step / 100:.2%} of a step")
    plain, takes = (float16_step(elements, take_copy) for take_copy in (False, True))
    ratios = [timed(takes) / timed(plain) for _ in range(31)]
    print(f"float16 with a step that looks at the copy: {statistics.median(ratios):.3f} times one that does not")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1 << 24)
