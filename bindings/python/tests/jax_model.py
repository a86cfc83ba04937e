# SPDX-License-Identifier: Apache-2.0
"""What the tests of swd.jax share: a tree of parameters, gradients, and two oracles: the C library on the same numbers, and
docs/numerics.md in float64."""
import jax
import numpy as np

import swd

B1, B2, EPS = 0.9, 0.999, 1e-8
DECAYS = ("scheduled", "relative", "decoupled", "l2", "none")
OF_WEIGHTS = {"scheduled": 1e-3, "relative": 0.5, "decoupled": 0.5, "l2": 0.05, "none": 0.5}


def tree(seed):
    """Leaves of many shapes: two chunks of the sum, odd, a scalar, empty. numpy: numbers of no device."""
    random = np.random.default_rng(seed)
    draw = lambda *shape: random.standard_normal(shape).astype(np.float32)
    return {"layer": {"w": draw(72, 90), "b": draw(6)}, "scale": draw(), "empty": np.zeros((0, 3), np.float32)}


def on_device(arrays):
    return jax.tree.map(jax.numpy.array, arrays)


def same_bits(a, b):
    """Of all leaves."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    return all(np.asarray(x).tobytes() == np.asarray(y).tobytes() for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b)))


class CLibrary:
    """The same steps by swd.Plan, leaf by leaf, on copies of params."""

    def __init__(self, params, decay="scheduled", decays=None, grad_dtype="float32"):
        leaves, self.structure = jax.tree.flatten(params)
        self.params = [np.array(leaf) for leaf in leaves]
        self.exp_avg, self.exp_avg_sq = ([np.zeros_like(leaf) for leaf in self.params] for _ in range(2))
        segments = [swd.Segment(leaf.size, flags=0 if d else swd.SegmentFlag.NO_DECAY)
                    for leaf, d in zip(self.params, decays or [True] * len(leaves))]
        self.plan = swd.Plan(segments, decay=decay, as_list=True, grad_dtype=grad_dtype)
        state, self.workspace = swd.host_bytes(self.plan.state_bytes), swd.host_bytes(self.plan.workspace_bytes)
        self.plan.init_workspace(self.workspace)
        for kind, arrays in ((swd.Buffer.PARAM, self.params), (swd.Buffer.EXP_AVG, self.exp_avg),
                             (swd.Buffer.EXP_AVG_SQ, self.exp_avg_sq)):
            self.plan.set_pointers(self.workspace, kind, [a.ctypes.data for a in arrays])
        self.buffers = self.plan.buffers(state=state, workspace=self.workspace)

    def step(self, grads, group, **numbers):
        grads = [np.array(leaf) for leaf in jax.tree.leaves(grads)]
        self.plan.set_pointers(self.workspace, swd.Buffer.GRAD, [g.ctypes.data for g in grads])
        self.plan.step(self.buffers, self.plan.args(group, **numbers))

    def trees(self):
        return tuple(jax.tree.unflatten(self.structure, kind) for kind in (self.params, self.exp_avg, self.exp_avg_sq))


def in_float64(params, steps, lr, weight_decay, decay, max_grad_norm, reference_step):
    """Leaves after so many steps with the gradients tree(1), tree(2) ...; all but vectors decay."""
    p = [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(params)]
    m, v = [np.zeros_like(leaf) for leaf in p], [np.zeros_like(leaf) for leaf in p]
    reference = None
    for t in range(1, steps + 1):
        g = [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(tree(t))]
        clip = min(1.0, max_grad_norm / (np.sqrt(sum((x**2).sum() for x in g)) + 1e-6))
        lambdas = [weight_decay if x.ndim != 1 and decay != "none" else 0.0 for x in p]
        g = [clip * x + (w * y if decay == "l2" else 0.0) for x, y, w in zip(g, p, lambdas)]
        m = [B1 * x + (1 - B1) * y for x, y in zip(m, g)]
        v = [B2 * x + (1 - B2) * y**2 for x, y in zip(v, g)]
        vbar = sum(x.sum() for x in v) / sum(x.size for x in v) / (1 - B2**t)
        reference = vbar if reference is None and t >= reference_step else reference
        factor = {"scheduled": vbar**-0.5, "relative": ((reference or vbar) / vbar)**0.5, "decoupled": 1.0}.get(decay, 0.0)
        p = [x - lr * factor * w * x - lr * y / (1 - B1**t) / (np.sqrt(z / (1 - B2**t)) + EPS)
             for x, y, z, w in zip(p, m, v, lambdas)]
    return p
