# SPDX-License-Identifier: Apache-2.0
"""mypy --strict on the installed package, and on a file as users write it, which sees what py.typed lets it see."""
import os
import subprocess
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
MISTAKES = """
import torch
from swd.torch import AdamS
import swd.jax
optimizer = AdamS([torch.zeros(1)], max_grad_norm="1")
loss: str = optimizer.vbar()
swd.Plan([1], threads=None)
swd.jax.adams(1e-3, max_grad_norm="1").stats(optimizer)
"""


def check(folder, *modules):
    """mypy's output; modules are looked for in tests and in the folder, where its cache is, too."""
    arguments = [argument for module in modules for argument in ("-p" if module == "swd" else "-m", module)]
    result = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", os.path.join(HERE, "mypy.ini"), "--cache-dir", str(folder / "cache"),
         *arguments], env={**os.environ, "MYPYPATH": f"{HERE}{os.pathsep}{folder}"}, cwd=str(folder), capture_output=True,
        text=True, check=False)
    assert result.stderr == ""
    return result.stdout


@pytest.mark.long
def test_annotations(tmp_path):
    assert check(tmp_path, "swd", "typed_use").startswith("Success: no issues found in ")
    (tmp_path / "mistakes.py").write_text(MISTAKES, encoding="utf-8")
    found = [line.split(" error: ")[1].split("[")[-1] for line in check(tmp_path, "mistakes").splitlines()[:-1]]
    assert found == ["arg-type]", "assignment]", "arg-type]", "arg-type]", "arg-type]"]
