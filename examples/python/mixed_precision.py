# SPDX-License-Identifier: Apache-2.0
"""AdamS with automatic mixed precision and loss scaling, on flat buffers: float16 on a GPU, bfloat16 on a CPU."""
import torch
from torch import nn

import swd.torch


def main(steps=400):
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(1)
    x = 2 * torch.rand(512, 2, device=device) - 1
    y = torch.sin(3 * x[:, :1]) * torch.cos(2 * x[:, 1:])
    model = nn.Sequential(nn.Linear(2, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1)).to(device)

    swd.torch.flatten(model.parameters())  # after .to(device), before the optimizer: two launches per step
    optimizer = swd.torch.AdamS(model.parameters(), lr=5e-3, weight_decay=1e-5, max_grad_norm=1.0)
    scaler = swd.torch.GradScaler(device)  # the step's first pass finds infinities: no unscale_, no clip_grad_norm_
    low = torch.float16 if device == "cuda" else torch.bfloat16
    for step in range(1, steps + 1):
        optimizer.zero_grad()  # not model.zero_grad(): that would take the flat gradients away
        with torch.autocast(device, dtype=low):
            loss = (model(x) - y).square().mean()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        if step % 100 == 0:
            stats = optimizer.stats()
            print(f"step {step}   loss {loss.item():.6f}   gradient norm {stats['grad_norm']:.5f}   "
                  f"scale {scaler.get_scale():g}   skipped {stats['steps_skipped']}")
    return loss.item()


if __name__ == "__main__":
    main()
