# SPDX-License-Identifier: Apache-2.0
"""Calls of the library that swd.torch has little or no use for: records of several plans, copies of parameters, images
of workspaces, the header of a state, keys of models, names."""
import ctypes
import pickle

import numpy as np
import pytest

import swd
from model import Model
from swd._ffi import lib


def test_two_plans_step_as_one_model():
    """Their records are summed, in one order, and each decides from the sum."""
    groups = swd.Group(lr=0.01, weight_decay=0.01)
    whole, parts = Model([300, 500], groups=groups), [Model([300], groups=groups), Model([500], groups=groups)]
    for part, first in zip(parts, (0, 300)):
        part.param[:] = whole.param[first:first + part.param.size]
    for step in range(3):
        whole.step(step)
        records = [np.full(part.plan.record_doubles, np.nan) for part in parts]
        for part, first, record in zip(parts, (0, 300), records):
            part.grad[:] = whole.grad[first:first + part.grad.size]
            part.plan.reduce(part.buffers, part.args)
            part.plan.fold(part.buffers, part.args, record=record)
        parts[0].plan.add_record(records[0], records[1])
        assert swd.NormRecord.from_buffer(records[0]).count == 800
        for part in parts:
            part.plan.decide(part.buffers, part.args, record=records[0])
            part.plan.update(part.buffers, part.args)
    assert np.allclose(np.concatenate([part.param for part in parts]), whole.param, rtol=0, atol=1e-6)
    stats = [part.plan.stats(part.workspace) for part in parts]
    assert stats[0].vbar == stats[1].vbar == pytest.approx(whole.plan.stats(whole.workspace).vbar, rel=1e-6)


def test_records_that_do_not_fit_are_refused():
    model = Model([4])
    short, record = np.zeros(8), np.zeros(model.plan.record_doubles)
    for call in (lambda: model.plan.fold(model.buffers, model.args, record=short),
                 lambda: model.plan.decide(model.buffers, model.args, record=short),
                 lambda: model.plan.add_record(record, short)):
        with pytest.raises(ValueError, match="record: has 64 bytes, but 128 are needed"):
            call()
    with pytest.raises(swd.Error, match="SWD_ERR_OVERLAP"):
        model.plan.add_record(record, record)


def test_copy_params_rounds_as_a_step_does():
    plan = swd.Plan([100], copy_dtype="float16")
    param, zeros = np.random.default_rng(1).standard_normal(100, dtype=np.float32), np.zeros(100, np.float32)
    copy, workspace = np.zeros(100, np.float16), swd.host_bytes(plan.workspace_bytes)
    plan.init_workspace(workspace)
    buffers = plan.buffers(param=param, grad=zeros, exp_avg=zeros.copy(), exp_avg_sq=zeros.copy(), param_copy=copy,
                           state=swd.host_bytes(plan.state_bytes), workspace=workspace)
    plan.copy_params(buffers)
    assert np.array_equal(copy, param.astype(np.float16)) and copy.any()
    with pytest.raises(swd.Error, match="SWD_ERR_UNEXPECTED"):
        model = Model([4])
        model.plan.copy_params(model.buffers)


def test_a_workspace_may_be_copied_from_its_image():
    one, two = Model([5, 300]), Model([5, 300])
    ctypes.memset(two.workspace, 255, two.plan.workspace_bytes)
    with pytest.raises(swd.Error, match="SWD_ERR_WORKSPACE"):
        two.step(0)
    ctypes.memmove(two.workspace, two.plan.workspace_image(), two.plan.workspace_bytes)
    one.step(0)
    two.step(0)
    assert one.bits() == two.bits()


def test_the_header_of_a_state():
    model = Model([4], decay=["relative"], groups=swd.Group(lr=0.01, weight_decay=0.1))
    model.args.struct.reference_step = 2
    model.step(0)
    assert model.plan.get_header(model.state).vbar_reference == 0.0
    model.step(1)
    header, stats = model.plan.get_header(model.state), model.plan.stats(model.workspace)
    assert (header.steps_applied, header.steps_skipped) == (2, 0)
    assert header.vbar_reference == stats.vbar_reference == stats.vbar > 0 and "vbar_reference=" in repr(header)
    model.plan.set_header(model.state, vbar_reference=3.0, steps_skipped=4)
    header = model.plan.get_header(model.state)
    assert (header.steps_applied, header.steps_skipped, header.vbar_reference) == (2, 4, 3.0)
    model.step(2)
    stats = model.plan.stats(model.workspace)
    assert stats.lambda_eff[0] == pytest.approx(0.1 * (3.0 / stats.vbar) ** 0.5) and stats.vbar_reference == 3.0
    before = bytes(model.state)
    with pytest.raises(swd.Error, match="SWD_ERR_VALUE: .*vbar_reference"):
        model.plan.set_header(model.state, vbar_reference=-1.0)
    with pytest.raises(TypeError, match="reference: a state header has no such member"):
        model.plan.set_header(model.state, reference=1.0)
    assert bytes(model.state) == before


def test_a_damaged_second_moment_is_named_and_skips():
    model = Model([5, 300])
    model.step(0)
    model.exp_avg_sq[7] = np.nan
    model.plan.rebuild_state(model.buffers)
    assert model.plan.stats(model.workspace).damaged_segment == 2
    before = model.param.tobytes()
    model.step(1)
    assert model.plan.stats(model.workspace).result == swd.Result.SKIPPED_VBAR
    assert model.param.tobytes() == before


def test_blobs_of_another_model_are_refused():
    one, two, other = (Model([4], model_key=key) for key in (7, 7, 8))
    one.step(0)
    blob, before = one.plan.export_state(one.state), bytes(other.state)
    two.plan.import_state(blob, two.state)
    assert bytes(two.state) == bytes(one.state)
    with pytest.raises(swd.Error, match="SWD_ERR_BLOB_PLAN"):
        other.plan.import_state(blob, other.state)
    assert bytes(other.state) == before


def test_names_and_versions():
    for result in swd.Result:
        assert lib.swd_result_name(result).decode() == f"SWD_RESULT_{result.name}"
    assert lib.swd_result_name(max(swd.Result) + 1) == b"unknown"
    assert swd.numerics_version() >= 1
    error = swd.Error(41, "SWD_ERR_CUDA", "a launch failed", 719)
    copied = pickle.loads(pickle.dumps(error))
    assert (copied.cuda_error, copied.status, str(copied)) == (719, 41, "SWD_ERR_CUDA: a launch failed")
    with pytest.raises(swd.Error) as caught:
        swd.Plan([-1])
    assert caught.value.cuda_error == 0
