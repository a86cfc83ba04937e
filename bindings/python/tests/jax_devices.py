# SPDX-License-Identifier: Apache-2.0
"""The cases of test_jax_sharded.py, in a process with that many host devices: jax_devices.py DEVICES. Prints one JSON object:
the largest difference from one device of each case, in parameters (absolute), norm and vbar (relative)."""
import json
import os
import sys

DEVICES = int(sys.argv[1])
os.environ.update(JAX_PLATFORMS="cpu", XLA_FLAGS=f"--xla_force_host_platform_device_count={DEVICES}")

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec as P
from jax_model import OF_WEIGHTS, same_bits

import swd
import swd.jax

STEPS = 20
AXES = {2: {"fsdp": 2}, 4: {"data": 2, "model": 2}}[DEVICES]
MESH = jax.make_mesh(tuple(AXES.values()), tuple(AXES), axis_types=(jax.sharding.AxisType.Auto,) * len(AXES))
SPECS = {2: {"in": {"w": P("fsdp"), "b": P()}, "out": P(None, "fsdp")},  # fsdp, and biases that all hold
         4: {"in": {"w": P("data", "model"), "b": P()}, "out": P(("data", "model"))}}[DEVICES]
if DEVICES == 4:
    SPECS["in"]["b"] = P("model")


def tree(seed):
    random = np.random.default_rng(seed)
    draw = lambda *shape: random.standard_normal(shape).astype(np.float32)
    return {"in": {"w": draw(64, 96), "b": draw(12)}, "out": draw(96, 8)}


def cut(arrays, specs=SPECS, mesh=MESH):
    return jax.tree.map(lambda x, s: jax.device_put(jnp.array(x), NamedSharding(mesh, s)), arrays, specs)


def optimizer(decay="scheduled", **more):
    return swd.jax.adams(1e-2, weight_decay=OF_WEIGHTS[decay], decay=decay, reference_step=5, max_grad_norm=1.0,
                         mask={"in": {"w": True, "b": False}, "out": True}, **more)


def run(made, place, steps=STEPS, params=None, state=None, first=1, step=None):
    params = place(tree(0)) if params is None else params
    state = made.init(params) if state is None else state
    for t in range(first, first + steps):
        params, state = (step or made.apply)(place(tree(t)), state, params)
    return params, state, made.stats(state)


def whole(arrays):
    return jax.tree.map(jnp.array, arrays)


def difference(a, b):
    params = max(float(np.max(np.abs(np.asarray(x) - np.asarray(y)))) for x, y in zip(*map(jax.tree.leaves, (a[0], b[0]))))
    assert a[2].result == b[2].result == swd.Result.APPLIED and int(a[1].count) == int(b[1].count) == a[2].steps_applied
    relative = lambda x, y: abs(x - y) / (abs(y) or 1.0)  # no vbar with l2
    return [params, relative(a[2].grad_norm, b[2].grad_norm), relative(a[2].vbar, b[2].vbar)]


def same_on_all_devices(array):
    shards = [np.asarray(shard.data).tobytes() for shard in array.addressable_shards]
    assert len(shards) == DEVICES and len(set(shards)) == 1


def of_each_decay():
    out = {}
    for decay in OF_WEIGHTS:
        shared = run(optimizer(decay, mesh=MESH, specs=SPECS), cut)
        assert jax.tree.map(lambda x: x.sharding.spec, shared[0]) == SPECS
        same_on_all_devices(shared[1].stats)
        out[decay] = difference(shared, run(optimizer(decay), whole))
    return out


def in_a_shard_map_of_the_user():
    made = optimizer(specs=SPECS)
    states = made.state_specs(tree(0))
    options = dict(mesh=MESH, check_vma=False)
    init = jax.jit(jax.shard_map(made.init, in_specs=(SPECS,), out_specs=states, **options))
    step = jax.jit(jax.shard_map(made.apply, in_specs=(SPECS, states, SPECS), out_specs=(SPECS, states), **options))
    params = cut(tree(0))
    mine = run(made, cut, params=params, state=init(params), step=step)
    assert same_bits(mine[:2], run(optimizer(mesh=MESH, specs=SPECS), cut)[:2])
    for options, message in (({}, "shard_map: call it with check_vma=False"), ({"specs": None}, "specs: inside of shard_map")):
        wrong = swd.jax.adams(1e-2, **{"specs": SPECS, **options})
        try:
            jax.shard_map(wrong.init, mesh=MESH, in_specs=(SPECS,), out_specs=P())(params)
            raise AssertionError("not refused")
        except ValueError as error:
            assert message in str(error), error
    return difference(mine, run(optimizer(), whole))


def without_saying_anything():
    """Cut parameters, an optimizer that does not know: XLA gathers them."""
    made = optimizer()
    return difference(run(made, cut, step=jax.jit(made.apply)), run(made, whole))


def nan_on_one_device():
    made = optimizer(mesh=MESH, specs=SPECS)
    params, state, _ = run(made, cut, 3)
    kept = jax.tree.map(np.array, (params, state))
    grads = tree(9)
    grads["in"]["w"][-1, -1] = np.inf
    params, state = made.apply(cut(grads), state, params)
    assert same_bits(kept[0], params) and same_bits(kept[1][:3], state[:3])
    assert made.stats(state).result == swd.Result.SKIPPED_NONFINITE
    return difference(run(made, cut, STEPS - 3, params, state, 4), run(optimizer(), whole))


def in_place():
    made = optimizer(mesh=MESH, specs=SPECS)
    params = cut(tree(0))
    state = made.init(params)
    where = lambda trees: sorted(shard.data.unsafe_buffer_pointer() for leaf in jax.tree.leaves(trees)
                                 for shard in leaf.addressable_shards)
    before = where((params, state.exp_avg, state.exp_avg_sq))
    params, state = made.apply(cut(tree(1)), state, params)
    assert where((params, state.exp_avg, state.exp_avg_sq)) == before


def resumed():
    """On the same mesh to the bit; on one device, and back, by load."""
    made, alone = optimizer("relative", mesh=MESH, specs=SPECS), optimizer("relative")
    through = run(made, cut)
    params, state, stats = run(made, cut, 10)
    arrays = jax.tree.map(np.asarray, (params, state))
    shardings = jax.tree.map(lambda x: x.sharding, (params, state))
    again = jax.tree.map(jax.device_put, arrays, shardings)
    assert same_bits(through[:2], run(made, cut, 10, *again, 11)[:2])
    params, state = whole(arrays)
    try:
        alone.apply(whole(tree(1)), state, params)
        raise AssertionError("not refused")
    except ValueError as error:
        assert "load(params, state.exp_avg, state.exp_avg_sq, state.count)" in str(error), error
    state = alone.load(params, state.exp_avg, state.exp_avg_sq, state.count, stats.vbar_reference)
    params, state, stats = run(alone, whole, 5, params, state, 11)
    params, *moments = (cut(jax.tree.map(np.asarray, x)) for x in (params, state.exp_avg, state.exp_avg_sq))
    state = made.load(params, *moments, state.count, stats.vbar_reference)
    return difference(run(made, cut, 5, params, state, 16), through)


CASES = [in_a_shard_map_of_the_user, without_saying_anything, nan_on_one_device, in_place, resumed]

if __name__ == "__main__":
    assert len(jax.devices()) == DEVICES and not jax.config.jax_enable_x64
    print(json.dumps({**of_each_decay(), **{case.__name__: case() or [0.0] for case in CASES}}))
