# SPDX-License-Identifier: Apache-2.0
"""What becomes of one generated mutant: killed by a test, of the same machine code as before, not built, or a survivor of the whole
quick suite. Differs from scratch.killer, which asks the tests that a mutant names, in that all tests are built before, so that a
mutant costs one build of the library."""
import dataclasses
import functools
import hashlib
import re
import subprocess
import time
import xml.etree.ElementTree

import areas
from mutants import ROOT
from python_scratch import SOURCE, TESTS, PythonScratch
from scratch import DoesNotBuild, Scratch

QUICK, LONG = 10, 300  # seconds; what takes longer is left to the long tiers
STRICT = (("CUDASIM_RACECHECK", "strict"),)
# What lives is judged once more, where a CUDA runtime is there: a race, or an acquire that is missing, shows in no result, and some
# lines of the host are for plans of CUDA.
AGAIN = {
    "cuda": (("law_test", "pieces_test", "cuda_foreign_test", "record_fold_test"), STRICT),
    "host": (("cuda_foreign_test", "law_test", "record_fold_test", "cuda_equality_test"), ()),
}
KILLED, SURVIVES, SAME, UNBUILT = "killed", "survives", "same code", "does not build"


@functools.cache
def reads_sources(test):
    """Whether a test program has the library's headers of pure functions in it, and has to be built anew."""
    return any('#include "kernels/' in path.read_text(encoding="utf-8") for path in (ROOT / "tests").glob(f"*/{test}.cpp"))


class Compiled:
    """Of C++ and CUDA. The library must not depend on where or when it is built: the same code is told by its bytes."""
    def __init__(self, folder, jobs, cudasim):
        self.scratch = Scratch(folder, jobs, cudasim)
        self.code = {}  # of the library as it is, by kind
        self.slow = set()

    def library(self, kind):
        return hashlib.sha256((self.scratch.folder / kind / "libswd.so").read_bytes()).digest()

    def known(self, mutant, test):
        key = (mutant.kind, test, mutant.env)
        return key in self.scratch.seconds or key in self.slow and test not in mutant.kill

    def measure(self, mutant, test):
        """How long a test takes on the library as it is, if it is quick."""
        if self.known(mutant, test):
            return
        key = (mutant.kind, test, mutant.env)
        self.scratch.build(mutant.kind, ["swd", test])
        start = time.monotonic()
        limit = LONG if test in mutant.kill else QUICK
        passed = self.scratch.passes(mutant, test, limit)
        seconds = time.monotonic() - start
        if not passed and seconds < limit:
            raise SystemExit(f"{test} ({mutant.kind}) fails on the library without any mutant")
        if passed:
            self.scratch.seconds[key] = seconds
            self.slow.discard(key)
        else:
            self.slow.add(key)

    def prepare(self, mutant, tests):
        for test in tests:
            self.measure(mutant, test)
        self.scratch.build(mutant.kind, ["swd"])
        self.code[mutant.kind] = self.library(mutant.kind)

    def fails(self, mutant, test):
        """Whether a test notices: it may fail, or no longer compile or end."""
        if reads_sources(test):
            self.scratch.build(mutant.kind, [test])
        return not self.scratch.passes(mutant, test, 15 + 10 * self.scratch.seconds[mutant.kind, test, mutant.env])

    def groups(self, mutant, everything):
        """The tests, best first, in groups. Before each, those of its tests that nobody has built yet are built and timed."""
        rest = [test for test in self.scratch.tests(mutant) if test not in mutant.kill] if everything else []
        left, out = [list(mutant.kill[:2]), list(mutant.kill[2:]), rest], []
        while left:
            group = left.pop(0)
            self.prepare(mutant, group)
            group = [test for test in group if (mutant.kind, test, mutant.env) not in self.slow]
            out += group if left else sorted(group, key=lambda test: self.scratch.seconds[mutant.kind, test, mutant.env])
            if not all(self.known(mutant, test) for tests in left for test in tests):
                yield out
                out = []
        yield out

    def verdict(self, mutant, everything):
        for group in self.groups(mutant, everything):
            self.scratch.write(mutant.file, mutant.apply((ROOT / mutant.file).read_text(encoding="utf-8")).encode("utf-8"))
            try:
                self.scratch.build(mutant.kind, ["swd"])
                if self.library(mutant.kind) == self.code[mutant.kind]:
                    return SAME, None
                for test in group:
                    if self.fails(mutant, test):
                        return KILLED, test
            except DoesNotBuild:
                return UNBUILT, None
            finally:
                self.scratch.restore(mutant.file)
        return SURVIVES, None


