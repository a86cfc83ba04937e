# SPDX-License-Identifier: Apache-2.0
"""Narrow states in the low-level package: formats, load and store, units, seeds. Bounds of accuracy: the C tests."""
import numpy as np
import pytest
import torch

import swd

FORMATS = {
    "master16": dict(param_dtype="bfloat16", remainder_dtype="int16", grad_dtype="bfloat16"),
    "mixed16": dict(param_dtype="bfloat16", remainder_dtype="int16", grad_dtype="bfloat16", moment_dtype="bfloat16"),
    "compact8": dict(param_dtype="bfloat16", remainder_dtype="int8", grad_dtype="bfloat16", moment_dtype="block8"),
    "tiny8": dict(param_dtype="bfloat16", grad_dtype="bfloat16", moment_dtype="block8"),
    "wide parameters": dict(moment_dtype="block8"),
}
TORCH = {swd.Dtype.F32: torch.float32, swd.Dtype.BF16: torch.bfloat16, swd.Dtype.I16: torch.int16,
         swd.Dtype.I8: torch.int8, swd.Dtype.BLOCK8: torch.uint8}
COUNTS = [5, 129, 4200]


def arrays_of(plan, count, scales):
    """What a plan stores of `count` elements, as zeros, by the names of Buffers."""
    out = {}
    for name in ("param", "grad", "exp_avg", "exp_avg_sq", "remainder"):
        dtype = plan.buffer_dtype(swd.Buffer[name.upper()])
        if dtype != swd.Dtype.NONE:
            out[name] = torch.zeros(count, dtype=TORCH[dtype])
    if plan.moment_dtype == swd.Dtype.BLOCK8:
        out.update({name: torch.zeros(scales, dtype=torch.uint8) for name in ("exp_avg_scale", "exp_avg_sq_scale")})
    return out


class Flat:
    def __init__(self, seed=0, **options):
        self.plan = swd.Plan(COUNTS, **options)
        self.state = swd.host_bytes(self.plan.state_bytes)
        self.workspace = swd.host_bytes(self.plan.workspace_bytes)
        self.plan.init_workspace(self.workspace)
        self.plan.set_header(self.state, rounding_seed=seed)
        self.arrays = arrays_of(self.plan, self.plan.extent, self.plan.scale_bytes)
        self.buffers = self.plan.buffers(state=self.state, workspace=self.workspace, **self.arrays)
        self.args = self.plan.args(swd.Group(lr=1e-2, weight_decay=1e-3))

    def start(self):
        self.plan.load(self.buffers, param=torch.linspace(-1, 1, self.plan.extent))
        return self

    def step(self, number):
        self.arrays["grad"].copy_(gradient(number, self.plan.extent))
        self.plan.step(self.buffers, self.args)

    def stored(self):
        out = {name: torch.zeros(self.plan.extent) for name in ("param", "exp_avg", "exp_avg_sq")}
        self.plan.store(self.buffers, **out)
        return out

    def bits(self):
        arrays = [array.view(torch.uint8) for name, array in self.arrays.items() if name != "grad"]
        return [array.numpy().tobytes() for array in arrays] + [bytes(self.state)]


def gradient(number, count):
    return torch.from_numpy(np.random.default_rng(number).standard_normal(count).astype(np.float32))


@pytest.mark.parametrize("name, limit", [("master16", 0), ("mixed16", 0.01), ("compact8", 0.02), ("tiny8", 0.08),
                                         ("wide parameters", 0.02)])
def test_a_narrow_run_stays_near_fp32(name, limit):
    options = FORMATS[name]
    exact = Flat(grad_dtype=options.get("grad_dtype", "float32")).start()
    narrow = Flat(**options).start()
    for number in range(30):
        exact.step(number)
        narrow.step(number)
    a, b = exact.stored(), narrow.stored()
    assert (a["param"] - b["param"]).abs().max() <= limit
    assert abs(b["exp_avg_sq"].mean() / a["exp_avg_sq"].mean() - 1) <= limit
    assert narrow.plan.stats(narrow.workspace).vbar == exact.plan.stats(exact.workspace).vbar  # the sum is not rounded


