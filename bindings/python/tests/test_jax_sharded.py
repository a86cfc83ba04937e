# SPDX-License-Identifier: Apache-2.0
"""swd.jax over 2 and 4 host devices: equal to one device within 1e-6. The cases are in jax_devices.py."""
import json
import os
import subprocess
import sys

import pytest

BOUND = 1e-6


@pytest.mark.parametrize("devices", [2, 4])
def test_devices_do_what_one_does(devices):
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "jax_devices.py")
    run = subprocess.run([sys.executable, "-W", "error", script, str(devices)], capture_output=True, text=True, timeout=300,
                         check=False)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    for case, numbers in found.items():
        print(f"[  FIGURE  ] {devices} devices, {case}: " + " ".join(f"{n:.1e}" for n in numbers))
    assert {case: numbers for case, numbers in found.items() if not max(numbers) <= BOUND} == {}
    assert len(found) == 10
