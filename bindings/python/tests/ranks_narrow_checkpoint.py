# SPDX-License-Identifier: Apache-2.0
"""Cases of ranks.py: checkpoints of 8-bit moments of DTensors. SWD_RANKS_FOLDER names the folder in which case_save leaves
what case_load takes on 4 ranks; there that leaves what it takes on 3."""
import copy
import itertools
import os

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.state_dict import (StateDictOptions, get_model_state_dict, get_optimizer_state_dict,
                                                     set_model_state_dict, set_optimizer_state_dict)

from ranks import warned
from ranks_narrow import ALONE, CASES, OTHERS, WHOLE, Parts, assert_same, contents, gathered, mesh_of_all, refused, run, said
from swd.torch import AdamS, agreement

BOTH = WHOLE + OTHERS
ALL = CASES + [("fp32", torch.float32), ("fp32", torch.bfloat16), ("mixed16", torch.bfloat16)]
FULL = StateDictOptions(full_state_dict=True)


def fresh(shapes, states, dtype, mesh=None):
    """With other numbers and another seed than those that a checkpoint brings."""
    model = Parts(shapes, dtype, mesh)
    with torch.no_grad():
        for p in model.parts:
            p.add_(1.0)
    return model, AdamS(model.parameters(), states=states, **{**ALONE, "rounding_seed": 9})


def both(model, optimizer, options=None):
    return get_model_state_dict(model, options=options), get_optimizer_state_dict(model, optimizer, options=options)


def put(model, optimizer, weights, state, options=None):
    set_model_state_dict(model, weights, options=options)
    set_optimizer_state_dict(model, optimizer, state, options=options)


def resume(options):
    for states, dtype in ALL:
        model, optimizer, _ = run(BOTH, states, dtype, mesh_of_all(), steps=6)
        weights, state = both(model, optimizer, options)
        if options.broadcast_from_rank0 and dist.get_rank() != 0:
            weights, state = {}, {}
        twin, other = fresh(BOTH, states, dtype, mesh_of_all())
        put(twin, other, weights, state, options)
        for net, its in ((model, optimizer), (twin, other)):
            net.train_with(its, range(6, 12))
        assert_same(contents(twin, other), contents(model, optimizer))
    return {}


def case_resume():
    return resume(StateDictOptions())


def case_resume_flattened():
    return resume(StateDictOptions(flatten_optimizer_state_dict=True))


def case_resume_full():
    return resume(FULL)


def case_resume_full_broadcast():
    return resume(StateDictOptions(full_state_dict=True, broadcast_from_rank0=True))


def folder(world, states, dtype):
    return os.path.join(os.environ["SWD_RANKS_FOLDER"], f"{world}-{states}-{dtype}".replace("torch.", ""))


def save(model, optimizer, states, dtype):
    weights, state = both(model, optimizer)
    dcp.save({"model": weights, "optimizer": state}, checkpoint_id=folder(dist.get_world_size(), states, dtype))


def case_save():
    for states, dtype in ALL:
        save(*run(BOTH, states, dtype, mesh_of_all(), steps=6)[:2], states, dtype)
    return {}


def case_load():
    """What 2 ranks saved goes on with 4, and then with 3, with the bits of the run that these alone would have made."""
    world = dist.get_world_size()
    for states, dtype in ALL:
        model, optimizer = fresh(BOTH, states, dtype, mesh_of_all())
        weights, state = both(model, optimizer)
        dcp.load({"model": weights, "optimizer": state},
                 checkpoint_id=folder({4: 2, 3: 4}[world], states, dtype))
        put(model, optimizer, weights, state)
        first = {4: 6, 3: 12}[world]
        stats = model.train_with(optimizer, range(first, first + 6))
        assert stats["steps_applied"] == first + 6
        save(model, optimizer, states, dtype)
        assert_same(contents(model, optimizer), contents(*run(BOTH, states, dtype, mesh_of_all(), steps=first + 6)[:2]))
    return {}


def moved(saved, model, optimizer):
    """Loads a full checkpoint of another number of processes, and returns what was said at the first step."""
    with said() as texts:
        put(model, optimizer, *copy.deepcopy(saved), FULL)
        model.train_with(optimizer, range(6, 12))
    return texts


def near(found, wanted):
    for a, b in zip(found, wanted):
        assert (a["param"].view(torch.bfloat16).float() - b["param"].view(torch.bfloat16).float()).abs().max() < 0.1


