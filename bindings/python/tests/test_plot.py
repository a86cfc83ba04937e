# SPDX-License-Identifier: Apache-2.0
"""swd.plot: what is drawn is what was logged, from every form that records come in, and bad ones are named."""
import json
import math
import subprocess
import sys

import pytest
import swd.plot
import swd.torch
import torch


def lines(figure, panel):
    """Label, x and y of the lines of a panel."""
    return [(line.get_label(), list(line.get_xdata()), list(line.get_ydata())) for line in figure.axes[panel].lines]


@pytest.fixture
def log(network):
    model = network()
    optimizer = swd.torch.AdamS(model.parameters(), lr=1e-3, decay="relative", weight_decay=0.1)
    records = []
    for step in range(5):
        model(torch.ones(3, 7)).square().mean().backward()
        if step == 2:
            next(model.parameters()).grad[0] = math.inf
        optimizer.step()
        optimizer.zero_grad()
        records.append({"step": 10 * step, **optimizer.log()})
    return records


def test_what_is_drawn_is_what_adams_logged(log, tmp_path):
    figure = swd.plot.draw(log, tmp_path / "telemetry.png", title="a run")
    assert (tmp_path / "telemetry.png").read_bytes()[:4] == b"\x89PNG"
    norms = [record["grad_norm"] if math.isfinite(record["grad_norm"]) else None for record in log]
    (_, x, y), = lines(figure, 0)
    assert x == [0, 10, 20, 30, 40] and [value if value == value else None for value in y] == norms
    assert norms[2] is None and None not in norms[:2]
    assert lines(figure, 1)[0][2] == [record["lambda_eff"] for record in log]
    assert lines(figure, 2)[0][2] == [record["largest_decay"] for record in log]
    assert lines(figure, 3)[0][2] == [0, 0, 1, 1, 1]


def test_records_without_a_step_lie_at_the_steps_applied_and_skipped(log):
    figure = swd.plot.draw([{k: v for k, v in record.items() if k != "step"} for record in log])
    assert lines(figure, 0)[0][1] == [1, 2, 3, 4, 5]


def test_only_skipped_is_summed_up():
    figure = swd.plot.draw([{"grad_norm": 1.0, "skipped": value} for value in (0, 1, 0, 1)])
    assert lines(figure, 3)[0][1:] == ([0, 1, 2, 3], [0, 1, 1, 2])


def test_groups_and_runs_have_their_names(tmp_path):
    with open(tmp_path / "one.jsonl", "w", encoding="utf-8") as file:
        for step in range(3):
            file.write(json.dumps({"step": step, "grad_norm": 1.0 + step, "lambda_eff/0": 0.1, "lambda_eff/1": 0.2}) + "\n\n")
    figure = swd.plot.draw({"one": tmp_path / "one.jsonl", "two": [{"grad_norm": 5.0, "lambda_eff": (0.3, 0.4)}]})
    assert [(label, y) for label, _, y in lines(figure, 0)] == [("one", [1, 2, 3]), ("two", [5])]
    assert [label for label, _, _ in lines(figure, 1)] == ["one, group 0", "one, group 1", "two, group 0", "two, group 1"]
    assert lines(figure, 2) == [] and figure.axes[2].texts[0].get_text() == "not in the records"


def test_stats_of_a_plan_and_of_adams_are_records(network):
    model = network()
    optimizer = swd.torch.AdamS([{"params": [param]} for param in model.parameters()], lr=1e-3)
    model(torch.ones(3, 7)).sum().backward()
    optimizer.step()
    stats = optimizer.stats()
    figure = swd.plot.draw([stats])
    assert [y for _, _, y in lines(figure, 1)] == [[value] for value in stats["lambda_eff"]]
    plan = swd.Plan([2], threads=1)
    workspace = swd.host_bytes(plan.workspace_bytes)
    plan.init_workspace(workspace)
    assert lines(swd.plot.draw([plan.stats(workspace)]), 3)[0][1:] == ([0], [0])


@pytest.mark.parametrize("records, error, said", [
    ([], ValueError, "records: no record"), ({}, ValueError, "no run"), ({"a": []}, ValueError, "run 'a': no record"),
    ([{"loss": 1.0}], ValueError, "no record has a member"), ([3], TypeError, "a int is neither"),
])
def test_bad_records_are_named(records, error, said):
    with pytest.raises(error, match=said):
        swd.plot.draw(records)


@pytest.mark.parametrize("line, said", [("{", "line 2: "), ("[1]", "line 2: not an object")])
def test_bad_lines_are_named(tmp_path, line, said):
    (tmp_path / "log.jsonl").write_text('{"grad_norm": 1}\n' + line + "\n", encoding="utf-8")
    with pytest.raises(ValueError, match=said):
        swd.plot.draw(tmp_path / "log.jsonl")


def test_without_matplotlib_it_says_what_to_install():
    code = ("import sys; sys.modules['matplotlib'] = None; import swd.plot\n"
            "try: swd.plot.draw([{'grad_norm': 1}])\nexcept ImportError as e: print(e)")
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == "swd.plot needs matplotlib: pip install libswd[plot]\n"
