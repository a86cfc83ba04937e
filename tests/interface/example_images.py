# SPDX-License-Identifier: Apache-2.0
"""The demo's program and its tables: what the runs promise of each other, the files it reads and refuses, the picture.
Usage: example_images.py PROGRAM SOURCE_DIR [--cuda]; with --cuda only that libswd's part on a device changes no bit."""
import gzip
import json
import os
import pathlib
import random
import struct
import subprocess
import sys
import tempfile
import unittest

PROGRAM, SOURCE = sys.argv[1], sys.argv[2]
if "--cuda" not in sys.argv:
    os.environ["CUDASIM_DEVICES"] = "0"  # else the program would take a simulated device, which is slow
FILES = {"train-images-idx3-ubyte": (400, 3), "train-labels-idx1-ubyte": (400, 1), "t10k-images-idx3-ubyte": (60, 3),
         "t10k-labels-idx1-ubyte": (60, 1)}


def small(**other):
    """Options of a call of a second."""
    options = {"steps": 40, "train": 300, "validation": 50, "test": 60, "seeds": 1, **other}
    return [word for name, value in options.items() for word in (f"--{name}", str(value))]


SMALL = small()


def program(*arguments):
    return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, check=False)


class Example(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def result(self, *arguments):
        """What a call writes, by kind, strength and seed, without the times."""
        output = self.folder / "out.json"
        done = program("--output", str(output), *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        result = json.loads(output.read_text())
        runs = {(run["kind"], run["strength"], run["seed"]): run for run in result.pop("runs")}
        for run in runs.values():
            del run["step_us"]
        return result, runs

    def refused(self, said, *arguments):
        done = program("--output", str(self.folder / "refused.json"), *arguments)
        self.assertNotEqual(done.returncode, 0)
        self.said = done.stderr
        self.assertIn(said, self.said)
        self.assertFalse((self.folder / "refused.json").exists())

    def idx(self, name, change=lambda data: data, zipped=False):
        """A small file of that name."""
        count, dimensions = FILES[name]
        numbers = random.Random(name)
        sides = [count, 12, 10][:dimensions]
        body = bytes(numbers.randrange(256 if dimensions == 3 else 7) for _ in range(count * (120 if dimensions == 3 else 1)))
        data = change(struct.pack(">BBBB", 0, 0, 8, dimensions) + struct.pack(f">{dimensions}I", *sides) + body)
        path = self.folder / (name + (".gz" if zipped else ""))
        path.write_bytes(gzip.compress(data) if zipped else data)
        return path


class Cuda(Example):
    def test_the_same_bits_as_on_the_cpu(self):
        arguments = [*small(steps=20), "--runs", "swd:0.03", "l2:0.01"]
        self.assertEqual(self.result(*arguments, "--backend", "cuda")[1], self.result(*arguments, "--backend", "cpu")[1])


class Runs(Example):
    def test_what_runs_promise_of_each_other(self):
        _, runs = self.result(*SMALL, "--runs", "adamw:0", "adamw:2", "swd:0.03", "matched:0.03", "relative:2", "adamc:2",
                              "replay:0.03")
        swd, matched, replay = (runs[kind, 0.03, 0] for kind in ("swd", "matched", "replay"))
        self.assertEqual(runs["adamw", 0, 0]["total_decay"], 0)
        self.assertAlmostEqual(matched["total_decay"] / swd["total_decay"], 1, delta=1e-6)
        self.assertEqual(len(set(matched["lambda"])), 1)
        self.assertGreater(len(set(swd["lambda"])), 20)
        self.assertEqual(set(runs["adamw", 2, 0]["lambda"]), {2})
        self.assertEqual(runs["relative", 2, 0]["lambda"], runs["adamw", 2, 0]["lambda"])  # before its reference step
        self.assertEqual(runs["adamc", 2, 0]["lambda"], [2] * 16 + [0.2] * 16 + [0.02] * 8)
        _, other = self.result(*SMALL, "--runs", "swd:0.03", "--first-seed", "100")
        self.assertEqual(replay["lambda"], other["swd", 0.03, 100]["lambda"])
        firsts = {run["norms"][0] for run in runs.values()}
        self.assertEqual(len(firsts), 1)  # the same weights and the same batch

    def test_threads_and_neighbours_change_nothing(self):
        _, one = self.result(*small(seeds=2), "--runs", "swd:0.03", "adamw:1", "--threads", "1")
        _, two = self.result(*small(seeds=2), "--runs", "adamw:1", "matched:0.03", "swd:0.03", "--threads", "3")
        self.assertEqual(one, {key: two[key] for key in one})
        self.assertNotEqual(one["adamw", 1, 0]["losses"], one["adamw", 1, 1]["losses"])

    def test_options_arrive(self):
        base, runs = self.result(*SMALL, "--runs", "adamw:5")
        weights, only = self.result(*SMALL, "--runs", "adamw:5", "--weights-only")
        bare, without = self.result(*SMALL, "--runs", "adamw:5", "--no-norm")
        noisy, noise = self.result(*SMALL, "--runs", "adamw:5", "--label-noise", "1")
        cosine, _ = self.result(*SMALL, "--runs", "adamw:5", "--schedule", "cosine")
        key = ("adamw", 5, 0)
        self.assertEqual(base["parameters"] - bare["parameters"], 16 + 32 + 32)
        self.assertEqual((weights["weights_only"], bare["norm"], noisy["label_noise"], cosine["schedule"]), (True, False, 1, "cosine"))
        self.assertEqual(len({str(r[key]["losses"]) for r in (runs, only, without, noise)}), 4)

    def test_runs_that_cannot_be(self):
        for bad in ("swd", "swd:", "swd:x", "swd:1x", "swd:-1", "swd:nan", "sgd:1"):
            self.refused(f"--runs: {bad} is not KIND:STRENGTH", "--runs", bad)
        self.refused("without its swd run", "--runs", "matched:0.03", "swd:0.01")
        self.refused("there twice", "--runs", "swd:0.01", "swd:0.01")
        self.refused("--batch: more than the training images", "--batch", "200", *small(train=150))


class Files(Example):
    def test_idx_files_gzipped_or_not(self):
        for name in FILES:
            self.idx(name)
        arguments = ["--data", str(self.folder), *SMALL, "--runs", "adamw:1"]
        setting, plain = self.result(*arguments)
        self.assertEqual((setting["height"], setting["width"], setting["data"]), (6, 5, self.folder.name))
        for name in FILES:
            (self.folder / name).unlink()
            self.idx(name, zipped=True)
        self.assertEqual(self.result(*arguments)[1], plain)

    def test_files_that_are_refused(self):
        changes = {"cannot read": None, "not an idx file": lambda d: b"\1" + d[1:], "not as long as its header says": lambda d: d[:-1],
                   "or longer than its header": lambda d: d + b"x", "a side of 0": lambda d: d[:4] + bytes(4) + d[8:],
                   "a side of 4294967295": lambda d: d[:4] + b"\xff" * 4 + d[8:], "or not as long as": lambda d: d[:5]}
        for name in FILES:
            self.idx(name)
        for broken in FILES:
            for said, change in changes.items():
                (self.folder / broken).unlink()
                if change:
                    self.idx(broken, change)
                self.refused(said, "--data", str(self.folder), *SMALL)
                self.assertIn(f"{self.folder}/{broken}", self.said)
                self.idx(broken)
        self.refused("hold 400 images, but 450 are wanted", "--data", str(self.folder), *small(train=400))
        self.idx("t10k-labels-idx1-ubyte", lambda d: d[:4] + struct.pack(">I", 59) + d[8:-1])
        self.refused("other numbers of images and of labels", "--data", str(self.folder), *SMALL)

    def test_a_gzipped_file_that_is_cut_or_changed(self):
        paths = [self.idx(name, zipped=True) for name in FILES]
        path = paths[2]
        whole = path.read_bytes()
        for bad in (whole[:-12], whole[:-6] + bytes([whole[-6] ^ 1]) + whole[-5:]):  # the stream, its checksum
            path.write_bytes(bad)
            self.refused("damaged, or", "--data", str(self.folder), *SMALL)


class Tables(Example):
    def test_a_quick_demo(self):
        done = subprocess.run([sys.executable, f"{SOURCE}/examples/images/run.py", PROGRAM, str(self.folder), "--quick"],
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        for said in ("these are glyphs that the program makes", "SWD 0.03 minus AdamW at the same total decay:",
                     "(= SWD 0.03)", "Best of each by validation loss: SWD 0.03 minus AdamW", "of 2 seeds: "):
            self.assertIn(said, done.stdout)
        self.assertEqual((self.folder / "images.png").read_bytes()[:4], b"\x89PNG")

    def test_differences(self):
        sys.path.insert(0, f"{SOURCE}/examples/images")
        import results
        ours, theirs = ([{"seed": s, "x": v} for s, v in enumerate(values)] for values in ([1, 2, 3, 9], [2, 3.5, 4.5]))
        found = results.Difference(ours, theirs, "x")
        self.assertEqual((found.seeds, found.lower, found.is_tie), (3, 3, False))
        self.assertEqual(found.text(1, 2), "-1.333 +- 0.167, lower in 3 of 3 seeds: lower")
        self.assertEqual(results.Difference(ours[:1], theirs, "x").text(1, 2), "-1.000, one seed: no verdict")
        wide = [{"seed": s, "x": v} for s, v in enumerate([0, 4, 2])]
        self.assertTrue(results.Difference(wide, theirs, "x").is_tie)
        with self.assertRaises(ValueError):
            results.Difference(ours[:1], theirs[1:], "x")


class Experiments(Example):
    """experiments/images: what is there is not run again, more seeds add to it, and the tables are of what is there."""

    def test_more_seeds(self):
        sys.path[:0] = [f"{SOURCE}/examples/images", f"{SOURCE}/experiments/images"]
        import grow
        import tables
        grow.SETTINGS["half"] = (["swd:0.03", "matched:0.03"], [*small()[:-2]])
        seeds, run = [], grow.run
        grow.run = lambda program, data, name, seed: seeds.append(seed) or run(program, data, name, seed)
        arguments = [PROGRAM, "", "--settings", "half", "--results", str(self.folder / "results")]
        path = self.folder / "results" / "half.json"
        grow.main([*arguments, "--seeds", "0:2"])
        first = json.loads(path.read_text())
        grow.main([*arguments, "--seeds", "1:3"])
        self.assertEqual(seeds, [0, 1, 2])
        runs = json.loads(path.read_text())["runs"]
        self.assertEqual([run["seed"] for run in runs], [0, 1, 2] * 2)
        self.assertEqual([run for run in runs if run["seed"] < 2], first["runs"])
        self.assertNotIn("norms", runs[0])
        page = self.folder / "page.md"
        page.write_text("before\n<!-- table half -->\nold\n<!-- end -->\nafter\n")
        tables.main(["--results", str(path.parent), "--page", str(page)])
        text = page.read_text()
        self.assertTrue(text.startswith("before\n<!-- table half -->\n") and text.endswith("<!-- end -->\nafter\n"))
        self.assertIn("; 3 seeds.", text)
        self.assertIn("at equal total decay", text)
        self.assertNotIn("old", text)


if __name__ == "__main__":
    only_cuda = sys.argv[3:] == ["--cuda"]
    cases = [Cuda] if only_cuda else [Runs, Files, Tables, Experiments]
    suite = unittest.TestSuite(unittest.defaultTestLoader.loadTestsFromTestCase(case) for case in cases)
    sys.exit(not unittest.TextTestRunner(verbosity=2).run(suite).wasSuccessful())
