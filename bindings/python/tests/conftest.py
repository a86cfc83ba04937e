# SPDX-License-Identifier: Apache-2.0
"""What all tests share: a fixed seed, one thread setting, the marker of tests that need a CUDA device."""
import pytest
import torch


def pytest_configure(config):
    config.addinivalue_line("markers", "cuda: needs a CUDA device and a torch built for it; deselected without")


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
