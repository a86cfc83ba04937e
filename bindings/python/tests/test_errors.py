# SPDX-License-Identifier: Apache-2.0
"""Bad arguments raise, and the message names the argument."""
import math

import pytest
import torch

import swd
from swd.torch import AdamS, GradScaler, flatten

NAN, INF = math.nan, math.inf
BAD_OPTIONS = [
    (dict(lr=-1.0), ValueError, "lr: -1.0 is out of range"),
    (dict(lr=NAN), ValueError, "lr: nan"),
    (dict(lr=INF), ValueError, "lr: inf"),
    (dict(lr="fast"), TypeError, "lr: 'fast' is no number"),
    (dict(lr=None), TypeError, "lr: None"),
    (dict(lr=torch.tensor([0.1, 0.2])), ValueError, "lr: a tensor of 2 elements"),
    (dict(lr=torch.tensor(1)), TypeError, "lr: a tensor of torch.int64"),
    (dict(lr=torch.tensor(-1.0)), ValueError, "lr: -1.0"),
    (dict(lr=torch.tensor(0.1, requires_grad=True)), ValueError, "lr: a tensor that requires grad"),
    (dict(betas=(0.9, 1.0)), ValueError, r"betas\[1\]: 1.0"),
    (dict(betas=(-0.1, 0.9)), ValueError, r"betas\[0\]: -0.1"),
    (dict(betas=(NAN, 0.9)), ValueError, r"betas\[0\]: nan"),
    (dict(betas=0.9), ValueError, "betas: 0.9 is no pair"),
    (dict(betas=(0.9, 0.99, 0.999)), ValueError, "betas: .* is no pair"),
    (dict(betas=(torch.tensor(1.0), 0.99)), ValueError, r"betas\[0\]: 1.0"),
    (dict(betas=(torch.tensor(1), 0.99)), TypeError, r"betas\[0\]: a tensor of torch.int64"),
    (dict(betas=(0.9, torch.tensor(0.9, device="meta"))), ValueError, r"betas\[1\]: a tensor on meta"),
    (dict(eps=0.0), ValueError, "eps: 0.0 is not a normal number"),
    (dict(eps=1e-40), ValueError, "eps: 1e-40"),
    (dict(eps=-1e-8), ValueError, "eps: -1e-08"),
    (dict(eps=NAN), ValueError, "eps: nan"),
    (dict(weight_decay=-0.1), ValueError, "weight_decay: -0.1"),
    (dict(weight_decay=INF), ValueError, "weight_decay: inf"),
    (dict(weight_decay=torch.tensor(0.1)), TypeError, "weight_decay: a tensor"),
    (dict(decay="adamw"), ValueError, "decay: 'adamw' is none of scheduled, relative, decoupled, l2"),
    (dict(decay=None), ValueError, "decay: None"),
    (dict(amsgrad=1), TypeError, "amsgrad: 1 is neither True nor False"),
    (dict(maximize="no"), TypeError, "maximize: 'no'"),
    (dict(capturable=None), TypeError, "capturable: None"),
    (dict(max_grad_norm=0.0), ValueError, "max_grad_norm: 0"),
    (dict(max_grad_norm=-1.0), ValueError, "max_grad_norm: -1.0"),
    (dict(max_grad_norm=NAN), ValueError, "max_grad_norm: nan"),
    (dict(max_grad_norm="1,0"), TypeError, "max_grad_norm: '1,0' is no number"),
    (dict(max_decay=0.0), ValueError, "max_decay"),
    (dict(nonfinite="ignore"), ValueError, "nonfinite: 'ignore'"),
    (dict(reference_step=0), ValueError, "reference_step: 0 is no number of a step"),
    (dict(reference_step=1.5), ValueError, "reference_step: 1.5"),
    (dict(update_norms=2), TypeError, "update_norms: 2"),
    (dict(measure_norm=False), ValueError, "measure_norm"),
    (dict(measure_norm=False, nonfinite="propagate"), ValueError, "measure_norm: False needs groups without"),
]


@pytest.mark.parametrize("options, kind, message", BAD_OPTIONS, ids=lambda value: str(value)[:40])
def test_bad_options(options, kind, message):
    with pytest.raises(kind, match=message):
        AdamS([torch.nn.Parameter(torch.ones(2))], **options)