class Python:
    """Of the Python package. One process runs many test files: importing torch takes longer than most of them."""
    # Processes of their own, histories, mypy, the wheel as installed.
    SLOW = ("test_sharded", "test_histories", "test_neutral", "test_types", "test_leak", "test_package", "test_import", "test_cuda",
            "test_cuda_arrays", "test_cuda_waits", "test_jax", "test_jax_cuda", "test_jax_optax", "test_jax_sharded")

    def __init__(self, folder, python):
        self.scratch = PythonScratch(folder, python)
        self.seconds = {}  # of each test file

    def run(self, tests, limit):
        """(whether all pass, the report)"""
        report = self.scratch.folder / "report.xml"
        report.unlink(missing_ok=True)
        try:
            done = self.scratch.start([TESTS / f"{test}.py" for test in tests], limit, f"--junitxml={report}")
        except subprocess.TimeoutExpired:
            return False, None
        return done.returncode == 0, report

    @staticmethod
    def cases(report):
        tree = xml.etree.ElementTree.parse(report) if report and report.exists() else None
        return list(tree.iter("testcase")) if tree else []

    def prepare(self, tests):
        tests = [test for test in tests if test not in self.seconds]
        if not tests:
            return
        passed, report = self.run(tests, 1800)
        if not passed:
            raise SystemExit(f"one of {', '.join(tests)} fails on the package without any mutant: {report}")
        self.seconds.update(dict.fromkeys(tests, 0.0))
        for case in self.cases(report):
            self.seconds[case.get("classname").split(".")[-1]] += float(case.get("time"))

    def verdict(self, mutant, everything):
        path = ROOT / mutant.file
        original = path.read_text(encoding="utf-8")
        try:
            compile(mutant.apply(original), mutant.file, "exec")
        except SyntaxError:
            return UNBUILT, None
        others = sorted(path.stem for path in TESTS.glob("test_*.py") if path.stem not in self.SLOW + mutant.kill)
        for group in (mutant.kill, others) if everything else (mutant.kill,):
            self.prepare(group)
            if group is others:
                group = sorted((test for test in others if self.seconds[test] <= QUICK), key=self.seconds.get)
            self.scratch.write(path, mutant.apply(original))
            try:
                passed, report = self.run(group, 60 + 5 * sum(self.seconds[test] for test in group))
            finally:
                self.scratch.write(path, original)
            if not passed:
                failed = [case.get("classname") or case.get("name") for case in self.cases(report)
                          if case.find("failure") is not None or case.find("error") is not None]
                return KILLED, re.sub(r".*\.", "", failed[0]) if failed else " ".join(group)
        return SURVIVES, None


class Judge:
    def __init__(self, args):
        self.args, self.made = args, {}

    def of(self, area):
        if area not in self.made:
            folder = self.args.folder
            if area == "python":
                self.made[area] = Python(folder / "python", self.args.python)
            elif area == "cuda":  # apart: else every header that was changed and restored would be compiled by nvcc again
                self.made[area] = Compiled(folder / "device", self.args.jobs, self.args.cudasim)
            else:
                self.made[area] = Compiled(folder, self.args.jobs, None)
                self.made.update(dict.fromkeys(("shared headers", "cpu", "host"), self.made[area]))
        return self.made[area]

    def verdict(self, mutant):
        """(verdict, test that fails, seconds)"""
        area, start = areas.area_of(mutant.file), time.monotonic()
        judge = self.of(area)
        verdict = judge.verdict(mutant, not self.args.own_tests)
        if verdict[0] == SURVIVES and area in AGAIN and self.args.cudasim:
            kill, env = AGAIN[area]
            verdict = self.of("cuda").verdict(dataclasses.replace(mutant, kill=kill, env=env), False)
        return *verdict, round(time.monotonic() - start, 1)
