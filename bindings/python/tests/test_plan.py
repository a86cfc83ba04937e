# SPDX-License-Identifier: Apache-2.0
"""The library's calls from Python: pieces, lists, groups, statistics, errors. State: test_state."""
import copy
import pickle
import threading

import numpy as np
import pytest

import swd
from model import Model
from swd._structs import StatsStruct


@pytest.mark.parametrize("options", [dict(), dict(amsgrad=True), dict(decay=("decoupled",)), dict(maximize=True)], ids=str)
def test_pieces_give_the_bits_of_a_step(options):
    one, two = Model([5, 300, 9000], **options), Model([5, 300, 9000], **options)
    for step in range(4):
        one.step(step)
        two.new_gradient(step)
        phases = [swd.Phase.GRAD, swd.Phase.MAX] if options.get("amsgrad") else [swd.Phase.GRAD]
        record = np.zeros(two.plan.record_doubles)
        for phase in phases:
            two.plan.reduce(two.buffers, two.args, phase, first=2, count=1)
            two.plan.reduce(two.buffers, two.args, phase, first=0, count=2)
            two.plan.fold(two.buffers, two.args, phase, record=record)
            assert swd.NormRecord.from_buffer(record).count == 9305
            two.plan.decide(two.buffers, two.args, phase, record=record)
        two.plan.update(two.buffers, two.args)
    assert one.bits() == two.bits()
    assert one.plan.stats(one.workspace) == two.plan.stats(two.workspace)


def test_discard_forgets_what_was_reduced():
    one, two = Model([50, 60]), Model([50, 60])
    two.new_gradient(9)
    two.grad[:] = np.nan
    two.plan.reduce(two.buffers, two.args)
    two.plan.discard(two.workspace)
    one.step(0)
    two.new_gradient(0)
    two.plan.step(two.buffers, two.args)
    assert one.bits() == two.bits()


def test_update_that_was_not_armed_changes_nothing():
    model = Model([50])
    before = model.bits()
    model.plan.update(model.buffers, model.args)
    assert model.bits() == before
    assert model.plan.stats(model.workspace).result == swd.Result.NOT_ARMED


@pytest.mark.parametrize("amsgrad", [False, True])
def test_list_gives_the_bits_of_flat(amsgrad):
    one, two = Model([5, 300], amsgrad=amsgrad), Model([5, 300], as_list=True, amsgrad=amsgrad)
    for step in range(3):
        one.step(step)
        two.step(step)
    assert one.bits() == two.bits()


def test_missing_gradients():
    flat, as_list = Model([5, 300, 7]), Model([5, 300, 7], as_list=True)
    flat.args.point("has_grad", np.array([1, 0, 1], np.uint8))
    pieces = as_list.pieces(as_list.grad)
    as_list.plan.set_pointers(as_list.workspace, swd.Buffer.GRAD, [pieces[0], None, pieces[2]])
    for step in range(2):
        flat.step(step)
        as_list.step(step)
    assert flat.bits() == as_list.bits()
    assert [flat.plan.get_state(flat.state, k).step for k in range(3)] == [2, 0, 2]


def test_groups_segments_and_flags():
    segments = [swd.Segment(10, group=0), swd.Segment(20, offset=12, group=1, flags=swd.SegmentFlag.NO_NORM),
                swd.Segment(5, offset=40, group=1, flags=swd.SegmentFlag.NO_DECAY | swd.SegmentFlag.NO_VBAR)]
    plan = swd.Plan(segments, decay=["scheduled", "decoupled"])
    assert plan.extent == 45
    param, grad = np.ones(45, np.float32), np.ones(45, np.float32)
    state, workspace = swd.host_bytes(plan.state_bytes), swd.host_bytes(plan.workspace_bytes)
    plan.init_workspace(workspace)
    buffers = plan.buffers(param=param, grad=grad, exp_avg=np.zeros(45, np.float32),
                           exp_avg_sq=np.zeros(45, np.float32), state=state, workspace=workspace)
    groups = [swd.Group(lr=0.0, weight_decay=0.5), swd.Group(lr=0.5, weight_decay=0.1)]
    plan.step(buffers, plan.args(groups))
    stats = plan.stats(workspace)
    assert stats.grad_norm == pytest.approx(15 ** 0.5) and stats.vbar == pytest.approx(1.0)
    assert stats.lambda_eff == (pytest.approx(0.5), pytest.approx(0.1))
    assert (param[:12] == 1.0).all() and (param[32:40] == 1.0).all()  # lr 0, and gaps
    assert param[12:32] == pytest.approx(1 - 0.05 - 0.5) and param[40:] == pytest.approx(0.5)


