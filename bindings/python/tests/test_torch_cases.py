# SPDX-License-Identifier: Apache-2.0
"""The cases of PyTorch's own test of its optimizers (TestOptimRenewed in its test/test_optim.py, which no wheel has),
written anew over the inputs that torch.testing has: errors, directions, groups, learning rates, flags, steps that change
nothing. States and hooks are in test_torch_state_cases.py. A name here is theirs; LEFT_OUT says why the others are not."""
import copy
import os

import pytest
import torch

from optimizer_info import INFO, advance, all_inputs, common, linear
from swd.torch import AdamS

# Their name: our reason. docs/testing.md has the same table.
LEFT_OUT = {
    "test_forloop_goes_right_direction_multigpu": "two CUDA devices; test_cuda.py steps over two",
    "test_rosenbrock_sparse": "sparse gradients are refused by name: test_errors.py",
    "test_complex": "complex parameters are refused by name: below",
    "test_complex_2d": "as test_complex",
    "test_mixed_device_dtype": "two CUDA devices, and float64, which is refused; test_layouts.py mixes dtypes",
    "test_foreach_large_tensor": "2^32 elements; cpu_large_test and cuda_large have them",
    "test_fused_large_tensor": "as test_foreach_large_tensor",
    "test_peak_memory_foreach": "CUDA's allocator; a step allocates nothing: tests/hostile, and memory() in test_states.py",
    "test_cpu_load_state_dict": "CUDA; test_cuda.py and test_moving.py move states",
    "test_state_dict_with_cuda_params": "as test_cpu_load_state_dict",
    "test_fused_cpu_matches_cuda": "CUDA; test_cuda.py wants equal bits",
    "test_defaults_changed_to_foreach": "looks into AdamW's modules; there is one implementation here",
    "test_second_order_optims_return_consistent_types": "LBFGS only",
    "TestDifferentiableOptimizer": "differentiable=True is refused by name: below",
}

# Their description of an error: what is raised here, or None where it is no error here, and why.
ERRORS = {
    "invalid param type": (TypeError, "params argument given to the optimizer should be an iterable"),
    "a param group cannot have duplicate parameters": (ValueError, "params: the same parameter stands in the group twice"),
    "warn on a bare unordered set of params": (FutureWarning, "ordered collections"),
    "duplicate parameters should not occur across param groups either": (ValueError, "more than one parameter group"),
    "Tensor lr must be 1-element": (ValueError, "lr: a tensor of 2 elements, expected 1"),
    "all optimizer params should be with/without names": (ValueError, "Some param names are missing"),
    "all optimizer param groups should be with/without names.": (ValueError, "cannot add param group with names"),
    "beta1 should be between 0 and 1": (ValueError, r"betas\[0\]: 1.0 is out of range"),
    "weight_decay should > 0": (ValueError, "weight_decay: -1.0 is out of range"),
    "lr as Tensor doesn't work with foreach & not capturable": None,  # foreach has no meaning here
    "betas must be either both floats or both Tensors": None,         # any mixture is read
    r"betas\[0\] as a Tensor is not supported for capturable=False and foreach=True": None,
}


def test_each_case_that_is_left_out_stands_in_the_documentation():
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "docs", "testing.md")
    with open(root, encoding="utf-8") as file:
        text = file.read()
    assert [name for name, reason in LEFT_OUT.items() if f"| `{name}` | {reason} |" not in text] == []


def test_errors():
    found = INFO.optim_error_inputs_func(device="cpu", dtype=torch.float32)
    assert {error.optimizer_error_input.desc for error in found} <= set(ERRORS)
    for error in found:
        given, expected = error.optimizer_error_input, ERRORS[error.optimizer_error_input.desc]
        assert error.error_on == common.OptimizerErrorEnum.CONSTRUCTION_ERROR
        if expected is None:
            param = torch.nn.Parameter(torch.ones(2))
            param.grad = torch.ones(2)
            AdamS([param], **given.kwargs).step()
            assert (param < 1).all()
        else:
            kind, text = expected
            with pytest.warns(kind, match=text) if issubclass(kind, Warning) else pytest.raises(kind, match=text):
                AdamS(given.params, **given.kwargs)


