# SPDX-License-Identifier: Apache-2.0
"""A small GPT over the bytes of text files, and its batches. Used by train_charlm.py and migrate_from_adamw.py."""
import hashlib
import pathlib

import torch
from torch import nn
from torch.nn import functional as F

ROOT = pathlib.Path(__file__).resolve().parents[2]
SUFFIXES = {".md", ".h", ".c", ".cpp", ".cu", ".cuh", ".inl", ".py", ".rs"}


def default_files():
    """The text of this repository, without build folders."""
    files = [path for path in ROOT.rglob("*") if path.suffix in SUFFIXES and path.is_file()]
    return sorted(path for path in files if not any(
        part.startswith((".", "build")) or part == "target" for part in path.relative_to(ROOT).parts))


class Text:
    """The bytes of files as numbers 0 .. alphabet - 1. Every tenth block of 2,000 bytes is held out."""

    def __init__(self, files, device):
        raw = b"".join(pathlib.Path(path).read_bytes() for path in files)
        if len(raw) < 20_000:
            raise SystemExit(f"the text has {len(raw)} bytes: give files with 20,000 or more")
        self.digest, self.bytes = hashlib.sha256(raw).hexdigest(), len(raw)
        symbols = sorted(set(raw))
        self.alphabet = len(symbols)
        number = torch.zeros(256, dtype=torch.long)
        number[symbols] = torch.arange(self.alphabet)
        data = number[torch.frombuffer(bytearray(raw), dtype=torch.uint8).long()]
        held_out = torch.arange(len(data)) // 2000 % 10 == 9
        self.parts = {"train": data[~held_out], "validation": data[held_out]}
        self.device = device

    def batch(self, part, size, context, generator):
        """size runs of `context` symbols, and the symbols that follow each."""
        data = self.parts[part]
        start = torch.randint(len(data) - context, (size, 1), generator=generator)
        runs = data[start + torch.arange(context + 1)]
        return runs[:, :-1].to(self.device), runs[:, 1:].to(self.device)


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def attention(self, x):
        # Written out, as some fused kernels for this add in another order each time on CUDA.
        batch, context, width = x.shape
        q, k, v = (y.view(batch, context, self.heads, -1).transpose(1, 2) for y in self.qkv(x).chunk(3, dim=-1))
        score = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
        future = torch.ones(context, context, dtype=torch.bool, device=x.device).triu(1)
        mixed = score.masked_fill(future, float("-inf")).softmax(-1) @ v
        return self.out(mixed.transpose(1, 2).reshape(batch, context, width))

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class GPT(nn.Module):
    def __init__(self, alphabet, context, width, layers, heads):
        super().__init__()
        self.token, self.position = nn.Embedding(alphabet, width), nn.Embedding(context, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, alphabet, bias=False)
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)

    def forward(self, symbols):
        x = self.token(symbols) + self.position.weight[: symbols.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))

    def loss(self, symbols, following):
        """Mean cross entropy, in nats per byte."""
        return F.cross_entropy(self(symbols).flatten(0, 1), following.flatten())


def decay_groups(model, weight_decay):
    """Two groups: matrices decay, biases and the weights of norms do not."""
    params = list(model.parameters())
    return [{"params": [p for p in params if p.ndim > 1], "weight_decay": weight_decay},
            {"params": [p for p in params if p.ndim <= 1], "weight_decay": 0.0}]
