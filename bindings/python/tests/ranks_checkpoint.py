# SPDX-License-Identifier: Apache-2.0
"""Cases of ranks.py: checkpoints of DTensors by torch.distributed.checkpoint; on the same ranks, on others, full ones.
SWD_RANKS_FOLDER names the folder in which case_save leaves what case_load takes on other ranks."""
import os

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.state_dict import (StateDictOptions, get_model_state_dict, get_optimizer_state_dict,
                                                     set_model_state_dict, set_optimizer_state_dict)

from ranks import OPTIONS, Net, differences, full, largest, one_process, train, warned
from ranks_dtensor import shard
from swd.torch import AdamS


def fresh(**options):
    model = shard(Net())
    return model, AdamS(model.parameters(), **{**OPTIONS, **options})


def both(model, optimizer, options):
    return get_model_state_dict(model, options=options), get_optimizer_state_dict(model, optimizer, options=options)


def resume(options, **kind):
    """The run that saved and the one that loaded go on with the same bits; both as one process."""
    (model, optimizer), (twin, other) = fresh(**kind), fresh(**kind)
    train(model, optimizer, range(6))
    weights, state = both(model, optimizer, options)
    if options.broadcast_from_rank0 and dist.get_rank() != 0:
        weights, state = {}, {}
    set_model_state_dict(twin, weights, options=options)
    set_optimizer_state_dict(twin, other, state, options=options)
    found = train(model, optimizer, range(6, 12))
    assert train(twin, other, range(6, 12)) == found
    params = [full(p) for p in model.parameters()]
    assert largest(params, [full(p) for p in twin.parameters()]) == 0.0
    others, wanted = one_process(12, **kind)
    return differences(params, found, (others, wanted[6:]))


def case_resume():
    return resume(StateDictOptions())


def case_resume_flattened_amsgrad():
    return resume(StateDictOptions(flatten_optimizer_state_dict=True), amsgrad=True)


def case_resume_full_broadcast():
    return resume(StateDictOptions(full_state_dict=True, broadcast_from_rank0=True), decay="relative", weight_decay=0.1,
                  reference_step=4)


def case_resume_mixed16():
    """Compared with the run that saved alone: what rounding makes of gradients that differ in the last bit is larger."""
    resume(StateDictOptions(), states="mixed16")
    return {}


def case_from_one_process():
    """A checkpoint of one process, whose sums are of whole tensors: they are not taken for those of shards."""
    one = Net()
    alone = AdamS(one.parameters(), **OPTIONS)
    train(one, alone, range(6), share=None)
    options = StateDictOptions(full_state_dict=True)
    model, optimizer = fresh()
    set_model_state_dict(model, get_model_state_dict(one), options=options)
    set_optimizer_state_dict(model, optimizer, get_optimizer_state_dict(one, alone), options=options)
    with warned() as texts:
        found = train(model, optimizer, range(6, 12))
    assert not texts, texts
    others, wanted = one_process(12)
    return differences([full(p) for p in model.parameters()], found, (others, wanted[6:]))


def case_state_of_whole_tensors_is_refused():
    one, (model, optimizer) = Net(), fresh()
    alone = AdamS(one.parameters(), **OPTIONS)
    train(one, alone, range(2), share=None)
    optimizer.load_state_dict(alone.state_dict())
    try:
        train(model, optimizer, range(1))
    except ValueError as error:
        assert "set_optimizer_state_dict" in str(error)
    else:
        raise AssertionError("stepped with moments of another placement")
    return {}


def case_save():
    model, optimizer = fresh()
    train(model, optimizer, range(6))
    weights, state = both(model, optimizer, StateDictOptions())
    dcp.save({"model": weights, "optimizer": state}, checkpoint_id=os.environ["SWD_RANKS_FOLDER"])
    return {}


def case_load():
    """Six more steps on any number of ranks are those of one process, and the counters came along."""
    model, optimizer = fresh(lr=0.5)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(1.0)
    weights, state = both(model, optimizer, StateDictOptions())
    dcp.load({"model": weights, "optimizer": state}, checkpoint_id=os.environ["SWD_RANKS_FOLDER"])
    set_model_state_dict(model, weights)
    set_optimizer_state_dict(model, optimizer, state)
    found = train(model, optimizer, range(6, 12))
    assert found[-1]["steps_applied"] == 12
    others, wanted = one_process(12)
    return differences([full(p) for p in model.parameters()], found, (others, wanted[6:]))