def test_complex_and_differentiable_are_refused():
    with pytest.raises(TypeError, match=r"params: complex parameters \(torch.complex64\) are not supported"):
        AdamS([torch.randn(2, dtype=torch.complex64, requires_grad=True)])
    with pytest.raises(ValueError, match="differentiable: the step of AdamS is not"):
        AdamS([torch.nn.Parameter(torch.ones(2))], differentiable=True)


def test_optim_infos_do_not_specify_global_cliquey_kwargs():
    assert not any(flag in given.kwargs for given in INFO.optim_inputs_func("cpu")
                   for flag in ("foreach", "fused", "differentiable"))


def went_right(given, first, last):
    return last > first if given.kwargs.get("maximize") else last < first


@pytest.mark.parametrize("contiguous", [True, False])
@pytest.mark.parametrize("with_lrsched", [True, False])
def test_forloop_goes_right_direction(contiguous, with_lrsched):
    for makers in INFO.scheduler_inputs if with_lrsched else [()]:
        for given in INFO.optim_inputs_func("cpu"):
            weight, bias, loss = linear(contiguous)
            optimizer = AdamS([weight, bias], **given.kwargs)
            schedulers, first = [make(optimizer) for make in makers], loss()
            for _ in range(20):
                value = loss()
                optimizer.step()
                advance(schedulers, value)
            assert went_right(given, first, loss()), given.desc


def test_param_group_with_lrscheduler_goes_right_direction():
    for makers in INFO.scheduler_inputs:
        weight, bias, loss = linear()
        optimizer = AdamS([dict(params=[weight]), dict(params=[bias], lr=0.01)])
        schedulers, first = [make(optimizer) for make in makers], loss()
        for _ in range(20):
            value = optimizer.step(loss)
            advance(schedulers, value)
        assert loss() < first


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_tensor_lr(shape):
    for given in all_inputs():
        runs = []
        for lr in (1e-3, torch.full(shape, 1e-3, dtype=torch.float64)):
            torch.manual_seed(3)
            weight, bias, loss = linear()
            optimizer = AdamS([weight, bias], **{**given.kwargs, "lr": lr})
            for _ in range(5):
                loss()
                optimizer.step()
            runs.append((weight, bias))
        assert all(torch.equal(a, b) for a, b in zip(*runs)), given.desc


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_fused_and_foreach_match_forloop(dtype, network):
    """And freezing a layer, a step without gradients, and a parameter without elements, as there."""
    for given in INFO.optim_inputs_func("cpu", dtype):
        if dtype == torch.float16 and given.kwargs.get("states", "fp32") != "fp32":
            continue  # refused by name
        runs = []
        for flags in (dict(), dict(foreach=True), dict(fused=True)):
            model, empty = network(dtype), torch.nn.Parameter(torch.empty(0, dtype=dtype))
            optimizer = AdamS([*model.parameters(), empty], **copy.deepcopy(given.kwargs), **flags)
            for step in range(7):
                optimizer.zero_grad()
                model[2].requires_grad_(step not in (3, 4))
                if step != 2:
                    model(torch.linspace(-1, 1, 14).to(dtype).reshape(2, 7)).sum().backward()
                optimizer.step()
            runs.append([*model.parameters(), *optimizer.state[model[0].weight].values()])
        assert all(torch.equal(a, b) and torch.equal(a, c) for a, b, c in zip(*runs)), given.desc


def test_set_default_dtype_works(network):
    runs = []
    for default in (torch.float32, torch.float64, torch.float16):
        model = network(torch.float32)
        optimizer = AdamS(model.parameters())
        torch.set_default_dtype(default)
        try:
            for _ in range(3):
                model(torch.ones(2, 7, dtype=torch.float32)).sum().backward()
                optimizer.step()
            runs.append([*model.parameters(), optimizer.state_dict()["state"][0]["step"]])
        finally:
            torch.set_default_dtype(torch.float32)
        assert runs[-1][-1].dtype == torch.float32
    assert all(torch.equal(a, b) and torch.equal(a, c) for a, b, c in zip(*runs))


def test_fused_error_on_params_on_meta():
    with torch.device("meta"):
        model = torch.nn.Linear(2, 3)
    with pytest.raises(TypeError, match="params: device meta is not supported"):
        AdamS(model.parameters(), fused=True)
    model.to_empty(device="cpu")
    with torch.no_grad():
        model.weight.zero_(), model.bias.zero_()
    optimizer = AdamS(model.parameters(), fused=True)
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    assert (model.weight < 0).all()