@pytest.mark.parametrize("options, kind, message", [row for row in BAD_OPTIONS if row[0].keys() & {
    "lr", "betas", "eps", "weight_decay", "decay", "amsgrad"}], ids=lambda value: str(value)[:40])
def test_bad_group_leaves_the_optimizer_usable(options, kind, message):
    param = torch.nn.Parameter(torch.ones(2))
    optimizer = AdamS([param])
    with pytest.raises(kind, match=message):
        optimizer.add_param_group(dict(params=[torch.nn.Parameter(torch.ones(3))], **options))
    assert len(optimizer.param_groups) == 1
    param.grad = torch.ones(2)
    optimizer.step()


@pytest.mark.parametrize("lr", [-1.0, NAN])
def test_a_number_that_goes_bad_inside_its_tensor_changes_nothing(lr):
    """The library says so, as nobody looks at tensors that are the same ones as before."""
    param = torch.nn.Parameter(torch.ones(2))
    optimizer = AdamS([param], lr=torch.tensor(0.1))
    param.grad = torch.ones(2)
    optimizer.step()
    before = param.detach().clone()
    optimizer.param_groups[0]["lr"].fill_(lr)
    with pytest.raises(swd.Error, match=r"args.groups\[0\].lr") as caught:
        optimizer.step()
    assert caught.value.name == "SWD_ERR_VALUE" and caught.value.status == 5
    assert torch.equal(before, param.detach()) and optimizer.state_dict()["state"][0]["step"] == 1


@pytest.mark.parametrize("make, kind, message", [
    (lambda: torch.ones(2, dtype=torch.float64), TypeError, "params: dtype torch.float64 is not supported"),
    (lambda: torch.ones(2, dtype=torch.complex64), TypeError, "params: complex parameters"),
    (lambda: torch.ones(2, dtype=torch.complex128), TypeError, "params: complex parameters"),
    (lambda: torch.ones(2, device="meta"), TypeError, "params: device meta"),
    (lambda: torch.eye(3).to_sparse(), TypeError, "params: sparse parameters"),
    (lambda: torch.ones(2, dtype=torch.float8_e4m3fn), TypeError, "params: dtype torch.float8_e4m3fn"),
], ids=["float64", "complex64", "complex128", "meta", "sparse", "float8"])
def test_parameters_that_are_not_supported(make, kind, message):
    for function in (lambda p: AdamS([p]), lambda p: flatten([p])):
        with pytest.raises(kind, match=message):
            function(torch.nn.Parameter(make()))


def test_sparse_gradients_are_refused_and_change_nothing():
    embedding = torch.nn.Embedding(5, 3, sparse=True)
    before = embedding.weight.detach().clone()
    optimizer = AdamS(embedding.parameters())
    embedding(torch.tensor([1, 2])).sum().backward()
    with pytest.raises(RuntimeError, match="does not support sparse gradients"):
        optimizer.step()
    embedding.weight.grad = torch.ones(5, 3)
    optimizer.step()
    moved = embedding.weight.detach().clone()
    embedding.weight.grad = torch.ones(5, 3).to_sparse()
    with pytest.raises(RuntimeError, match="does not support sparse gradients"):
        optimizer.step()
    assert torch.equal(moved, embedding.weight.detach()) and not torch.equal(before, moved)


def test_parameters_that_overlap_themselves_are_refused():
    with pytest.raises(ValueError, match="params: a tensor whose elements share memory"):
        AdamS([torch.nn.Parameter(torch.ones(1).expand(4))])
    for size, strides in (((4, 2), (1, 3)), ((2, 4), (3, 1)), ((2, 3, 2), (5, 2, 1)), ((2, 2), (1, 1))):  # one element
        with pytest.raises(ValueError, match="params: a tensor whose elements share memory"):
            AdamS([torch.nn.Parameter(torch.ones(12).as_strided(size, strides))])
    for size, strides in (((4, 2), (1, 4)), ((2, 4), (5, 1)), ((3, 1), (1, 0)), ((1, 3), (0, 2))):
        AdamS([torch.nn.Parameter(torch.ones(12).as_strided(size, strides))])


