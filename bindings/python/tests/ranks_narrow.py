# SPDX-License-Identifier: Apache-2.0
"""Cases of ranks.py: 8-bit moments of DTensors. Gradients are made, not computed, so that they are the same bits on any
number of ranks; without a norm in the step so is everything else where shards end at blocks."""
import contextlib
import itertools

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel as FSDP
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor, init_device_mesh

from ranks import OPTIONS, Net, differences, full, loss, one_process, train, warned
from ranks_dtensor import shard
from swd.torch import AdamS, adamw_state_dict

WHOLE = [(10, 128), (7, 4, 32), (3, 256), (1, 384), (2, 3, 128)]  # cut along the first dimension at blocks, however uneven
OTHERS = [(768,), (10, 96), (5, 7, 3, 3)]                         # not
CASES = [("compact8", torch.bfloat16), ("compact8", torch.float32), ("tiny8", torch.bfloat16)]
ALONE = dict(lr=1e-2, decay="decoupled", weight_decay=0.1, rounding_seed=7)  # nothing hangs on a norm


@contextlib.contextmanager
def said():
    """The warnings about states. Agreement may warn of ranks that an earlier case left with other numbers of optimizers."""
    texts = []
    with warned() as all_texts:
        yield texts
    texts += [text for text in all_texts if text.startswith("states: ")]


class Parts(nn.Module):
    """Parameters of some shapes, DTensors of some placements or plain."""

    def __init__(self, shapes, dtype, mesh=None, placements=(Shard(0),)):
        super().__init__()
        torch.manual_seed(1)
        values = [torch.randn(shape).bfloat16().to(dtype) for shape in shapes]
        self.parts = nn.ParameterList(value if mesh is None else distribute_tensor(value, mesh, placements)
                                      for value in values)

    def train_with(self, optimizer, steps):
        for step in steps:
            torch.manual_seed(100 + step)
            for p in self.parts:
                grad = (torch.randn(p.shape) * 1e-2).to(p.dtype)
                p.grad = distribute_tensor(grad, p.device_mesh, p.placements) if hasattr(p, "placements") else grad
            optimizer.step()
        return optimizer.stats()


def mesh_of_all():
    return init_device_mesh("cpu", (dist.get_world_size(),))


def contents(model, optimizer):
    """Every stored bit of each parameter, its step and its unit: {name: whole tensor as bytes}."""
    out = []
    for p in model.parts:
        state = {"param": p, **{key: value for key, value in optimizer.state[p].items()
                                if isinstance(value, torch.Tensor) and key != "exp_avg_sq_sum"}}
        out.append({key: gathered(value) for key, value in sorted(state.items())})
    return out


def gathered(tensor):
    """Its bytes."""
    return full(tensor).reshape(-1).view(torch.uint8).clone()


def assert_same(found, wanted):
    assert len(found) == len(wanted)
    for k, (a, b) in enumerate(zip(found, wanted)):
        assert set(a) == set(b), (k, set(a) ^ set(b))
        for key in a:
            assert torch.equal(a[key], b[key]), (k, key)


def run(shapes, states, dtype, mesh=None, placements=(Shard(0),), steps=20, **options):
    model = Parts(shapes, dtype, mesh, placements)
    optimizer = AdamS(model.parameters(), states=states, **{**ALONE, **options})
    return model, optimizer, model.train_with(optimizer, range(steps))


def bits(mesh, placements):
    """Where shards end at blocks all of the state has the bits of one process; with a norm in the step nearly."""
    out = {}
    for states, dtype in CASES:
        with said() as texts:
            found = run(WHOLE, states, dtype, mesh, placements)
        assert not texts, texts
        assert_same(contents(*found[:2]), contents(*run(WHOLE, states, dtype)[:2]))
        assert found[1].memory()["states"] < {"compact8": 3.1, "tiny8": 2.1}[states] + (dtype == torch.bfloat16) * 0.01
        (model, _, stats), (one, _, wanted) = (run(WHOLE, states, dtype, *where, decay="scheduled", **OPTIONS)
                                               for where in ((mesh, placements), ()))
        now = differences([full(p) for p in model.parts], [stats], ([p.detach() for p in one.parts], [wanted]))
        out = {key: max(out.get(key, 0.0), now[key]) for key in now}
    return out


def case_bits():
    return bits(mesh_of_all(), [Shard(0)])


def case_bits_hsdp():
    return bits(init_device_mesh("cpu", (2, 2), mesh_dim_names=("replicate", "shard")), [Replicate(), Shard(0)])


