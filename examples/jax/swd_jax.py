# SPDX-License-Identifier: Apache-2.0
"""AdamS for JAX on the CPU: an optax-shaped pair (init, update) around the XLA custom call in swd_ffi.cpp.

Unlike optax, update returns the new parameters and not what to add to them: the library writes parameters and moments
in place. Under jit that costs no copy if params and state are donated, and come out in the order in which they went in:
JAX pairs donated inputs with outputs of the same shape by position, and XLA copies where it paired two others.
"""
import ctypes
import os
from typing import Any, Callable, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

DECAY = {"scheduled": 0, "decoupled": 1, "l2": 2, "none": 3, "relative": 4}

# swd_stats of swd.h.
STATS = np.dtype([("result", "i4"), ("flags", "u4"), ("steps_applied", "u8"), ("steps_skipped", "u8"),
                  ("grad_norm", "f8"), ("clip_coef", "f8"), ("vbar", "f8"), ("inv_sqrt_vbar", "f8"),
                  ("largest_decay", "f8"), ("bad", "f8"), ("param_norm", "f8"), ("update_norm", "f8"),
                  ("vbar_reference", "f8"), ("damaged_segment", "i8")])

_library = ctypes.CDLL(os.environ.get("SWD_JAX_LIBRARY", os.path.join(os.path.dirname(__file__), "libswd_jax.so")))
for _name in ("swd_jax_workspace_init", "swd_jax_step"):
    jax.ffi.register_ffi_target(_name, jax.ffi.pycapsule(getattr(_library, _name)), platform="cpu")


class AdamSState(NamedTuple):
    """A checkpoint needs all but the workspace, which a fresh init gives again."""
    count: jax.Array      # calls of update, for a schedule
    exp_avg: Any          # trees of the shape of params
    exp_avg_sq: Any
    state: jax.Array      # bytes: step counters, running sums, the reference of relative decay
    workspace: jax.Array  # bytes


class AdamS(NamedTuple):
    init: Callable    # params -> state
    update: Callable  # grads, state, params -> params, state
    stats: Callable   # state -> dict; reads the device, so not under jit


def adams(learning_rate, b1=0.9, b2=0.999, eps=1e-8, weight_decay=0.0, mask=None, decay="scheduled", max_grad_norm=0.0,
          reference_step=100):
    """learning_rate: a number or an optax schedule. mask: as in optax.adamw, a tree of bools or a function of params
    that gives one; leaves with False do not decay. decay: "relative" takes optax.adamw's weight_decay; the vbar of step
    reference_step is what it is relative to from then on. max_grad_norm clips the global norm inside the step."""
    if decay not in DECAY:
        raise ValueError(f"decay must be one of {', '.join(DECAY)}, not {decay!r}")

    def describe(params):
        leaves = jax.tree.leaves(params)
        for leaf in leaves:
            if leaf.dtype != jnp.float32:
                raise TypeError(f"params must be float32, not {leaf.dtype}")
        chosen = mask(params) if callable(mask) else mask
        decays = [True] * len(leaves) if chosen is None else jax.tree.leaves(chosen)
        if len(decays) != len(leaves):
            raise ValueError(f"mask has {len(decays)} leaves, params have {len(leaves)}")
        return {"counts": np.array([leaf.size for leaf in leaves], np.int64),
                "decays": np.array(decays, np.int32), "decay": np.int32(DECAY[decay])}

    def layout(plan):
        sizes = (ctypes.c_uint64 * 3)()
        status = _library.swd_jax_layout(plan["counts"].ctypes.data_as(ctypes.c_void_p),
                                         plan["decays"].ctypes.data_as(ctypes.c_void_p),
                                         ctypes.c_int64(len(plan["counts"])), int(plan["decay"]), sizes)
        if status != 0:
            raise ValueError(f"libswd refuses these params: status {status}")
        return tuple(sizes)

    def init(params):
        plan = describe(params)
        state_bytes, workspace_bytes, _ = layout(plan)
        shape = jax.ShapeDtypeStruct((workspace_bytes,), jnp.uint8)
        workspace = jax.ffi.ffi_call("swd_jax_workspace_init", shape)(**plan)
        zeros = [jax.tree.map(jnp.zeros_like, params) for _ in range(2)]
        return AdamSState(jnp.zeros((), jnp.int32), *zeros, jnp.zeros((state_bytes,), jnp.uint8), workspace)

    def update(grads, state, params):
        leaves, tree = jax.tree.flatten(params)
        moments = jax.tree.leaves((state.exp_avg, state.exp_avg_sq))
        kept = [state.state, state.workspace, *leaves, *moments]
        rate = learning_rate(state.count) if callable(learning_rate) else learning_rate
        call = jax.ffi.ffi_call("swd_jax_step", [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in kept],
                                input_output_aliases={i + 1: i for i in range(len(kept))})
        out = call(jnp.asarray(rate, jnp.float32), *kept, *jax.tree.leaves(grads), **describe(params),
                   beta1=np.float64(b1), beta2=np.float64(b2), eps=np.float64(eps),
                   weight_decay=np.float64(weight_decay), max_grad_norm=np.float64(max_grad_norm),
                   reference_step=np.int64(reference_step))
        n = len(leaves)
        trees = [jax.tree.unflatten(tree, out[2 + i * n : 2 + (i + 1) * n]) for i in range(3)]
        return trees[0], AdamSState(state.count + 1, trees[1], trees[2], out[0], out[1])

    def stats(state):
        sizes = layout(describe(state.exp_avg))
        record = np.frombuffer(np.asarray(state.workspace).tobytes(), STATS, count=1, offset=sizes[2])[0]
        return {name: record[name].item() for name in STATS.names}

    return AdamS(init, update, stats)
