# SPDX-License-Identifier: Apache-2.0
"""What all tests share: a fixed seed and a small network."""
import pytest
import torch


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
