# SPDX-License-Identifier: Apache-2.0
"""experiments/text: what trainings have in common, what is not run again, the table, and that the warning's step is AdamS's
but for its rounding. Run by scripts/test_python_examples.sh."""
import json
import pathlib
import subprocess
import sys

import pytest
import swd.torch
import torch

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import report  # noqa: E402
import train  # noqa: E402
from nearest import NearestAdamS  # noqa: E402

SMALL = ["--width", "16", "--layers", "1", "--heads", "2", "--context", "8", "--steps", "40", "--lr", "1e-2"]


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text"
    path.write_bytes(b"".join(b"%d times %d is %d.\n" % (i, j, i * j) for i in range(50) for j in range(50)))
    return str(path)


def runs(path):
    return {(run["kind"], run["seed"]): run for run in json.loads(path.read_text())["runs"]}


def test_trainings_add_up_and_make_the_table(tmp_path, text, monkeypatch):
    made, run = [], train.run
    monkeypatch.setattr(train, "CURVE", 10)
    monkeypatch.setattr(train, "run", lambda swd, o, method, seed, text: made.append((method, seed)) or run(swd, o, method, seed, text))
    path = tmp_path / "results" / "small.json"
    arguments = [text, *SMALL, "--results", str(path)]
    train.main([*arguments, "--seeds", "0:1", "--methods", "fp32", "tiny8"])
    first = runs(path)
    train.main([*arguments, "--seeds", "0:1"])
    train.main([*arguments, "--seeds", "0:2", "--methods", "fp32", "tiny8"])
    assert made == [("fp32", 0), ("tiny8", 0), ("mixed16", 0), ("compact8", 0), ("nearest", 0), ("fp32", 1), ("tiny8", 1)]
    all_runs = runs(path)
    assert {key: all_runs[key] for key in first} == first
    assert all(run["train_loss"] < run["curve"][0] - 0.2 for run in all_runs.values())
    assert len({run["validation_loss"] for run in all_runs.values()}) == 7
    with pytest.raises(SystemExit, match="another setting"):
        train.main([*arguments, "--seeds", "2:3", "--lr", "2e-2"])

    page, picture, pair = tmp_path / "page.md", tmp_path / "picture.png", tmp_path / "pair.json"
    page.write_text("before\n<!-- table small -->\nold\n<!-- end -->\n<!-- table pair -->\n<!-- end -->\nafter\n")
    result = json.loads(path.read_text())
    train.grow.write(pair, {**result, "runs": [run for run in result["runs"] if run["kind"] in ("fp32", "tiny8")]})
    report.main([str(pair), "--page", str(page)])
    report.main([str(path), "--page", str(page), "--picture", str(picture)])
    small, both = (part.split("<!-- end -->")[0] for part in page.read_text().split("<!-- table ")[1:])
    rows, pairs = ({line.split(" | ")[0][2:]: line.split(" | ") for line in part.splitlines() if line[:2] == "| "} for part in (small, both))
    assert rows["fp32"][1] == "12" and rows["mixed16"][1] == "8" and rows["all bf16, rounded to nearest"][1] == "6"
    assert 5 < float(rows["compact8"][1]) < 5.2 and 4 < float(rows["tiny8"][1]) < 4.2
    differences = [all_runs["tiny8", seed]["train_loss"] - all_runs["fp32", seed]["train_loss"] for seed in (0, 1)]
    assert "; 1 seed." in small and rows["tiny8"][4] == f"{differences[0]:+.4f}, one seed: no verdict"  # what all methods have
    assert "; 2 seeds." in both and pairs["tiny8"][4].startswith(f"{sum(differences) / 2:+.4f} +- ")
    assert picture.read_bytes()[:4] == b"\x89PNG"


def test_all_methods_start_alike_and_see_the_same(text):
    o = train.parse([*SMALL, "--steps", "1"])
    found = [train.run(swd, o, method, 5, train.charlm.Text([text], "cpu")) for method in train.METHODS]
    assert len({run["train_loss"] for run in found}) == 1
    assert len({run["validation_loss"] for run in found}) > 1


def trained(make, dtype):
    """Parameters after 60 steps, under clipping for half of them."""
    draw = torch.Generator().manual_seed(3)
    params = [torch.nn.Parameter(torch.randn(shape, generator=draw).to(dtype)) for shape in ((40, 30), (30,))]
    optimizer = make([{"params": params[:1], "weight_decay": 3e-3}, {"params": params[1:], "weight_decay": 0.0}])
    for step in range(60):
        for param in params:
            param.grad = ((1 if step < 30 else 0.01) * torch.randn(param.shape, generator=draw)).to(dtype)
        optimizer.step()
    return torch.cat([param.detach().flatten() for param in params]), optimizer


def test_the_warning_is_adams_but_for_its_rounding():
    options = {"lr": 1e-2, "betas": train.BETAS, "max_grad_norm": 1.0}
    ours, _ = trained(lambda groups: swd.torch.AdamS(groups, **options), torch.float32)
    theirs, _ = trained(lambda groups: NearestAdamS(groups, **options), torch.float32)
    torch.testing.assert_close(theirs, ours, rtol=1e-6, atol=1e-6)
    rounded, optimizer = trained(lambda groups: NearestAdamS(groups, **options), torch.bfloat16)
    assert (rounded.float() - ours).abs().max() > 1e-3
    assert {tensor.dtype for state in optimizer.state.values() for tensor in state.values()} == {torch.bfloat16}
    assert optimizer.memory() == {"parameters": 2, "states": 4}


def test_a_library_that_was_built_is_found():
    """What --library does, here and in bench/: in a process of its own, as this one has loaded the package."""
    code = f"import package; print(package.load({swd.library_path!r}).library_path)"
    found = subprocess.run([sys.executable, "-c", code], cwd=train.ROOT / "bench/peers", capture_output=True, text=True, check=True)
    assert found.stdout.strip() not in ("", swd.library_path)
