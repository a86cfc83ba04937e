# SPDX-License-Identifier: Apache-2.0
"""Tests of the JAX example: the arithmetic, in-place work, skipped steps, schedules, checkpoints, bad arguments."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import swd_jax
import train

B1, B2, EPS = 0.9, 0.999, 1e-8


def tree(seed):
    keys = jax.random.split(jax.random.key(seed), 3)
    return {"w": jax.random.normal(keys[0], (70, 90)), "b": jax.random.normal(keys[1], (5,)),
            "scale": jax.random.normal(keys[2], ()), "empty": jnp.zeros((0, 3))}


def reference(params, grads_of, steps, lr, weight_decay, decay, max_grad_norm, decays):
    """docs/numerics.md in float64. decays: names that decay."""
    p = {k: np.asarray(v, np.float64) for k, v in params.items()}
    m = {k: np.zeros_like(v) for k, v in p.items()}
    v = {k: np.zeros_like(x) for k, x in p.items()}
    for t in range(1, steps + 1):
        g = {k: np.asarray(x, np.float64) for k, x in grads_of(t).items()}
        norm = np.sqrt(sum((x**2).sum() for x in g.values()))
        clip = min(1.0, max_grad_norm / (norm + 1e-6)) if max_grad_norm else 1.0
        for k in p:
            m[k] = B1 * m[k] + (1 - B1) * clip * g[k]
            v[k] = B2 * v[k] + (1 - B2) * (clip * g[k]) ** 2
        vbar = sum(x.sum() for x in v.values()) / sum(x.size for x in v.values()) / (1 - B2**t)
        for k in p:
            d = lr * weight_decay / (np.sqrt(vbar) if decay == "scheduled" else 1.0) if k in decays else 0.0
            p[k] -= d * p[k] + lr * m[k] / (1 - B1**t) / (np.sqrt(v[k] / (1 - B2**t)) + EPS)
    return p


def run(optimizer, steps, jit=True, donate=True, params=None, state=None, first=1):
    def step(params, state, grads):
        return optimizer.update(grads, state, params)

    if jit:
        step = jax.jit(step, donate_argnums=(0, 1) if donate else ())
    params = tree(0) if params is None else params
    state = optimizer.init(params) if state is None else state
    for t in range(first, first + steps):
        params, state = step(params, state, tree(t))
    return params, state


def same_bits(a, b):
    return all(np.asarray(x).tobytes() == np.asarray(y).tobytes()
               for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


@pytest.mark.parametrize("decay", ["scheduled", "decoupled"])
def test_formula(decay):
    mask = {"w": True, "b": False, "scale": True, "empty": True}
    optimizer = swd_jax.adams(1e-2, weight_decay=0.05, mask=mask, decay=decay, max_grad_norm=1.0)
    params, state = run(optimizer, 50)
    expected = reference(tree(0), tree, 50, 1e-2, 0.05, decay, 1.0, {"w", "scale"})
    for name in params:
        np.testing.assert_allclose(params[name], expected[name], rtol=0, atol=3e-6)
    assert optimizer.stats(state)["steps_applied"] == 50


def test_relative_decay_takes_its_reference():
    optimizer = swd_jax.adams(1e-2, weight_decay=0.5, decay="relative", reference_step=3)
    decoupled = swd_jax.adams(1e-2, weight_decay=0.5, decay="decoupled")
    params, state = run(optimizer, 3)
    assert same_bits(params, run(decoupled, 3)[0])
    stats = optimizer.stats(state)
    assert stats["vbar_reference"] == stats["vbar"] > 0
    scheduled = swd_jax.adams(1e-2, weight_decay=0.5 * stats["vbar"] ** 0.5)
    of_its_own = state._replace(workspace=scheduled.init(params).workspace)  # a workspace belongs to one plan
    expected, _ = run(scheduled, 20, params=params, state=of_its_own, donate=False, first=4)
    found, state = run(optimizer, 20, params=params, state=state, donate=False, first=4)
    for name in params:
        np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=1e-6)
    assert optimizer.stats(state)["vbar_reference"] == stats["vbar"]


def test_jit_and_donation_do_not_change_bits():
    optimizer = swd_jax.adams(1e-2, weight_decay=1e-3, max_grad_norm=1.0)
    eager, copied, donated = run(optimizer, 5, jit=False), run(optimizer, 5, donate=False), run(optimizer, 5)
    for params, state in (copied, donated):  # of a workspace only the statistics count: it also holds pointers
        assert same_bits(eager[0], params)
        assert same_bits(eager[1][:4], state[:4])
        assert optimizer.stats(eager[1]) == optimizer.stats(state)


def test_arguments_that_are_not_donated_stay_as_they_were():
    optimizer = swd_jax.adams(1e-2)
    params = tree(0)
    state = optimizer.init(params)
    before = jax.tree.map(lambda x: np.array(x), (params, state))
    jax.jit(optimizer.update)(tree(1), state, params)
    assert same_bits(before, (params, state))


def test_donated_memory_is_used_in_place():
    optimizer = swd_jax.adams(1e-2)
    params = jax.tree.map(jnp.array, tree(0))
    state = optimizer.init(params)

    def addresses(params, state):
        return [x["w"].unsafe_buffer_pointer() for x in (params, state.exp_avg, state.exp_avg_sq)]

    before = addresses(params, state)
    assert addresses(*run(optimizer, 3, params=params, state=state)) == before


def test_a_nan_gradient_changes_nothing():
    optimizer = swd_jax.adams(1e-2, weight_decay=1e-3)
    params, state = run(optimizer, 3)
    grads = tree(9)
    grads["b"] = grads["b"].at[2].set(jnp.nan)
    after, after_state = jax.jit(optimizer.update)(grads, state, params)
    assert same_bits((params, state.exp_avg, state.exp_avg_sq), (after, after_state.exp_avg, after_state.exp_avg_sq))
    stats = optimizer.stats(after_state)
    assert (stats["result"], stats["steps_applied"], stats["steps_skipped"]) == (2, 3, 1)


def test_a_schedule_is_followed_without_compiling_again():
    rates = jnp.array([1e-2, 3e-3, 1e-3, 2e-2])
    scheduled, _ = run(swd_jax.adams(lambda count: rates[count], weight_decay=1e-3), 4)
    params, state = tree(0), None
    for t in range(4):
        constant = swd_jax.adams(float(rates[t]), weight_decay=1e-3)
        params, state = run(constant, 1, params=params, state=state, first=t + 1)
    assert same_bits(scheduled, params)


def test_resume_with_a_fresh_workspace_is_bit_for_bit():
    optimizer = swd_jax.adams(1e-2, weight_decay=1e-3, max_grad_norm=1.0)
    whole, _ = run(optimizer, 6)
    params, state = run(optimizer, 3)
    params, state = jax.tree.map(lambda x: jnp.array(np.array(x)), (params, state))  # as from a file
    state = state._replace(workspace=optimizer.init(params).workspace)
    assert same_bits(whole, run(optimizer, 3, params=params, state=state, first=4)[0])


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="decay must be"):
        swd_jax.adams(1e-2, decay="weekly")
    with pytest.raises(TypeError, match="params must be float32, not bfloat16"):
        swd_jax.adams(1e-2).init({"w": jnp.zeros(3, jnp.bfloat16)})
    with pytest.raises(ValueError, match="mask has 1 leaves, params have 4"):
        swd_jax.adams(1e-2, mask={"w": True}).init(tree(0))
    optimizer = swd_jax.adams(1e-2, b1=1.5)
    with pytest.raises(Exception, match="SWD_ERR_VALUE: .*beta1"):
        run(optimizer, 1)


def test_the_example_learns():
    assert train.main() < 0.01
