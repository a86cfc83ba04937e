# SPDX-License-Identifier: Apache-2.0
"""Cases of ranks.py: full state_dicts loaded into DTensors one after the other, without a step between."""
import copy

import torch
import torch.distributed as dist
from torch.distributed.checkpoint.state_dict import StateDictOptions

from ranks_narrow import WHOLE, assert_same, contents, mesh_of_all, run
from ranks_narrow_checkpoint import FULL, both, fresh, put


def case_the_last_of_two_full_loads_counts():
    """The first is of another form and lies whole on each rank, and so the second comes; as if only the second had come."""
    broadcast = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
    for own, first, dtype in (("mixed16", "compact8", torch.bfloat16), ("compact8", "mixed16", torch.bfloat16),
                              ("compact8", "fp32", torch.float32), ("tiny8", "compact8", torch.bfloat16),
                              ("fp32", "mixed16", torch.bfloat16)):
        one, two = (both(*run(WHOLE, states, dtype, steps=6)[:2]) for states in (first, own))
        (model, optimizer), (plain, its) = fresh(WHOLE, own, dtype, mesh_of_all()), fresh(WHOLE, own, dtype, mesh_of_all())
        put(model, optimizer, *copy.deepcopy(one), FULL)
        put(model, optimizer, *copy.deepcopy(two), FULL)
        put(plain, its, *(copy.deepcopy(two) if dist.get_rank() == 0 else ({}, {})), broadcast)
        for net, optim in ((model, optimizer), (plain, its)):
            net.train_with(optim, range(6, 12))
        assert_same(contents(model, optimizer), contents(plain, its))
    return {}
