# SPDX-License-Identifier: Apache-2.0
"""Tiny trainings of the paper's networks: they learn, go on to the bit, and refuse what is not theirs. Run by
scripts/test_python_examples.sh."""
import json
import os
import pathlib
import pickle
import struct
import sys

import numpy
import pytest
import torch

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import data  # noqa: E402
import models  # noqa: E402
import table  # noqa: E402
import train  # noqa: E402


def images(count, seed=0):
    """Ten classes that differ in where they are bright."""
    random = numpy.random.default_rng(seed)
    labels = random.integers(0, 10, count).astype(numpy.uint8)
    pixels = random.integers(0, 60, (count, 28, 28)).astype(numpy.uint8)
    for image, label in zip(pixels, labels):
        image[2 * label:2 * label + 6, 8:20] += 150
    return pixels, labels


@pytest.fixture
def folder(tmp_path):
    """Four small idx files."""
    path = tmp_path / "squares"
    path.mkdir()
    for part, count in (("train", 300), ("t10k", 60)):
        pixels, labels = images(count, count)
        (path / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">4B3I", 0, 0, 8, 3, count, 28, 28) + pixels.tobytes())
        (path / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">4BI", 0, 0, 8, 1, count) + labels.tobytes())
    return path


def run(folder, output, *more):
    return train.main(["--data", str(folder), "--output", str(output), "--width", "4", "--device", "cpu", *more])


@pytest.mark.parametrize("model, method", [("resnet18", "adams"), ("vgg16", "adamw")])
def test_a_run_that_goes_on_is_the_run_in_one_piece(folder, tmp_path, model, method):
    arguments = ["--model", model, "--method", method, "--epochs", "5", "--seed", "3"]
    whole = run(folder, tmp_path / "whole", *arguments)
    first = run(folder, tmp_path / "parts", *arguments, "--stop-after", "2")
    assert len(first.history) == 2
    torch.rand(7)
    parts = run(folder, tmp_path / "parts", *arguments)
    assert parts.history == whole.history and len(whole.history) == 5
    for a, b in zip(whole.model.state_dict().values(), parts.model.state_dict().values()):
        assert torch.equal(a, b)
    assert [round(one["lr"], 12) for one in whole.history] == [1e-3, 1e-3, 1e-4, 1e-4, 1e-5]
    assert whole.history[-1]["loss"] < whole.history[0]["loss"]
    saved = json.loads((tmp_path / "whole" / (os.path.basename(whole.name) + ".json")).read_text())
    assert saved["history"] == whole.history


def test_methods_decay_all_parameters_as_the_authors_do(folder, tmp_path):
    for method, decay, strength in (("adams", "scheduled", 5e-4), ("adamw", "decoupled", 0.5), ("adam", "l2", 5e-4)):
        training = run(folder, tmp_path, "--method", method, "--epochs", "1")
        group, = training.optimizer.param_groups
        assert (group["decay"], group["weight_decay"], group["betas"], group["eps"]) == (decay, strength, (0.9, 0.999), 1e-8)
        assert len(group["params"]) == len(list(training.model.parameters()))
        if method != "adams":
            assert training.history[0]["lambda_eff"] == strength


def test_a_checkpoint_of_another_setting_is_refused(folder, tmp_path):
    training = run(folder, tmp_path, "--method", "adams", "--epochs", "2", "--stop-after", "1")
    saved = torch.load(training.name + ".pt", weights_only=True)
    torch.save({**saved, "setting": {**saved["setting"], "weight_decay": 1.0}}, training.name + ".pt")
    with pytest.raises(SystemExit, match="another setting"):
        run(folder, tmp_path, "--method", "adams", "--epochs", "2")


def test_sizes_of_the_papers_networks():
    def count(net):
        return sum(p.numel() for p in net.parameters())
    assert count(models.resnet18(3, 10)) == 11_173_962  # as in kuangliu/pytorch-cifar, which the authors use
    assert count(models.vgg16(3, 10)) == 14_728_266
    assert models.resnet18(3, 7, 4)(torch.zeros(2, 3, 32, 32)).shape == (2, 7)


def test_cifar_in_both_versions_and_pickles_that_are_more(tmp_path):
    random = numpy.random.default_rng(1)
    rows = {name: random.integers(0, 256, (4, 3072)).astype(numpy.uint8) for name in
            [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]}
    binary, python = tmp_path / "cifar-10-batches-bin", tmp_path / "cifar-10-batches-py"
    for path in (binary, python):
        path.mkdir()
    for name, pixels in rows.items():
        labels = numpy.arange(4, dtype=numpy.uint8)
        numpy.concatenate([labels[:, None], pixels], 1).tofile(binary / f"{name}.bin")
        (python / name).write_bytes(pickle.dumps({b"data": pixels, b"labels": labels.tolist()}))
    one, two = data.load(str(binary), "cpu"), data.load(str(python), "cpu")
    assert torch.equal(one.train.images, two.train.images) and torch.equal(one.test.labels, two.test.labels)
    assert one.train.images.shape == (20, 3, 32, 32) and one.train.labels.tolist() == [0, 1, 2, 3] * 5
    (python / "test_batch").write_bytes(pickle.dumps(os.getcwd))
    with pytest.raises(pickle.UnpicklingError, match="getcwd has no place"):
        data.load(str(python), "cpu")
    with pytest.raises(SystemExit, match="neither"):
        data.load(str(tmp_path), "cpu")


def test_augmentation_moves_and_flips_whole_images():
    image = torch.arange(3 * 32 * 32, dtype=torch.int32).reshape(1, 3, 32, 32) + 1
    padded = torch.nn.functional.pad(image, (4, 4, 4, 4))[0]
    windows = {}
    for y in range(9):
        for x in range(9):
            cut = padded[:, y:y + 32, x:x + 32]
            windows[cut.numpy().tobytes()] = windows[cut.flip(2).contiguous().numpy().tobytes()] = True
    out = data.augment(image.repeat(200, 1, 1, 1), torch.Generator().manual_seed(1))
    seen = {one.contiguous().numpy().tobytes() for one in out}
    assert seen <= set(windows) and len(seen) > 100


def test_the_table_shows_published_figures_only_beside_their_setting(folder, tmp_path, capsys):
    for seed in ("0", "1"):
        run(folder, tmp_path / "out", "--method", "adams", "--epochs", "1", "--seed", seed)
    table.main([str(tmp_path / "out")])
    said = capsys.readouterr().out
    assert "| squares | resnet18, width 4 | 1 | AdamS | 2 |" in said and "4.91" not in said
    assert (tmp_path / "out" / "telemetry.png").stat().st_size > 1000
    history = [{"epoch": 200, "grad_norm": 1.0, "weight_norm": 1.0, "lambda_eff": 1.0, "test_error": 0.05}]
    found = {("cifar-10-batches-bin", "resnet18", 64, 200, "adams"): [{"history": history}]}
    assert list(table.rows(found))[-1].endswith("| 5.00 (0.00) | 4.91 (0.04) |")