def case_other_shards_are_bfloat16():
    """And that is said once. What is left has its bits still: that of 8 bits beside it, and of mixed16."""
    shapes = [shape for pair in itertools.zip_longest(WHOLE, OTHERS) for shape in pair if shape]
    few = [k for k, shape in enumerate(shapes) if shape in OTHERS]
    for states, dtype in CASES:
        with said() as texts:
            model, optimizer, _ = run(shapes, states, dtype, mesh_of_all())
            optimizer.load_state_dict(optimizer.state_dict())
            model.train_with(optimizer, range(20, 22))
        assert len(texts) == 1, texts
        assert f"states: {states!r} keeps the moments of 3 parameters of 2,043 elements in bfloat16" in texts[0], texts
        model, optimizer, _ = run(shapes, states, dtype, mesh_of_all())
        found = contents(model, optimizer)
        narrow, other = (contents(*run(shapes, preset, dtype)[:2]) for preset in (states, "mixed16"))
        wanted = [other[k] if k in few else narrow[k] for k in range(len(shapes))]
        if states == "tiny8":  # bfloat16 alone, which is no preset
            assert all("remainder_bytes" not in found[k] and "exp_avg_bf16" in found[k] for k in few)
            found, wanted = ([one[k] for k in range(len(shapes)) if k not in few] for one in (found, wanted))
        assert_same(found, wanted)
    return {}


def case_parts_in_another_memory_order():
    """Blocks are those of the whole: the parts are stepped in the order of their dimensions."""
    mesh = mesh_of_all()
    for states, dtype in CASES:
        one, alone, _ = run([(8, 256)], states, dtype)
        model = Parts([(8, 256)], dtype, mesh)
        part = model.parts[0].to_local().detach().t().contiguous().t()
        model.parts[0] = nn.Parameter(DTensor.from_local(part, mesh, [Shard(0)], shape=(8, 256), stride=(256, 1)))
        optimizer = AdamS(model.parameters(), states=states, **ALONE)
        model.train_with(optimizer, range(20))
        assert model.parts[0].to_local().stride() == part.stride()
        assert_same(contents(model, optimizer), contents(one, alone))
    return {}


def case_fsdp2():
    """A network under fully_shard, some of it in 8 bits: near one process that has all of it so."""
    net = dict(hidden=128, wide=128)
    model = shard(Net(**net))
    optimizer = AdamS(model.parameters(), states="compact8", **OPTIONS)
    with said() as texts:
        found = train(model, optimizer)
    assert len(texts) == 1 and "keeps the moments of 6 parameters" in texts[0], texts
    got = differences([full(p) for p in model.parameters()], found, one_process(net=net, states="compact8"))
    assert got["param"] < 0.02 and got["norm"] < 0.05 and got["vbar"] < 0.02, got
    assert 6.0 < optimizer.memory()["parameters"] + optimizer.memory()["states"] < 6.3
    return {}


def case_tensor_parallel():
    """Cut along the last dimension: 8 bits where every part has whole blocks. Said is that other bits round, and what not."""
    mesh, size = mesh_of_all(), dist.get_world_size()
    shapes = [(6, 128 * 2 * size), (6, 128 * (2 * size + 1)), (256, 5), (3, 2 * size + 1, 128)]
    for states, dtype in CASES:
        with said() as texts:
            model, optimizer, _ = run(shapes, states, dtype, mesh, [Shard(1)])
        assert len(texts) == 2 and "2 parameters" in texts[0] and "4 parameters" in texts[1], texts
        found = ["exp_avg_block8" in optimizer.state[p] for p in model.parts]
        assert found == [True, False, False, True], found
        one, alone, _ = run(shapes, states, dtype)
        assert abs(optimizer.vbar() / alone.vbar() - 1) < 1e-6
        a, b = adamw_state_dict(optimizer)["state"], adamw_state_dict(alone)["state"]
        for k, (p, q) in enumerate(zip(model.parts, one.parts)):
            assert (full(p).float() - q.float()).abs().max() < 0.05 * (4 if states == "tiny8" else 1)
            for name, near in (("exp_avg", 0.15), ("exp_avg_sq", 0.4)):
                assert a[k][name].placements == p.placements
                gap = (full(a[k][name]) - b[k][name]).abs().max() / b[k][name].abs().max()
                assert gap < near, (k, name, gap)
    return {}


def case_wrong_fsdp1():
    model = FSDP(Net(), use_orig_params=True, device_id=torch.device("cpu"))
    optimizer = AdamS(model.parameters(), shards="world", states="compact8")
    loss(model, 0).backward()
    with refused("FullyShardedDataParallel flattened"):
        optimizer.step()
    return {}


@contextlib.contextmanager
def refused(text):
    try:
        yield
    except ValueError as error:
        assert str(error).startswith("states: ") and text in str(error), error
    else:
        raise AssertionError(f"not refused: {text}")