def test_statistics():
    model = Model([4], groups=swd.Group(lr=0.01, weight_decay=0.5), update_norms=True)
    model.grad[:] = 3.0
    model.plan.step(model.buffers, model.args)
    stats = model.plan.stats(model.workspace)
    assert stats.result == swd.Result.APPLIED and stats.flags == swd.StatsFlag.CLIPPED | swd.StatsFlag.LARGE_DECAY
    assert stats.grad_norm == 6.0 and stats.clip_coef == pytest.approx(1 / 6) and stats.steps_applied == 1
    assert stats.param_norm == pytest.approx(np.linalg.norm(model.param), rel=1e-6)
    in_place = StatsStruct.from_address(model.plan.stats_address(model.workspace))
    assert (in_place.result, in_place.grad_norm) == (1, 6.0)
    adamw = swd.weight_decay_to_adamw(0.5, stats.vbar)
    assert stats.lambda_eff == (pytest.approx(adamw),)
    assert swd.weight_decay_from_adamw(adamw, stats.vbar) == pytest.approx(0.5)


def test_numbers_in_memory():
    one, two = Model([50]), Model([50])
    for step in range(2):
        one.args.struct.loss_scale = 4.0
        one.args.groups[0].lr = np.float32(0.03)
        two.args.point("loss_scale_pointer", np.array([2.0], np.float32), dtype="float32")
        two.args.struct.loss_scale = 2.0  # it is multiplied
        rate = np.array([0.015], np.float32)
        two.args.groups[0].lr_factor = 2.0
        two.args.groups[0].lr_pointer = rate.ctypes.data
        one.step(step)
        two.step(step)
    assert one.bits() == two.bits()
    two.args.point("found_inf", np.array([1.0], np.float32))
    before = two.param.tobytes()
    two.step(2)
    assert two.param.tobytes() == before


ERRORS = [
    (lambda m: m.plan.args(swd.Group(lr=-1.0)), "SWD_ERR_VALUE", r"args.groups\[0\].lr is -1"),
    (lambda m: m.plan.args([swd.Group(), swd.Group()]), "SWD_ERR_SIZE", "args.group_count is 2"),
    (lambda m: m.plan.args(swd.Group(), max_grad_norm=-1.0), "SWD_ERR_VALUE", "max_grad_norm"),
    (lambda m: m.plan.args(swd.Group(), loss_scale=float("nan")), "SWD_ERR_VALUE", "loss_scale"),
    (lambda m: m.plan.args(swd.Group(), skip_norm=True), "SWD_ERR_FLAGS", "flags"),
]


@pytest.mark.parametrize("make, name, message", ERRORS, ids=[row[2][:30] for row in ERRORS])
def test_errors_carry_the_librarys_line(make, name, message):
    model = Model([4])
    before = model.bits()
    with pytest.raises(swd.Error, match=message) as caught:
        model.plan.step(model.buffers, make(model))
    assert caught.value.name == name and caught.value.detail in str(caught.value) and caught.value.status > 0
    assert model.bits() == before
    copied = pickle.loads(pickle.dumps(caught.value))
    assert (copied.status, copied.name, copied.detail) == (caught.value.status, name, caught.value.detail)


def test_plans_that_make_no_sense():
    for make, kind, message in [
            (lambda: swd.Plan([-1]), swd.Error, "count"),
            (lambda: swd.Plan([swd.Segment(5), swd.Segment(5, offset=3)]), swd.Error, "SWD_ERR_LAYOUT"),
            (lambda: swd.Plan([swd.Segment(5, group=1)]), swd.Error, "group"),
            (lambda: swd.Plan([5], decay=["adamw"]), ValueError, "decay: 'adamw' is none of"),
            (lambda: swd.Plan([5], decay=[9]), ValueError, "decay: 9 is no Decay"),
            (lambda: swd.Plan([5], backend="gpu"), ValueError, "backend: 'gpu' is none of cpu, cuda"),
            (lambda: swd.Plan([5], grad_dtype="float64"), ValueError, "grad_dtype: 'float64' is none of"),
            (lambda: swd.Plan([5], copy_dtype="float32"), swd.Error, "copy_dtype"),
            (lambda: swd.Plan([5], threads=-1), swd.Error, "threads")]:
        with pytest.raises(kind, match=message):
            make()
    model = Model([4])
    for copier in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="cannot be pickled or copied"):
            copier(model.plan)


def test_workspace_of_another_plan_is_refused():
    one, two = Model([4]), Model([4], decay=("decoupled",))
    with pytest.raises(swd.Error, match="SWD_ERR_WORKSPACE"):
        two.plan.step(one.plan.buffers(state=two.state, workspace=one.workspace, **one.arrays), two.args)
    with pytest.raises(ValueError, match="workspace: has 3 bytes"):
        one.plan.init_workspace(bytearray(3))
    with pytest.raises(swd.Error, match="stream"):
        one.plan.step(one.buffers, one.args, stream=5)


def test_one_plan_in_many_threads():
    counts = [5, 3000]
    plan = swd.Plan(counts)
    models = [Model(counts) for _ in range(5)]
    for model in models[1:]:
        model.plan = plan
        plan.init_workspace(model.workspace)
        model.buffers = plan.buffers(state=model.state, workspace=model.workspace, **model.arrays)

    def work(model):
        for step in range(40):
            model.step(step)

    work(models[0])
    threads = [threading.Thread(target=work, args=(model,)) for model in models[1:]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert {model.bits() for model in models} == {models[0].bits()}
