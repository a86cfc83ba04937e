# SPDX-License-Identifier: Apache-2.0
"""State images and blobs from Python: other cuts of a model, damage, single entries, rebuilt sums."""
import pytest

import swd
from model import Model


def test_state_goes_through_blobs_to_other_cuts():
    """Two shards of a model, with indices, come back as one plan; and steps go on with the same bits."""
    whole = Model([600, 400])
    for step in range(3):
        whole.step(step)
    blob = whole.plan.export_state(whole.state)
    again = Model([600, 400])
    again.plan.import_state(blob, again.state)
    assert bytes(again.state) == bytes(whole.state)
    shards = [[swd.Segment(600, index=0)], [swd.Segment(100, index=600), swd.Segment(300, index=700)]]
    blobs = []
    for segments in shards:
        plan = swd.Plan(segments, indexed=True)
        image = swd.host_bytes(plan.state_bytes)
        plan.import_state([blob], image)
        blobs.append(plan.export_state(image))
    merged = swd.host_bytes(whole.plan.state_bytes)
    whole.plan.import_state(blobs[::-1], merged)
    for k in range(2):
        before, after = whole.plan.get_state(whole.state, k), whole.plan.get_state(merged, k)
        assert after.step == before.step == 3
        assert after.exp_avg_sq_sum == pytest.approx(before.exp_avg_sq_sum, rel=1e-14)


@pytest.mark.parametrize("damage, name", [
    (lambda b: b[:-1], "SWD_ERR_BLOB_SIZE"), (lambda b: b"x" + b[1:], "SWD_ERR_BLOB_MAGIC"), (lambda b: b"", "SWD_ERR"),
    (lambda b: b[:-20] + bytes([b[-20] ^ 1]) + b[-19:], "SWD_ERR_BLOB")])
def test_damaged_blobs_are_refused_and_change_nothing(damage, name):
    model = Model([600, 400])
    model.step(0)
    blob, before = model.plan.export_state(model.state), bytes(model.state)
    with pytest.raises(swd.Error, match=name):
        model.plan.import_state(damage(blob), model.state)
    assert bytes(model.state) == before


def test_state_entries_and_rebuild():
    model = Model([600, 400])
    model.step(0)
    kept = [model.plan.get_state(model.state, k) for k in range(2)]
    model.plan.set_state(model.state, 1, step=7, exp_avg_sq_sum=-1.0)
    assert model.plan.get_state(model.state, 1).exp_avg_sq_sum == -1.0
    before = model.param.tobytes()
    model.step(1)
    assert model.plan.stats(model.workspace).result == swd.Result.SKIPPED_SUM_UNKNOWN
    assert model.param.tobytes() == before
    model.plan.rebuild_state(model.buffers)
    entry = model.plan.get_state(model.state, 1)
    assert entry.step == 7 and entry.exp_avg_sq_sum == pytest.approx(kept[1].exp_avg_sq_sum, rel=1e-6)
    assert "exp_avg_sq_sum" in repr(entry)
