# SPDX-License-Identifier: Apache-2.0
"""Trains a small network with swd_jax.adams, jitted and donated: SWD_JAX_LIBRARY=.../libswd_jax.so python train.py"""
import jax
import jax.numpy as jnp
import swd_jax

STEPS = 400


def init_params(key, sizes=(2, 32, 32, 1)):
    keys = jax.random.split(key, len(sizes) - 1)
    return [{"w": jax.random.normal(k, (m, n)) / jnp.sqrt(m), "b": jnp.zeros(n)}
            for k, m, n in zip(keys, sizes, sizes[1:])]


def loss_function(params, x, y):
    for layer in params[:-1]:
        x = jnp.tanh(x @ layer["w"] + layer["b"])
    return jnp.mean((x @ params[-1]["w"] + params[-1]["b"] - y) ** 2)


def schedule(count):  # optax schedules have this form
    return 0.02 * jnp.minimum((count + 1) / 20, 1.0 - count / STEPS)


def weights_only(params):  # biases do not decay
    return jax.tree.map(lambda p: p.ndim > 1, params)


def main():
    x = jax.random.uniform(jax.random.key(0), (256, 2), minval=-1.0)
    y = jnp.sin(3 * x[:, :1]) * jnp.cos(2 * x[:, 1:])

    optimizer = swd_jax.adams(schedule, weight_decay=1e-5, mask=weights_only, max_grad_norm=1.0)

    def train_step(params, state):
        loss, grads = jax.value_and_grad(loss_function)(params, x, y)
        params, state = optimizer.update(grads, state, params)
        return params, state, loss

    params = init_params(jax.random.key(1))
    state = optimizer.init(params)
    train_step = jax.jit(train_step, donate_argnums=(0, 1))  # so that the step works in the memory that is there
    for step in range(1, STEPS + 1):
        params, state, loss = train_step(params, state)
        if step % 100 == 0:
            stats = optimizer.stats(state)
            print(f"step {step}   loss {loss:.6f}   gradient norm {stats['grad_norm']:.5f}   vbar {stats['vbar']:.3e}")
    return float(loss)


if __name__ == "__main__":
    raise SystemExit(0 if main() < 0.01 else 1)
