# SPDX-License-Identifier: Apache-2.0
"""Tests of the Python examples: resume bit for bit, Ctrl-C, the picture, and the change from AdamW to AdamS."""
import math
import os
import signal
import subprocess
import sys
import time

import matplotlib.image
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing

import charlm
import migrate_from_adamw
import mixed_precision
import sharded
import train_charlm

TEXT = str(charlm.ROOT / "include" / "swd" / "swd.h")
SMALL = [TEXT, *("--device cpu --steps 40 --checkpoint-every 15 --log-every 5 --batch 4 --context 16 --width 16 "
                 "--layers 1 --heads 2").split()]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def train(folder, *more):
    return train_charlm.main([*more, "--output", str(folder)])


def checkpoint(folder):
    return torch.load(folder / "checkpoint.pt", weights_only=True)


def differences(a, b, path=""):
    """Where two checkpoints differ in a bit, but for the folders they lie in."""
    if path in (".settings.output", ".settings.resume"):
        return []
    if isinstance(a, torch.Tensor):
        same = a.dtype == b.dtype and a.shape == b.shape and a.numpy().tobytes() == b.numpy().tobytes()
    elif isinstance(a, dict):
        return [d for key in sorted({*a, *b}, key=str) for d in (
            differences(a[key], b[key], f"{path}.{key}") if key in a and key in b else [f"{path}.{key}"])]
    elif isinstance(a, (list, tuple)) and len(a) == len(b):
        return [d for i, pair in enumerate(zip(a, b)) for d in differences(*pair, f"{path}.{i}")]
    else:
        same = a == b or (a != a and b != b)
    return [] if same else [path]


@pytest.mark.parametrize("optimizer", ["adams", "adamw", "adam"])
def test_interrupted_and_resumed_equals_run_through(optimizer, tmp_path, monkeypatch):
    assert train(tmp_path / "whole", *SMALL, "--optimizer", optimizer) == 0
    save = train_charlm.Training.save

    def save_and_interrupt(self, path):
        save(self, path)
        monkeypatch.setattr(train_charlm.Training, "save", save)  # once
        if self.step == 15:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(train_charlm.Training, "save", save_and_interrupt)
    assert train(tmp_path / "parts", *SMALL, "--optimizer", optimizer) == 130
    assert 15 <= checkpoint(tmp_path / "parts")["step"] < 20
    torch.manual_seed(99)  # what the global generator says must not matter
    assert train(tmp_path / "parts", "--resume", str(tmp_path / "parts" / "checkpoint.pt")) == 0
    whole, parts = checkpoint(tmp_path / "whole"), checkpoint(tmp_path / "parts")
    assert whole["step"] == 40 and len(whole["optimizer"]["state"]) == len(list(whole["model"]))
    assert differences(whole, parts) == []


def test_comparison_sees_a_bit(tmp_path):
    train(tmp_path, *SMALL)
    a, b = checkpoint(tmp_path), checkpoint(tmp_path)
    exp_avg = b["optimizer"]["state"][0]["exp_avg"].view(torch.int32)
    exp_avg[0, 0] ^= 1
    b["curves"]["loss"][3] += 1e-15
    assert differences(a, b) == [".curves.loss.3", ".optimizer.state.0.exp_avg"]


