# SPDX-License-Identifier: Apache-2.0
"""A plan on the CPU with numpy arrays around it. Used by the tests of the low level."""
import numpy as np

import swd


class Model:
    """Arrays, state and workspace of one plan; `step` does one step with gradients made from a seed."""

    def __init__(self, counts, as_list=False, seed=3, groups=None, **options):
        self.counts, self.as_list = counts, as_list
        self.plan = swd.Plan(counts, as_list=as_list, **options)
        random = np.random.default_rng(seed)
        total = sum(c if isinstance(c, int) else c.count for c in counts)
        self.param = random.standard_normal(total, dtype=np.float32)
        self.grad, self.exp_avg, self.exp_avg_sq = (np.zeros(total, np.float32) for _ in range(3))
        self.extra = {"max_exp_avg_sq": np.zeros(total, np.float32)} if options.get("amsgrad") else {}
        self.state = swd.host_bytes(self.plan.state_bytes)
        self.workspace = swd.host_bytes(self.plan.workspace_bytes)
        self.plan.init_workspace(self.workspace)
        self.arrays = dict(param=self.param, grad=self.grad, exp_avg=self.exp_avg, exp_avg_sq=self.exp_avg_sq,
                           **self.extra)
        self.args = self.plan.args(groups or swd.Group(lr=0.01, weight_decay=0.01), max_grad_norm=1.0)
        self.buffers = self.plan.buffers(state=self.state, workspace=self.workspace, **({} if as_list else self.arrays))
        if as_list:
            for name in self.arrays:
                self.plan.set_pointers(self.workspace, swd.Buffer[name.upper()], self.pieces(self.arrays[name]))

    def pieces(self, array):
        ends = np.cumsum(self.counts)
        return [array[end - count:end] for end, count in zip(ends, self.counts)]

    def new_gradient(self, step):
        random = np.random.default_rng(100 + step)
        self.grad[:] = random.standard_normal(self.grad.size, dtype=np.float32)

    def step(self, step):
        self.new_gradient(step)
        self.plan.step(self.buffers, self.args)

    def bits(self):
        """Every byte that a step changes."""
        return b"".join(a.tobytes() for a in (self.param, self.exp_avg, self.exp_avg_sq, *self.extra.values())) + \
            bytes(self.state)
