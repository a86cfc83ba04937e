# SPDX-License-Identifier: Apache-2.0
"""The list of mutants: one-line changes to the library that the tests must notice. Read by run.py.

Each [[mutant]] of the .toml files beside this one has
    file  the file that is changed          old   text that occurs in it exactly once
    new   what takes its place              why   what would be wrong
    kill  the test programs that should fail, tried first; of Python, files of its tests
    wide  true: needs the builds for wide instruction sets, which the others leave out to save time
    old_ptx  true: needs a build of PTX for sm_75 alone, as a device may get it that came later
    env   environment of the tests, for example a checker that has to be on
Mutants of src/kernels/cuda are for the CUDA backend, of bindings/python for the Python package, all others for the CPU backend."""
import dataclasses
import pathlib
import tomllib

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
EQUIVALENT = HERE / "equivalent.toml"


@dataclasses.dataclass(frozen=True)
class Mutant:
    file: str
    old: str
    new: str
    why: str
    kill: tuple
    wide: bool = False
    old_ptx: bool = False
    env: tuple = ()

    @property
    def kind(self):
        """The build it needs: cpu, wide, cuda or old_ptx; or python, which needs none."""
        if self.file.startswith("bindings/python/"):
            return "python"
        if self.old_ptx:
            return "old_ptx"
        if self.file.startswith("src/kernels/cuda/") or any(t.startswith(("cuda_", "simulator_")) for t in self.kill):
            return "cuda"
        return "wide" if self.wide else "cpu"

    @property
    def backend(self):
        return {"wide": "cpu", "old_ptx": "cuda"}.get(self.kind, self.kind)

    def apply(self, text):
        if text.count(self.old) != 1:
            raise ValueError(f"{self.file}: occurs {text.count(self.old)} times, not once: {self.old!r}")
        return text.replace(self.old, self.new)


def rows(path):
    out = []
    for row in tomllib.loads(path.read_text(encoding="ascii"))["mutant"]:
        row["kill"] = tuple(row.get("kill", ()))
        row["env"] = tuple(sorted(row.get("env", {}).items()))
        out.append(Mutant(**row))
    return out


def load():
    return [mutant for path in sorted(HERE.glob("*.toml")) if path != EQUIVALENT for mutant in rows(path)]


def load_equivalent():
    """Changes that no result can show; `why` says why not, and nothing has to fail."""
    return rows(EQUIVALENT)


def problems(mutants):
    """What makes the list itself wrong: edits that no longer apply, tests that are not there, doubles."""
    out, seen = [], set()
    for mutant in mutants:
        try:
            mutant.apply((ROOT / mutant.file).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            out.append(str(error))
        for test in mutant.kill:
            places = [ROOT / "bindings/python/tests" / f"{test}.py"] if mutant.kind == "python" else (ROOT / "tests").glob(f"*/{test}.cpp")
            if not any(place.exists() for place in places):
                out.append(f"{mutant.file}: no test {test} ({mutant.why})")
        if (mutant.file, mutant.old, mutant.new) in seen:
            out.append(f"{mutant.file}: listed twice: {mutant.old!r}")
        seen.add((mutant.file, mutant.old, mutant.new))
    return out


def sample(mutants, count):
    """The same ones each time, spread over the whole list; none whose test takes minutes."""
    mutants = [mutant for mutant in mutants if "test_sharded" not in mutant.kill]
    count = min(count, len(mutants))
    return [mutants[i * len(mutants) // count] for i in range(count)]