def test_as_a_program(tmp_path):
    """Ctrl-C at any step, resumed by another process, equals a run through in this one."""
    command = [sys.executable, train_charlm.__file__, "--output", str(tmp_path / "parts")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    long = [*SMALL, "--steps", "400", "--log-every", "50", "--checkpoint-every", "5"]
    saved = tmp_path / "parts" / "checkpoint.pt"
    with subprocess.Popen([*command, *long], env=environment) as process:
        while not saved.exists() and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
    assert 5 <= checkpoint(tmp_path / "parts")["step"] < 400
    subprocess.run([*command, "--resume", str(saved)], env=environment, check=True)
    assert train(tmp_path / "whole", *long) == 0
    assert differences(checkpoint(tmp_path / "whole"), checkpoint(tmp_path / "parts")) == []


def test_learns_and_draws(tmp_path):
    assert train(tmp_path, *SMALL, "--steps", "120") == 0
    curves = checkpoint(tmp_path)["curves"]
    assert curves["step"] == list(range(5, 121, 5))
    assert curves["loss"][-1] < curves["loss"][0] - 0.5 and curves["validation"][-1] < curves["validation"][0] - 0.5
    assert all(value > 0 for name in ("grad_norm", "lambda_eff") for value in curves[name])
    picture = matplotlib.image.imread(tmp_path / "curves.png")
    assert picture.shape[1] > 1000 and picture.std() > 0.05  # not blank


def test_decay_is_adamws_while_clipping_is_at_work(tmp_path):
    """The conversion of --weight-decay: with the norm at its limit in every step, lambda_eff is what was asked for."""
    train(tmp_path, *SMALL, "--max-grad-norm", "1e-3")
    assert checkpoint(tmp_path)["curves"]["lambda_eff"][-1] == pytest.approx(0.1, rel=0.01)


def test_l2_reports_no_decay(tmp_path):
    train(tmp_path, *SMALL, "--optimizer", "adam")
    assert all(math.isnan(value) for value in checkpoint(tmp_path)["curves"]["lambda_eff"])


def test_changed_text_is_refused(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("some words, " * 3000)
    train(tmp_path, str(text), *SMALL[1:])
    text.write_text("other words, " * 3000)
    with pytest.raises(SystemExit, match="text has changed"):
        train(tmp_path, "--resume", str(tmp_path / "checkpoint.pt"))


def test_short_text_and_bad_numbers_are_refused(tmp_path):
    (tmp_path / "short.txt").write_text("few words")
    with pytest.raises(SystemExit, match="20,000"):
        train(tmp_path, str(tmp_path / "short.txt"))
    with pytest.raises(SystemExit):
        train(tmp_path, *SMALL, "--log-every", "0")


def test_default_text_is_this_repository():
    names = [str(path.relative_to(charlm.ROOT)) for path in charlm.default_files()]
    assert "README.md" in names and "src/kernels/element.h" in names and "examples/python/charlm.py" in names
    assert not any(name.startswith(("build", ".git")) for name in names)


def test_migration(tmp_path):
    rows = migrate_from_adamw.main([TEXT, "--before", "60", "--after", "30", "--output", str(tmp_path)])
    _, loss_w, loss_s, _, _, ratio, apart = rows[0]
    assert loss_w == loss_s  # the same parameters, the same batch
    assert ratio == pytest.approx(1.0, rel=0.01)
    assert apart < 1e-6  # after a step that moves parameters by about lr = 2e-3
    assert all(row[5] == pytest.approx(1.0, rel=0.25) for row in rows)
    assert abs(rows[-1][1] - rows[-1][2]) < 0.05


def test_mixed_precision():
    assert mixed_precision.main() < 0.01


def process(rank, size, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous{size}", rank=rank, world_size=size)
    params, stats, loss = sharded.main(steps=25)
    torch.save((params, stats["grad_norm"], stats["vbar"], stats["vbar_reference"], loss), f"{folder}/{size}.{rank}")
    dist.destroy_process_group()


def test_sharded_processes_step_like_one(tmp_path):
    for size in (1, 2):
        multiprocessing.spawn(process, (size, str(tmp_path)), nprocs=size)
    whole, first, second = (torch.load(tmp_path / name, weights_only=True) for name in ("1.0", "2.0", "2.1"))
    assert all(torch.equal(a, b) for a, b in zip(first[0], second[0])) and first[1:] == second[1:]
    assert all((a - b).abs().max() < 1e-5 for a, b in zip(whole[0], first[0]))  # gradients were summed in another order
    assert first[1:] == pytest.approx(whole[1:], rel=1e-5) and first[3] > 0  # the reference is the whole model's
