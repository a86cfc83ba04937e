# SPDX-License-Identifier: Apache-2.0
"""swd.jax inside of what others wrote: optax's transformations and schedules, checkpoints as plain arrays and by orbax,
states of optax.adam."""
import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint
import pytest

import jax_model
from jax_model import on_device, same_bits

import swd.jax


def tree(seed):
    """Orbax saves no array of size zero."""
    return {name: leaf for name, leaf in jax_model.tree(seed).items() if name != "empty"}


def run(optimizer, steps, params=None, state=None, first=1):
    """As with any optimizer of optax, jitted."""
    @jax.jit
    def step(params, state, grads):
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    params = on_device(tree(0)) if params is None else params
    state = optimizer.init(params) if state is None else state
    for t in range(first, first + steps):
        params, state = step(params, state, on_device(tree(t)))
    return params, state


def test_updates_give_what_apply_gives():
    optimizer = swd.jax.adams(1e-2, weight_decay=1e-3)
    params, state = run(optimizer, 1)
    exact, exact_state = optimizer.apply(on_device(tree(1)), optimizer.init(on_device(tree(0))), on_device(tree(0)))
    assert same_bits(state, exact_state)
    for start, ours, wanted in zip(*map(jax.tree.leaves, (tree(0), params, exact))):
        step = np.abs(np.asarray(wanted, np.float64) - start)
        assert np.all(np.abs(np.asarray(ours, np.float64) - wanted) <= 2.0**-23 * np.maximum(step, np.abs(wanted)))
        near = (wanted >= start / 2) & (wanted <= start * 2)  # there the difference is exact
        assert np.array_equal(np.asarray(ours)[near], np.asarray(wanted)[near])


def test_chain_clips_as_the_step_does():
    inside = run(swd.jax.adams(1e-2, weight_decay=1e-3, max_grad_norm=1.0), 5)[0]
    chained = run(optax.chain(optax.clip_by_global_norm(1.0), swd.jax.adams(1e-2, weight_decay=1e-3)), 5)[0]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=2e-6), inside, chained)


def test_decoupled_decay_is_adamw():
    mask = lambda params: jax.tree.map(lambda p: p.ndim > 1, params)
    ours = run(swd.jax.adams(1e-2, weight_decay=0.1, mask=mask, decay="decoupled"), 20)[0]
    theirs = run(optax.adamw(1e-2, weight_decay=0.1, mask=mask), 20)[0]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=2e-6), ours, theirs)


def test_multi_steps_accumulate():
    schedule = optax.warmup_cosine_decay_schedule(0.0, 1e-2, 2, 10)
    params, state = run(optax.MultiSteps(swd.jax.adams(schedule, weight_decay=1e-3), 2), 6)
    assert int(state.inner_opt_state.count) == 3
    optimizer = swd.jax.adams(schedule, weight_decay=1e-3)
    expected = on_device(tree(0))
    inner = optimizer.init(expected)
    for t in (1, 3, 5):
        mean = jax.tree.map(lambda a, b: (jnp.array(a) + b) / 2, tree(t), tree(t + 1))
        expected, inner = optimizer.apply(mean, inner, expected)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-6), params, expected)


def test_masked_and_injected():
    frozen = {"layer": {"w": True, "b": True}, "scale": False}
    params, _ = run(optax.masked(swd.jax.adams(1e-2), frozen), 1)
    assert float(params["scale"]) == pytest.approx(float(tree(0)["scale"] + tree(1)["scale"]))  # masked passes it on
    injected = optax.inject_hyperparams(swd.jax.adams, static_args=(
        "b1", "b2", "eps", "weight_decay", "decay", "max_grad_norm", "max_decay", "reference_step"))
    optimizer = injected(learning_rate=1e-2)
    params, state = run(optimizer, 1)
    assert same_bits(params, run(swd.jax.adams(jnp.float32(1e-2)), 1)[0])
    state.hyperparams["learning_rate"] = jnp.float32(0.0)
    assert same_bits(params, run(optimizer, 1, params, state, 2)[0])


@pytest.mark.parametrize("way", ["numpy", "orbax"])
def test_a_checkpoint_resumes_to_the_bit(way, tmp_path):
    optimizer = swd.jax.adams(lambda count: 1e-2 / (1 + count), weight_decay=0.1, decay="relative", reference_step=2,
                              max_grad_norm=1.0)
    whole = run(optimizer, 6)
    saved = run(optimizer, 3)
    if way == "numpy":
        np.savez(tmp_path / "state.npz", *jax.tree.leaves(saved))
        with np.load(tmp_path / "state.npz") as file:
            loaded = jax.tree.unflatten(jax.tree.structure(saved), [jnp.array(file[name]) for name in file.files])
    else:
        with orbax.checkpoint.StandardCheckpointer() as checkpointer:
            checkpointer.save(tmp_path / "state", saved)
            checkpointer.wait_until_finished()
            params = jax.eval_shape(lambda: on_device(tree(0)))
            loaded = checkpointer.restore(tmp_path / "state", (params, jax.eval_shape(optimizer.init, params)))
    assert optimizer.stats(loaded[1]) == optimizer.stats(saved[1])
    assert same_bits(whole, run(optimizer, 3, *loaded, first=4))


def test_load_takes_the_state_of_adam():
    adam = optax.adam(1e-2)
    params, (inner, _) = run(adam, 5)
    optimizer = swd.jax.adams(1e-2, weight_decay=1e-4)
    state = optimizer.load(params, inner.mu, inner.nu, inner.count)
    after, after_state = run(optimizer, 1, params, state, 6)
    count = sum(v.size for v in jax.tree.leaves(after_state.exp_avg_sq))
    vbar = sum(np.asarray(v).sum(dtype=np.float64) for v in jax.tree.leaves(after_state.exp_avg_sq)) / count
    stats = optimizer.stats(after_state)
    assert stats.vbar == pytest.approx(vbar / (1 - 0.999**6), rel=1e-6) and stats.steps_applied == 6
    wanted = run(adam, 1, params, (inner, optax.EmptyState()), 6)[0]
    for ours, theirs, start in zip(*map(jax.tree.leaves, (after, wanted, params))):
        np.testing.assert_allclose(ours, theirs - 1e-2 * 1e-4 / stats.vbar**0.5 * start, rtol=0, atol=1e-6)
    own = run(swd.jax.adams(1e-2), 3)[1]
    again = swd.jax.adams(1e-2).load(params, own.exp_avg, own.exp_avg_sq, own.count)
    assert again.count == 3 and again.exp_avg["layer"]["w"] is not own.exp_avg["layer"]["w"]
    with pytest.raises(ValueError, match="exp_avg: its tree is not that of params"):
        optimizer.load(params, {}, inner.nu, 5)
