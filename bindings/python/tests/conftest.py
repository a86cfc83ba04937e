# SPDX-License-Identifier: Apache-2.0
"""What all tests share: a fixed seed, a small network, and the rule that a skipped test is a failed one."""
import importlib.util
import os

import pytest
import torch

import swd

# By scripts/test_jax.sh: JAX objects to forks.
collect_ignore = ["test_jax.py", "test_jax_optax.py", "test_jax_sharded.py"]
if not os.path.exists(os.path.join(os.path.dirname(swd.library_path), "libswd_jax.so")):  # a wheel without that part
    collect_ignore.append("test_jax_cuda.py")
if importlib.util.find_spec("hypothesis") is None:  # a device's machine, where only tests marked cuda run
    collect_ignore += ["test_histories.py", "test_neutral.py"]
# torch.testing, which these import, asks for a device before there is a simulated one. They run on the CPU.
if os.environ.get("SWD_SIMULATED_CUDA"):
    collect_ignore += ["test_torch_cases.py", "test_torch_state_cases.py"]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.skipped:
        report.outcome, report.longrepr = "failed", f"{item.nodeid} was skipped; select or deselect it instead"


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(1)


@pytest.fixture
def network():
    """Makes small networks, all with the same parameters."""
    def make(dtype=torch.float32, device="cpu"):
        torch.manual_seed(5)
        layers = torch.nn.Sequential(torch.nn.Linear(7, 11), torch.nn.Tanh(), torch.nn.Linear(11, 3))
        return layers.to(device=device, dtype=dtype)
    return make


@pytest.fixture(scope="session", autouse=True)
def simulated_cuda(tmp_path_factory):
    """Where SWD_SIMULATED_CUDA is set: see simulated_cuda.py."""
    if not os.environ.get("SWD_SIMULATED_CUDA"):
        yield
        return
    import simulated_cuda as simulator
    simulator.load_driver(str(tmp_path_factory.mktemp("driver")))
    with simulator.OnHost():
        yield