def test_other_wrong_parameters():
    param = torch.nn.Parameter(torch.ones(2))
    with pytest.raises(TypeError, match="record_hook: 3 is no function"):
        AdamS([param], record_hook=3)
    with pytest.raises(TypeError, match="shards: 3 is neither 'world', nor a process group"):
        AdamS([param], shards=3)
    with pytest.raises(ValueError, match="empty parameter list"):
        AdamS([])
    with pytest.raises(TypeError):
        AdamS(param)
    with pytest.raises(ValueError, match="non-leaf"):
        AdamS([param * 2])
    with pytest.raises(ValueError, match="amsgrad: must be the same in every group"):
        AdamS([dict(params=[param], amsgrad=True), dict(params=[torch.nn.Parameter(torch.ones(2))])])
    with pytest.raises(TypeError, match="lars"):
        AdamS([param], lars=True)
    with pytest.raises(TypeError, match="params: int"):
        flatten([3])


def test_different_checkpoint_is_refused():
    optimizer = AdamS([torch.nn.Parameter(torch.ones(2))])
    other = AdamS([torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2))])
    with pytest.raises(ValueError, match="doesn't match the size"):
        optimizer.load_state_dict(other.state_dict())
    assert not optimizer._optimizer_load_state_dict_pre_hooks  # ours are gone, too
    assert not optimizer._optimizer_load_state_dict_post_hooks


def test_weight_decay_in_adamw_units_warns():
    """The first step of a clipped network: AdamW's 0.2 would take a fifth of the parameters at once."""
    param = torch.nn.Parameter(torch.ones(10000))
    optimizer = AdamS([param], lr=1e-2, weight_decay=0.2, max_grad_norm=1.0)
    param.grad = torch.randn(10000)
    with pytest.warns(UserWarning, match="weight_decay: a step takes 0.1 of the parameters, which is max_decay"):
        optimizer.step()


def test_scaler_without_a_step():
    optimizer = AdamS([torch.nn.Parameter(torch.ones(2))])
    scaler = GradScaler("cpu")
    scaler.scale(torch.ones(()))
    with pytest.raises(AssertionError):
        scaler.update()


@pytest.mark.parametrize("named", [False, True])
def test_the_same_parameter_twice_is_named_at_construction(named):
    p, q = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2))
    twice = [("a", p), ("b", q), ("c", p)] if named else [p, q, p]
    with pytest.raises(ValueError, match="params: the same parameter stands in the group twice, at 0 and at 2"):
        AdamS(iter(twice))
    optimizer = AdamS([p])
    with pytest.raises(ValueError, match="twice, at 0 and at 1"):
        optimizer.add_param_group({"params": [q, q]})
    with pytest.raises(ValueError, match="more than one parameter group"):
        optimizer.add_param_group({"params": [p]})
    assert len(optimizer.param_groups) == 1


class Wrapper(torch.Tensor):
    """A tensor around another, as the parameters of quantisers are."""

    @staticmethod
    def __new__(cls, inner):
        return torch.Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype, device=inner.device)

    def __init__(self, inner):
        self.inner = inner

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return cls(args[0].inner) if func == torch.ops.aten.detach.default else NotImplemented


def test_tensors_without_memory_are_refused_by_name():
    from torch._subclasses.fake_tensor import FakeTensorMode
    fake = FakeTensorMode()
    with fake:
        unreal = torch.nn.Parameter(torch.ones(3))
    for param, name in ((unreal, "FakeTensor"), (torch.nn.Parameter(Wrapper(torch.ones(3))), "Wrapper")):
        with pytest.raises(TypeError, match=f"params: a {name}, a tensor without memory of its own"):
            AdamS([param])
    param = torch.nn.Parameter(torch.ones(3))
    param.grad = torch.ones(3)
    optimizer = AdamS([param])
    with fake, pytest.raises(RuntimeError, match="new tensors are of type FakeTensor"):
        optimizer.step()
    assert not optimizer.state and torch.equal(param.detach(), torch.ones(3))
    optimizer.step()
    assert not torch.equal(param.detach(), torch.ones(3))