@pytest.mark.parametrize("options", FORMATS.values(), ids=FORMATS.keys())
def test_list_is_flat_and_a_resumed_run_the_uninterrupted_one(options):
    whole, first = Flat(**options).start(), Flat(**options).start()
    for number in range(6):
        whole.step(number)
        if number < 3:
            first.step(number)
    resumed = Flat(**options)
    for name, array in first.arrays.items():
        resumed.arrays[name].copy_(array)
    resumed.plan.import_state(first.plan.export_state(first.state), resumed.state)
    for number in range(3, 6):
        resumed.step(number)
    assert resumed.bits() == whole.bits()

    plan = swd.Plan(COUNTS, as_list=True, **options)
    state, workspace = swd.host_bytes(plan.state_bytes), swd.host_bytes(plan.workspace_bytes)
    plan.init_workspace(workspace)
    tensors = [arrays_of(plan, count, (count + 127) // 128) for count in COUNTS]
    for name in tensors[0]:
        plan.set_pointers(workspace, swd.Buffer[name.upper()], [t[name] for t in tensors])
    buffers, args = plan.buffers(state=state, workspace=workspace), plan.args(swd.Group(lr=1e-2, weight_decay=1e-3))
    plan.load(buffers, param=torch.linspace(-1, 1, sum(COUNTS)).split(COUNTS))
    for number in range(6):
        for tensor, part in zip(tensors, gradient(number, sum(COUNTS)).split(COUNTS)):
            tensor["grad"].copy_(part)
        plan.step(buffers, args)
    out = [torch.zeros(count) for count in COUNTS]
    plan.store(buffers, exp_avg_sq=out)
    assert torch.equal(torch.cat(out), whole.stored()["exp_avg_sq"])


def test_the_seed_decides_the_bits():
    runs = [Flat(seed, **FORMATS["mixed16"]).start() for seed in (1, 1, 2)]
    for run in runs:
        for number in range(3):
            run.step(number)
    assert runs[0].bits()[:-1] == runs[1].bits()[:-1] != runs[2].bits()[:-1]


def test_the_unit_carries_the_decay_of_exp_avg_sq():
    run = Flat(**FORMATS["mixed16"]).start()
    for number in range(3):
        run.step(number)
    state = run.plan.get_state(run.state, 2)
    assert state.exp_avg_sq_unit == pytest.approx(0.999 ** 3)
    run.plan.load(run.buffers, exp_avg_sq=torch.ones(run.plan.extent))
    assert run.plan.get_state(run.state, 2).exp_avg_sq_unit == 0
    run.plan.rebuild_state(run.buffers)
    assert run.plan.get_state(run.state, 2).exp_avg_sq_sum == 4200
    with pytest.raises(swd.Error, match="exp_avg_sq_unit"):
        run.plan.set_state(run.state, 2, 1, 1.0, exp_avg_sq_unit=0.25)


def test_what_is_not_offered_is_said():
    with pytest.raises(swd.Error, match="remainder_dtype"):
        swd.Plan([4], remainder_dtype="int16")
    with pytest.raises(swd.Error, match="AMSGRAD"):
        swd.Plan([4], moment_dtype="block8", amsgrad=True)
    with pytest.raises(swd.Error, match="not offered"):
        swd.Plan([4], param_dtype="bfloat16")
    with pytest.raises(ValueError, match="block9"):
        swd.Plan([4], moment_dtype="block9")
    plan = swd.Plan([4], **FORMATS["compact8"])
    with pytest.raises(TypeError, match="remainder"):
        plan.buffers(state=swd.host_bytes(plan.state_bytes), workspace=swd.host_bytes(plan.workspace_bytes),
                     remainder=torch.zeros(4, dtype=torch.int16))
    flat = Flat(**FORMATS["compact8"])
    with pytest.raises(ValueError, match="exp_avg_sq"):
        flat.plan.store(flat.buffers, exp_avg_sq=torch.zeros(3))
    listed = swd.Plan([4, 4], as_list=True)
    buffers = listed.buffers(state=swd.host_bytes(listed.state_bytes), workspace=swd.host_bytes(listed.workspace_bytes))
    with pytest.raises(ValueError, match="param has 1 arrays"):
        listed.load(buffers, param=[torch.zeros(4)])
