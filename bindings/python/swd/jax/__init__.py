# SPDX-License-Identifier: Apache-2.0
"""AdamS for JAX: ``adams``, with optax's init and update, and an apply that works in the memory that is there.

    import swd.jax
    optimizer = swd.jax.adams(1e-3, weight_decay=0.1, decay="relative", max_grad_norm=1.0)
    state = optimizer.init(params)

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def train_step(params, state, batch):
        grads = jax.grad(loss)(params, batch)
        return optimizer.apply(grads, state, params)        # params, state

On the CPU and on CUDA; needs neither optax nor 64-bit mode. Parameters are float32; gradients float32, bfloat16 or
float16.
"""
from . import shim as _shim
from .adams import AdamS, adams
from .state import AdamSState

_shim.register()
__all__ = ["AdamS", "AdamSState", "adams"]
