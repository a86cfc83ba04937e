# SPDX-License-Identifier: Apache-2.0
"""Trains a small network with swd.jax.adams, jitted and in place: python train.py. Needs jax and libswd."""
import functools

import jax
import jax.numpy as jnp
import swd.jax

STEPS = 400


def init_params(key, sizes=(2, 32, 32, 1)):
    keys = jax.random.split(key, len(sizes) - 1)
    return [{"w": jax.random.normal(k, (m, n)) / jnp.sqrt(m), "b": jnp.zeros(n)}
            for k, m, n in zip(keys, sizes, sizes[1:])]


def loss_function(params, x, y):
    for layer in params[:-1]:
        x = jnp.tanh(x @ layer["w"] + layer["b"])
    return jnp.mean((x @ params[-1]["w"] + params[-1]["b"] - y) ** 2)


def main():
    x = jax.random.uniform(jax.random.key(0), (256, 2), minval=-1.0)
    y = jnp.sin(3 * x[:, :1]) * jnp.cos(2 * x[:, 1:])

    optimizer = swd.jax.adams(
        lambda count: 0.02 * jnp.minimum((count + 1) / 20, 1.0 - count / STEPS),  # or a schedule of optax
        weight_decay=0.01, decay="relative", max_grad_norm=1.0,
        mask=lambda params: jax.tree.map(lambda p: p.ndim > 1, params))  # biases do not decay

    @functools.partial(jax.jit, donate_argnums=(0, 1))  # so that the step works in the memory that is there
    def train_step(params, state):
        loss, grads = jax.value_and_grad(loss_function)(params, x, y)
        params, state = optimizer.apply(grads, state, params)
        return params, state, loss

    params = init_params(jax.random.key(1))
    state = optimizer.init(params)
    for step in range(1, STEPS + 1):
        params, state, loss = train_step(params, state)
        if step % 100 == 0:
            stats = optimizer.stats(state)
            print(f"step {step}   loss {loss:.6f}   gradient norm {stats.grad_norm:.5f}   decay {stats.lambda_eff[0]:.4f}")
    return float(loss)


if __name__ == "__main__":
    raise SystemExit(0 if main() < 0.01 else 1)
