# SPDX-License-Identifier: Apache-2.0
"""The JAX example learns, and says so. Run by scripts/test_jax.sh."""
import train


def test_the_example_learns(capsys):
    assert train.main() < 0.01
    assert capsys.readouterr().out.count("step ") == 4
