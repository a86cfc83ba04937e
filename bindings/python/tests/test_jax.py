# SPDX-License-Identifier: Apache-2.0
"""swd.jax on one device: bits, arithmetic, memory, schedules, masks, skipped steps, and what is refused. Run by
scripts/test_jax.sh, in a process without torch."""
import ctypes

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax_model import DECAYS, OF_WEIGHTS, CLibrary, in_float64, on_device, same_bits, tree

import swd
import swd.jax
from swd.jax import shim


def no_vectors(params):
    return jax.tree.map(lambda p: p.ndim != 1, params)


def run(optimizer, steps, state=None, params=None, first=1):
    params = on_device(tree(0)) if params is None else params
    state = optimizer.init(params) if state is None else state
    for t in range(first, first + steps):
        params, state = optimizer.apply(on_device(tree(t)), state, params)
    return params, state


@pytest.mark.parametrize("decay", DECAYS)
def test_arithmetic_and_bits(decay):
    optimizer = swd.jax.adams(1e-2, weight_decay=OF_WEIGHTS[decay], mask=no_vectors, decay=decay, max_grad_norm=1.0,
                              reference_step=5)
    params, state = run(optimizer, 20)
    expected = in_float64(tree(0), 20, 1e-2, OF_WEIGHTS[decay], decay, 1.0, 5)
    for leaf, wanted in zip(jax.tree.leaves(params), expected):
        np.testing.assert_allclose(leaf, wanted, rtol=0, atol=3e-6)

    plain = CLibrary(tree(0), decay, jax.tree.leaves(no_vectors(tree(0))))
    for t in range(1, 21):
        plain.step(tree(t), swd.Group(lr=1e-2, weight_decay=OF_WEIGHTS[decay]), max_grad_norm=1.0, reference_step=5)
    assert same_bits((params, state.exp_avg, state.exp_avg_sq), plain.trees())
    theirs, ours = plain.plan.stats(plain.workspace), optimizer.stats(state)
    assert ours[:-1] == theirs[:-1] and ours.steps_applied == int(state.count) == 20
    assert ours.lambda_eff == pytest.approx(theirs.lambda_eff, rel=1e-12)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_gradients_of_16_bits(dtype):
    optimizer = swd.jax.adams(1e-2)
    params, grads = on_device(tree(0)), jax.tree.map(lambda g: jnp.asarray(g, dtype), tree(1))
    new, _ = optimizer.apply(grads, optimizer.init(params), params)
    wide = jax.tree.map(lambda g: g.astype(jnp.float32), grads)
    assert same_bits(new, optimizer.apply(wide, optimizer.init(on_device(tree(0))), on_device(tree(0)))[0])


def test_jit_and_donation_do_not_change_bits():
    optimizer = swd.jax.adams(1e-2, weight_decay=1e-3, max_grad_norm=1.0)
    expected = run(optimizer, 3)
    for options in ({}, {"donate_argnums": (1, 2)}):
        step = jax.jit(lambda grads, state, params: optimizer.apply(grads, state, params), **options)
        params = on_device(tree(0))
        state = jax.jit(optimizer.init)(params)
        for t in range(1, 4):
            kept = jax.tree.map(np.array, (params, state))
            before, (params, state) = (params, state), step(on_device(tree(t)), state, params)
            assert options or same_bits(kept, before)
        assert same_bits(expected, (params, state))


def test_apply_works_in_the_memory_that_is_there():
    optimizer = swd.jax.adams(1e-2)
    params = on_device(tree(0))
    state = optimizer.init(params)

    def addresses(params, state):
        return [x["layer"]["w"].unsafe_buffer_pointer() for x in (params, state.exp_avg, state.exp_avg_sq)]

    before = addresses(params, state)
    new, new_state = run(optimizer, 3, state, params)
    assert addresses(new, new_state) == before and params["layer"]["w"].is_deleted()

    @jax.jit
    def loop(params, state):
        def body(t, carry):
            return optimizer.apply(jax.tree.map(jnp.ones_like, params), carry[1], carry[0])
        return jax.lax.fori_loop(0, 3, body, (params, state))

    assert int(loop(new, new_state)[1].count) == 6


def test_no_gradient_that_is_not_finite_changes_anything():
    optimizer = swd.jax.adams(lambda count: 1e-2 / (count + 1), weight_decay=1e-3)
    params, state = run(optimizer, 3)
    kept = jax.tree.map(np.array, (params, state))
    grads = on_device(tree(9))
    grads["layer"]["b"] = grads["layer"]["b"].at[2].set(jnp.nan)
    updates, _ = optimizer.update(grads, state, params)
    assert not any(np.any(u) for u in jax.tree.leaves(updates))
    params, state = optimizer.apply(grads, state, params)
    assert same_bits(kept[0], params) and same_bits(kept[1][:3], state[:3])  # a skipped step is no step of the schedule
    stats = optimizer.stats(state)
    assert (stats.result, stats.steps_applied, stats.steps_skipped) == (swd.Result.SKIPPED_NONFINITE, 3, 1)
    assert same_bits(run(optimizer, 1, state, params, 4)[0], run(optimizer, 4)[0])


def test_a_schedule_is_followed_without_compiling_again():
    rates = jnp.array([1e-2, 3e-3, 1e-3, 2e-2], jnp.float32)
    traced = []
    optimizer = swd.jax.adams(lambda count: (traced.append(1), rates[count])[1], weight_decay=1e-3)
    params, state = run(optimizer, 4)
    plain = CLibrary(tree(0))
    for t in range(4):
        rate = ctypes.c_float(float(rates[t]))
        plain.step(tree(t + 1), swd.Group(lr_pointer=ctypes.addressof(rate), weight_decay=1e-3))
    assert same_bits(params, plain.trees()[0]) and len(traced) == 1
    array = swd.jax.adams(jnp.float32(1e-2), weight_decay=1e-3)
    assert same_bits(run(array, 1)[0], run(swd.jax.adams(lambda count: 1e-2, weight_decay=1e-3), 1)[0])