def case_one_process_to_ranks_and_back():
    """Bits where both have 8; what the ranks have in bfloat16 is rounded, which is said."""
    count = len(WHOLE)
    for states, dtype in CASES:
        one, alone, _ = run(BOTH, states, dtype, steps=6)
        saved = both(one, alone)
        before, (model, optimizer) = contents(one, alone), fresh(BOTH, states, dtype, mesh_of_all())
        texts = moved(saved, model, optimizer)
        assert len(texts) == 2 and "in bfloat16 instead" in texts[0] and "are rounded" in texts[1], texts
        assert_same(before, contents(one, alone))  # nothing of it was written
        one.train_with(alone, range(6, 12))
        found, wanted = contents(model, optimizer), contents(one, alone)
        assert_same(found[:count], wanted[:count])
        if dtype == torch.bfloat16:
            near(found[count:], wanted[count:])
        back, its = fresh(BOTH, states, dtype)
        with said() as texts:
            put(back, its, *both(model, optimizer, FULL))
            back.train_with(its, range(12, 18))
        assert len(texts) == 1 and "are rounded" in texts[0], texts
        one.train_with(alone, range(12, 18))
        assert_same(contents(back, its)[:count], contents(one, alone)[:count])
        if dtype == torch.bfloat16:
            near(contents(back, its)[count:], contents(one, alone)[count:])
    return {}


def case_other_forms_load():
    """Whole float32 moments, and those of other presets, on each rank, or a sharded optimizer's: as on one process."""
    for source, dtype in (("fp32", torch.float32), ("mixed16", torch.float32), *CASES):
        one, alone, _ = run(WHOLE, source, dtype, steps=6)
        saved, (parts, its_own, _) = both(one, alone), run(WHOLE, source, dtype, mesh_of_all(), steps=6)
        for states in ("compact8", "tiny8", "mixed16", "fp32"):
            if states == source or states == "tiny8" and dtype == torch.float32:
                continue
            (model, optimizer), (plain, its), (third, last) = (fresh(WHOLE, states, dtype, mesh)
                                                               for mesh in (mesh_of_all(), None, mesh_of_all()))
            moved(saved, model, optimizer)
            moved(saved, plain, its)
            third.load_state_dict(parts.state_dict())
            last.load_state_dict(its_own.state_dict())
            with warned() as texts:
                third.train_with(last, range(6, 12))
            assert not [text for text in texts if text.startswith("exp_avg_sq_sum")], texts
            assert_same(contents(model, optimizer), contents(plain, its))
            assert_same(contents(third, last), contents(plain, its))
    return {}


def case_wrong_broadcast_of_another_form():
    """Only rank 0 would have moments."""
    for shapes, source, dtype in ((BOTH, "compact8", torch.bfloat16), (WHOLE, "fp32", torch.float32),
                                  (WHOLE, "mixed16", torch.float32)):
        one, alone, _ = run(shapes, source, dtype, steps=6)
        weights, state = both(one, alone) if dist.get_rank() == 0 else ({}, {})
        model, optimizer = fresh(shapes, "compact8", dtype, mesh_of_all())
        put(model, optimizer, weights, state, StateDictOptions(full_state_dict=True, broadcast_from_rank0=True))
        before = gathered(model.parts[0])  # not all state: of what came in another form only rank 0 has any
        for _ in range(2):
            with refused("no broadcast_from_rank0"):
                model.train_with(optimizer, [6])
        assert torch.equal(before, gathered(model.parts[0]))
    return {}


def case_wrong_broadcast_of_another_form_to_replicas():
    """Plain parameters, as under DistributedDataParallel: the others start from moments of 0."""
    agreement._names = itertools.count(1000)  # earlier cases left the ranks with other numbers of optimizers
    for source, states, dtype in (("mixed16", "fp32", torch.float32), ("fp32", "mixed16", torch.float32),
                                  ("fp32", "compact8", torch.bfloat16), ("mixed16", "tiny8", torch.bfloat16)):
        one, alone, _ = run(BOTH, source, dtype, steps=6)
        weights, state = both(one, alone) if dist.get_rank() == 0 else ({}, {})
        model, optimizer = fresh(BOTH, states, dtype)
        put(model, optimizer, weights, state, StateDictOptions(full_state_dict=True, broadcast_from_rank0=True))
        with warned() as texts:
            for step in range(6, 12):
                model.train_with(optimizer, [step])
                dist.barrier()
        assert any("Replicas did not start from the same state" in text for text in texts), texts
        assert dist.get_rank() == 0 or any("for 8 parameters the state has another sum" in text for text in texts), texts
    return {}


def case_flattened_of_another_form_is_refused():
    options = StateDictOptions(flatten_optimizer_state_dict=True)
    for source, states in (("mixed16", "fp32"), ("fp32", "mixed16"), ("compact8", "mixed16")):
        for mesh in (None, mesh_of_all()):
            _, state = both(*run(WHOLE, source, torch.float32, mesh, steps=6)[:2], options)
            model, optimizer = fresh(WHOLE, states, torch.float32, mesh)
            with refused("the flattened state_dict has no exp_avg"):
                set_optimizer_state_dict(model, optimizer, state, options=options)
            assert optimizer.stats()["steps_applied"] <= 1  # torch made it step once, with a learning rate of 0
    return {}
