# SPDX-License-Identifier: Apache-2.0
"""CIFAR-10 or an MNIST-like set from a folder, as bytes on the device, and batches of it. Used by train.py."""
import gzip
import os
import pickle
from dataclasses import dataclass

import numpy
import torch

# Of the authors' notebook, for CIFAR-10.
MEAN, DEVIATION = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)


@dataclass
class Part:
    images: torch.Tensor  # count x channels x 32 x 32, bytes
    labels: torch.Tensor


@dataclass
class Data:
    name: str
    train: Part
    test: Part
    mean: torch.Tensor
    deviation: torch.Tensor

    def normalise(self, images):
        return (images.float() / 255 - self.mean) / self.deviation


def load(folder, device):
    """The set in a folder: CIFAR-10's binary or Python files, or four idx files, gzipped or not."""
    for reader in (_cifar_binary, _cifar_python, _idx):
        parts = reader(folder)
        if parts:
            break
    else:
        raise SystemExit(f"{folder}: neither data_batch_1.bin, nor data_batch_1, nor train-images-idx3-ubyte[.gz] is there")
    train, test = (Part(torch.as_tensor(images, device=device), torch.as_tensor(labels, device=device).long())
                   for images, labels in parts)
    if train.images.shape[1] == 3:
        mean, deviation = torch.tensor(MEAN), torch.tensor(DEVIATION)
    else:
        inside = train.images[..., 2:-2, 2:-2].float() / 255  # without the border of 28 x 28 images
        mean, deviation = inside.mean().reshape(1), inside.std().reshape(1)
    shape = (1, -1, 1, 1)
    return Data(os.path.basename(os.path.normpath(folder)), train, test, mean.to(device).reshape(shape),
                deviation.to(device).reshape(shape))


def _cifar_binary(folder):
    if not os.path.exists(os.path.join(folder, "data_batch_1.bin")):
        return None

    def read(names):
        rows = numpy.concatenate([numpy.fromfile(os.path.join(folder, name), numpy.uint8) for name in names])
        if rows.size == 0 or rows.size % 3073:
            raise SystemExit(f"{folder}: the binary batches are not rows of 3,073 bytes")
        rows = rows.reshape(-1, 3073)
        return rows[:, 1:].reshape(-1, 3, 32, 32), rows[:, 0]
    return read([f"data_batch_{i}.bin" for i in range(1, 6)]), read(["test_batch.bin"])


class _ArraysOnly(pickle.Unpickler):
    """A pickle may call anything; these files need an array's own names."""

    def find_class(self, module, name):
        if module.split(".")[0] == "numpy" and name in ("_reconstruct", "ndarray", "dtype"):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a CIFAR batch")


def _cifar_python(folder):
    if not os.path.exists(os.path.join(folder, "data_batch_1")):
        return None

    def read(names):
        batches = []
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                batches.append(_ArraysOnly(file, encoding="bytes").load())
        images = numpy.concatenate([batch[b"data"] for batch in batches]).reshape(-1, 3, 32, 32)
        return images, numpy.concatenate([batch[b"labels"] for batch in batches])
    return read([f"data_batch_{i}" for i in range(1, 6)]), read(["test_batch"])


def _idx(folder):
    def read(name):
        path = os.path.join(folder, name)
        opener = open
        if not os.path.exists(path):
            path, opener = path + ".gz", gzip.open
        if not os.path.exists(path):
            return None
        with opener(path, "rb") as file:
            raw = file.read()
        sides = numpy.frombuffer(raw, ">i4", raw[3] if len(raw) > 3 else 0, 4) if raw[:3] == b"\0\0\x08" else []
        if len(sides) == 0 or len(raw) != 4 + 4 * len(sides) + numpy.prod(sides):
            raise SystemExit(f"{path}: not an idx file of bytes, or not as long as its header says")
        return numpy.frombuffer(raw, numpy.uint8, offset=4 + 4 * len(sides)).reshape(sides)

    def pair(part):
        images, labels = read(f"{part}-images-idx3-ubyte"), read(f"{part}-labels-idx1-ubyte")
        if images is None or labels is None:
            return None
        if images.shape[1:] != (28, 28) or len(images) != len(labels):
            raise SystemExit(f"{folder}: the {part} files do not hold 28 x 28 images, each with a label")
        return numpy.pad(images, ((0, 0), (2, 2), (2, 2)))[:, None], labels.copy()
    train, test = pair("train"), pair("t10k")
    return (train, test) if train and test else None


def augment(images, generator):
    """Cut out at random from a border of 4, and flipped at random: each image by itself."""
    count, size = len(images), images.shape[-1]
    padded = torch.nn.functional.pad(images, (4, 4, 4, 4))
    moves = torch.randint(9, (2, count, 1), generator=generator).to(images.device)
    flips = (torch.rand(count, 1, generator=generator) < 0.5).to(images.device)
    line = torch.arange(size, device=images.device)
    rows, columns = moves[0] + line, moves[1] + torch.where(flips, line.flip(0), line)
    image, channel = (torch.arange(n, device=images.device) for n in images.shape[:2])
    # No permute: with one channel its strides make PyTorch 2.15 take kernels for channels last, which crash on some CPUs.
    return padded[image[:, None, None, None], channel[:, None, None], rows[:, None, :, None], columns[:, None, None, :]]