def test_masks():
    expected = run(swd.jax.adams(1e-2, weight_decay=1e-2, mask=lambda p: {
        "layer": {"w": True, "b": True}, "scale": False, "empty": True}), 2)
    prefix = run(swd.jax.adams(1e-2, weight_decay=1e-2, mask={"layer": True, "scale": np.False_, "empty": True}), 2)
    assert same_bits(expected, prefix)
    assert not same_bits(expected[0], run(swd.jax.adams(1e-2, weight_decay=1e-2), 2)[0])


def test_parameters_of_one_leaf_and_none():
    optimizer = swd.jax.adams(0.1)
    params, state = optimizer.apply(jnp.ones(3), optimizer.init(jnp.zeros(3)), jnp.zeros(3))
    np.testing.assert_allclose(params, -0.1, rtol=1e-6)
    assert optimizer.apply({}, optimizer.init({}), {})[0] == {}


REFUSED = [  # arguments, exception, what it says
    (dict(decay="weekly"), ValueError, "decay: 'weekly' is none of scheduled"),
    (dict(learning_rate=-1.0), ValueError, r"learning_rate: -1.0 is not in \[0, inf\)"),
    (dict(b1=1.0), ValueError, r"b1: 1.0 is not in \[0.0, 1.0\)"),
    (dict(eps=0.0), ValueError, "eps: 0.0 is not in"),
    (dict(max_grad_norm=float("nan")), ValueError, "max_grad_norm: nan is not in"),
    (dict(reference_step=0), ValueError, "reference_step: 0 is not in"),
    (dict(mesh=object()), ValueError, "specs: with a mesh say"),
    (dict(mask={"layer": True}), ValueError, "mask: its tree is neither that of params nor the upper part"),
    (dict(mask={"layer": 0.5, "scale": True, "empty": True}), TypeError, "mask: expected True or False for a leaf, not 0.5"),
    (dict(specs=[1]), ValueError, "specs: its tree is neither"),
    (dict(specs=1), TypeError, "specs: expected a PartitionSpec for a leaf, not 1"),
]


@pytest.mark.parametrize("arguments, exception, message", REFUSED, ids=lambda value: str(value)[:40])
def test_arguments_are_named(arguments, exception, message):
    with pytest.raises(exception, match=message):
        swd.jax.adams(**{"learning_rate": 1e-3, **arguments}).init(on_device(tree(0)))


def test_trees_are_named():
    optimizer, params, grads = swd.jax.adams(1e-3), on_device(tree(0)), on_device(tree(1))
    state = optimizer.init(params)
    with pytest.raises(TypeError, match=r"params\['layer'\]\['w'\]: expected a float32 array, not bfloat16"):
        optimizer.init({"layer": {"w": jnp.zeros(3, jnp.bfloat16)}})
    with pytest.raises(ValueError, match="params: they are needed"):
        optimizer.update(grads, state)
    with pytest.raises(ValueError, match="grads: its tree is not that of params"):
        optimizer.apply({"layer": grads["layer"]}, state, params)
    with pytest.raises(ValueError, match=r"grads\['scale'\]: shape \(1,\), but that of params is \(\)"):
        optimizer.apply({**grads, "scale": jnp.ones(1)}, state, params)
    with pytest.raises(TypeError, match=r"grads\['scale'\]: expected an array of float32, bfloat16, float16, not int32"):
        optimizer.apply({**grads, "scale": jnp.int32(1)}, state, params)
    with pytest.raises(TypeError, match=r"grads\['layer'\]\['b'\]: float32, but others are bfloat16: one dtype"):
        optimizer.apply({**grads, "empty": jnp.zeros((0, 3), jnp.bfloat16)}, state, params)
    with pytest.raises(ValueError, match="state.exp_avg_sq: its tree"):
        optimizer.apply(grads, state._replace(exp_avg_sq={}), params)
    with pytest.raises(ValueError, match=r"state.counters: shapes \[\(64,\)\] instead of \[\(192,\)\]"):
        optimizer.apply(grads, state._replace(counters=(state.counters[0][:64],)), params)
    with pytest.raises(TypeError, match="b1: must be known when the step is traced"):
        jax.jit(lambda b1: swd.jax.adams(1e-3, b1=b1).init(params))(0.9)
    assert same_bits(params, tree(0))  # nothing was donated


def test_a_build_without_the_part_for_jax_says_what_to_do(monkeypatch):
    monkeypatch.setattr(shim, "PATH", "/nonexistent/libswd_jax.so")
    with pytest.raises(ImportError, match="no part for JAX: /nonexistent/.* Build libswd where jax is installed: pip install"):
        shim.register()


def test_a_jax_that_does_not_fit_is_named(monkeypatch):
    def refuse(name, handler, platform):
        raise RuntimeError("incompatible API version")

    monkeypatch.setattr(jax.ffi, "register_ffi_target", refuse)
    with pytest.raises(ImportError, match=f"this JAX, {jax.__version__}, refuses .*: incompatible API version. Build libswd"):
        shim.register()
    monkeypatch.delattr(jax, "shard_map")
    with pytest.raises(ImportError, match="swd.jax needs JAX 0.7 or later"):
        shim.register()
