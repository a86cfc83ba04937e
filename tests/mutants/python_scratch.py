# SPDX-License-Identifier: Apache-2.0
"""A copy of the Python package in which one file at a time is changed; the tests are those of the tree. Used by run.py. The
library is that of the wheel which scripts/test_python.sh built: a mutant of Python needs no build."""
import os
import pathlib
import shutil
import subprocess
import time
import zipfile

from mutants import ROOT

SOURCE, TESTS = ROOT / "bindings" / "python", ROOT / "bindings" / "python" / "tests"


class PythonScratch:
    def __init__(self, folder, python):
        self.folder, self.python = folder, python
        self.seconds = {}  # of each test that passed on the package as it is
        wheels = list((ROOT / "build" / "python" / "wheel").glob("libswd-*.whl"))
        if not wheels:
            raise SystemExit("no wheel in build/python/wheel: run scripts/test_python.sh")
        shutil.rmtree(folder, ignore_errors=True)
        with zipfile.ZipFile(wheels[0]) as wheel:
            wheel.extractall(folder)
        for path in (SOURCE / "swd").rglob("*.py"):
            self.write(path, path.read_text(encoding="utf-8"))

    def write(self, path, text):
        target = self.folder / path.relative_to(SOURCE)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")

    def start(self, files, limit, *options):
        """pytest on test files, until the first failure."""
        command = [self.python, "-m", "pytest", "-q", "-x", "-c", SOURCE / "pytest.ini", "--rootdir", SOURCE, "-p", "no:cacheprovider",
                   "-m", "not cuda", *options, *files]
        env = dict(os.environ, PYTHONPATH=str(self.folder), PYTHONDONTWRITEBYTECODE="1", OMP_NUM_THREADS="1")  # torch's own
        return subprocess.run(command, env=env, cwd=self.folder, timeout=limit, check=False, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)

    def passes(self, test, limit):
        try:
            return self.start([TESTS / f"{test}.py"], limit).returncode == 0
        except subprocess.TimeoutExpired:
            return False

    def prepare(self, test):
        if test not in self.seconds:
            start = time.monotonic()
            if not self.passes(test, 1800):
                raise SystemExit(f"{test} fails on the package without any mutant")
            self.seconds[test] = time.monotonic() - start

    def killer(self, mutant, everything):
        """The test that notices the mutant, or None. Of others than its own, those of swd.torch, if `everything`."""
        others = ["test_orders", "test_histories"] if everything else []
        path = ROOT / pathlib.Path(mutant.file)
        original = path.read_text(encoding="utf-8")
        for test in dict.fromkeys([*mutant.kill, *others]):
            self.prepare(test)
            self.write(path, mutant.apply(original))
            try:
                if not self.passes(test, 60 + 10 * self.seconds[test]):
                    return test
            finally:
                self.write(path, original)
        return None
