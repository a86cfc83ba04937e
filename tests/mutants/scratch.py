# SPDX-License-Identifier: Apache-2.0
"""A copy of the tree in which one file at a time is changed, with its builds. Used by run.py.

The tests are built once, but for those of the codes: they link the shared library, so a mutant costs only the objects that it touches. Optimisation
is low, because building takes longer than testing."""
import os
import pathlib
import re
import subprocess
import time

from mutants import ROOT

FLAGS = {"cpu": "-O1 -g0", "wide": "-O2 -g0", "cuda": "-O1 -g0", "old_ptx": "-O1 -g0"}  # gcc contracts from -O2 on
# What ctest sets for a test program, beside the backend.
NEEDS = {
    "simulator_afresh_test": {"CUDASIM_DEVICES": "2"},
    "simulator_large_test": {"CUDASIM_ENDS": "8", "CUDASIM_POISON": "0", "CUDASIM_MEM_MB": "140000"},
}
# Leaves the wide instruction sets out: what cmake/isa.cmake would find.
NARROW = [f"-DSWD_loops_v{level}_option_{tried}=OFF" for level in (3, 4) for tried in (1, 2, 3)]
OPTIONS = {
    "cpu": ["-DSWD_CUDA=OFF", *NARROW],
    "wide": ["-DSWD_CUDA=OFF"],
    "cuda": ["-DSWD_CUDA=ON", "-DSWD_CUDART=shared", "-DSWD_CUDA_ARCHITECTURES=90-virtual", *NARROW],
    "old_ptx": ["-DSWD_CUDA=ON", "-DSWD_CUDART=shared", "-DSWD_CUDA_ARCHITECTURES=75-virtual", *NARROW],
}


class DoesNotBuild(Exception):
    pass


class Scratch:
    def __init__(self, folder, jobs, cudasim):
        self.source = folder / "src"
        self.folder = folder
        self.jobs = jobs
        self.cudasim = cudasim
        self.seconds = {}  # of each test that passed on the library as it is, by (kind, test, env)
        self.configured = set()
        self.copy_tree()

    def copy_tree(self):
        """Brings the copy up to date; files that are the same keep their time, so that nothing is built anew."""
        listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True, text=True)
        for name in listed.stdout.splitlines():
            if (ROOT / name).is_file():
                self.write(name, (ROOT / name).read_bytes())
                os.chmod(self.source / name, os.stat(ROOT / name).st_mode)

    def write(self, name, content):
        target = self.source / name
        if target.exists() and target.read_bytes() == content:
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)

    def restore(self, name):
        self.write(name, (ROOT / name).read_bytes())

    def build(self, kind, targets):
        folder = self.folder / kind
        if kind not in self.configured:
            self.quietly(["cmake", "-S", self.source, "-B", folder, "-DCMAKE_BUILD_TYPE=None", f"-DCMAKE_CXX_FLAGS={FLAGS[kind]}",
                          f"-DCMAKE_C_FLAGS={FLAGS[kind]}", "-DSWD_BUILD_TESTS=ON", "-DSWD_BUILD_EXAMPLES=OFF", "-DSWD_BUILD_BENCH=OFF",
                          *OPTIONS[kind]])
            self.configured.add(kind)
        self.quietly(["cmake", "--build", folder, "-j", str(self.jobs), "--target", *targets])

    @staticmethod
    def quietly(command):
        done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode != 0:
            raise DoesNotBuild(done.stdout[-3000:])

    def tests(self, mutant):
        """All test programs of the mutant's backend, its own first."""
        other = ("cpu_",) if mutant.backend == "cuda" else ("cuda_", "simulator_")
        names = {path.stem for path in pathlib.Path(ROOT, "tests").glob("*/*_test.cpp")}
        rest = sorted(name for name in names - set(mutant.kill) if not name.startswith(other))
        return [*mutant.kill, *rest]

    def passes(self, mutant, test, limit):
        """Whether a test program passes; one that takes longer than `limit` seconds does not."""
        env = dict(os.environ, SWD_TEST_BACKEND=mutant.backend, **NEEDS.get(test, {}), **dict(mutant.env))
        if mutant.backend == "cuda" and self.cudasim:
            env["LD_LIBRARY_PATH"] = str(self.cudasim)
        program = self.folder / mutant.kind / "tests" / test
        try:
            done = subprocess.run([program, "--gtest_fail_fast"], env=env, cwd=program.parent, timeout=limit, check=False,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        except subprocess.TimeoutExpired:
            return False
        # What a checker finds without failing the call it prints.
        return done.returncode == 0 and not re.search(r"cudasim: (?!.*no leaks)", done.stdout)

    def prepare(self, mutant, test):
        """Builds a test and sees it pass on the library as it is: one that fails anyway would kill everything."""
        key = (mutant.kind, test, mutant.env)
        if key in self.seconds:
            return
        self.build(mutant.kind, ["swd", test])
        start = time.monotonic()
        if not self.passes(mutant, test, 1800):
            raise SystemExit(f"{test} ({mutant.kind}) fails on the library without any mutant")
        self.seconds[key] = time.monotonic() - start

    def killer(self, mutant, everything):
        """The test that notices the mutant, or None. Tests beyond the mutant's own only if `everything`."""
        for test in self.tests(mutant) if everything else mutant.kill:
            self.prepare(mutant, test)
            original = (ROOT / mutant.file).read_text(encoding="utf-8")
            self.write(mutant.file, mutant.apply(original).encode("utf-8"))
            try:
                self.build(mutant.kind, ["swd", test])  # some tests include the headers of pure functions
                if not self.passes(mutant, test, 60 + 10 * self.seconds[(mutant.kind, test, mutant.env)]):
                    return test
            finally:
                self.restore(mutant.file)
        return None
