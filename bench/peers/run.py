# SPDX-License-Identifier: Apache-2.0
"""Times libswd and its peers on the same memory in one process: first the same mathematics on a small problem, then
steps in turns, so that both see the same machine; medians are compared."""
import argparse
import gc
import json
import os
import pathlib
import re
import statistics
import sys
import time

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
os.environ["PATH"] = str(pathlib.Path(sys.executable).parent) + os.pathsep + os.environ["PATH"]  # ninja, for DeepSpeed
if "cuda" not in " ".join(sys.argv):
    os.environ.setdefault("DS_ACCELERATOR", "cpu")

import torch  # noqa: E402

import errors  # noqa: E402
import libswd  # noqa: E402
import package  # noqa: E402
from contenders import CONTENDERS  # noqa: E402
from tensors import Hyper, Tensors  # noqa: E402

CHECK_ELEMENTS, CHECK_STEPS, CHECK_TOLERANCE = 30011, 3, 1e-4
CLOCK_HZ = 2e9  # at least that of the devices meant here; a slower one sleeps longer
WARM_UPS = {"cpu": 0, "cuda": 10}


def trajectory(make, tensors, hyper):
    """Parameters after a few steps, each with a new gradient."""
    tensors.reset()
    tensors.attach_gradients()
    step = make(tensors, hyper)
    for i in range(CHECK_STEPS):
        tensors.new_gradients(i)
        getattr(step, "load_gradients", lambda: None)()
        step()
    return step.param() if hasattr(step, "param") else tensors.param.detach().cpu().clone()


def deviation(swd, make, decay, clip, device):
    """Largest difference of the parameters, relative to how far they moved."""
    tensors = Tensors(CHECK_ELEMENTS, 3, device)
    hyper = Hyper(weight_decay=0.1 if decay != "scheduled" else 1e-3)
    start = Tensors(CHECK_ELEMENTS, 3, "cpu")
    start.reset()
    ours = trajectory(lambda t, h: libswd.Step(swd, t, h, decay, clip), tensors, hyper)
    theirs = trajectory(make, tensors, hyper)
    return ((theirs - ours).abs().max() / (ours - start.param).abs().max()).item()


def check_the_check(swd, device):
    """A comparison that cannot fail shows nothing: libswd without decay must not pass for libswd with it."""
    make = lambda t, h: libswd.Step(swd, t, h, "none", True)  # noqa: E731
    if deviation(swd, make, "decoupled", True, device) < 10 * CHECK_TOLERANCE:
        raise SystemExit("run.py: the comparison of parameters does not notice a missing weight decay")


def host_seconds(step):
    """Seconds until the calls of a step have returned."""
    begin = time.perf_counter()
    step()
    return time.perf_counter() - begin


def seconds(step, device, queueing):
    """Seconds of a step, and whether all of it was queued before it began. On a device the stream sleeps first for
    twice as long as queueing takes, so that no host time lies between the events; a peer that waits for the device in
    the middle of its step pays for that itself."""
    if device == "cpu":
        return host_seconds(step), True
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize()
    torch.cuda._sleep(int(min(2 * queueing + 1e-4, 0.2) * CLOCK_HZ))
    begin.record()
    step()
    end.record()
    queued = not begin.query()
    end.synchronize()
    return begin.elapsed_time(end) * 1e-3, queued


def narrow_errors(swd, contender, device):
    """Of a peer on narrow states, and of libswd's beside it: both against the same fp64 runs."""
    dtype, all_problems = errors.param_dtype(contender.states), errors.problems()
    ours = lambda t, h: libswd.Step(swd, t, h, contender.decay, contender.clip, contender.states)  # noqa: E731
    return {"peer": errors.errors(all_problems, contender.make, device, dtype),
            "libswd": errors.errors(all_problems, ours, device, dtype)}


def usable_contenders(swd, options):
    """Those that are here, with their deviation or errors; and why the others are not. fp32 states have to agree,
    narrow ones are shown as they are."""
    usable, missing = [], {}
    for contender in CONTENDERS:
        if options.backend not in contender.devices or (options.quick and not contender.quick):
            continue
        if options.only and not re.search(options.only, contender.name):
            continue
        if contender.states != "fp32" and options.tensors > 1:
            missing[contender.name] = "on one tensor only: of several it would leave some in fp32"
            continue
        try:
            if contender.states != "fp32":
                usable.append((contender, {"errors": narrow_errors(swd, contender, options.backend)}))
                continue
            error = deviation(swd, contender.make, contender.decay, contender.clip, options.backend)
        except Exception as problem:  # a peer that does not import, build or run here
            missing[contender.name] = (f"{type(problem).__name__}: {problem}".splitlines() or ["?"])[0][:160]
            continue
        if error > CHECK_TOLERANCE:
            missing[contender.name] = f"computes something else here: parameters differ by {error:.1e} of their change"
            continue
        usable.append((contender, {"deviation": error}))
    return usable, missing


def measure(swd, contender, options):
    """Seconds of the peer's and of our steps, in turns, on the same memory. Each turn takes an untimed step first, so
    that neither pays for the caches and waiting threads that the other left."""
    tensors = Tensors(options.elements, options.tensors, options.backend, errors.param_dtype(contender.states))
    tensors.reset()
    hyper = Hyper(lr=1e-7, weight_decay=1e-4)
    steps = {"peer": contender.make(tensors, hyper),
             "libswd": libswd.Step(swd, tensors, hyper, contender.decay, contender.clip, contender.states)}
    times = {name: [] for name in steps}
    queued = {name: 0 for name in steps}
    for i in range(-WARM_UPS[options.backend], options.rounds):
        for name, step in steps.items():
            queueing = host_seconds(step)
            time.sleep(0.005)  # so long do threads of an OpenMP runtime look out for work, and disturb who is next
            taken, ahead = seconds(step, options.backend, queueing)
            if i >= 0:
                times[name].append(taken)
                queued[name] += ahead
    steps.clear()
    gc.collect()
    return {name: {"median_s": statistics.median(t), "least_s": min(t), "most_s": max(t),
                   "queued_ahead": queued[name] / len(t)} for name, t in times.items()}


def said(contender, check):
    if "deviation" in check:
        return f"{check['deviation']:9.1e}"
    peer, ours = (" and ".join(f"{error:.1e}" for error in check["errors"][who].values()) for who in ("peer", "libswd"))
    return f"{'':9}   {peer}; {contender.states} {ours}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--library", required=True, help="path of libswd.so")
    parser.add_argument("--backend", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--elements", type=int, default=1 << 26)
    parser.add_argument("--tensors", type=int, default=1, help="cut the elements into so many tensors")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", help="a regular expression: peers whose names it finds")
    parser.add_argument("--json")
    options = parser.parse_args()
    options.rounds = options.rounds or (50 if options.backend == "cuda" else 7 if options.quick else 25)

    swd = package.load(options.library)
    check_the_check(swd, options.backend)
    usable, missing = usable_contenders(swd, options)
    rows = []
    print(f"{'peer, ' + str(options.elements) + ' elements in ' + str(options.tensors) + ' tensors':<46} {'ms':>9} "
          f"{'libswd ms':>10} {'ratio':>7}  {'deviation':>9}   errors against fp64, {' and '.join(errors.PROBLEMS)}")
    for contender, check in usable:
        times = measure(swd, contender, options)
        ratio = times["peer"]["median_s"] / times["libswd"]["median_s"]
        rows.append({"name": contender.name, "decay": contender.decay, "clip": contender.clip,
                     "states": contender.states, **times, "ratio": ratio, **check})
        print(f"{contender.name:<46} {times['peer']['median_s'] * 1e3:9.3f} {times['libswd']['median_s'] * 1e3:10.3f} "
              f"{ratio:7.2f}  {said(contender, check)}", flush=True)
    for row in rows:
        for name in ("peer", "libswd"):
            if row[name]["queued_ahead"] < 0.5:
                print(f"{row['name']:<46} {name} waits for the host within its step")
    for name, reason in missing.items():
        print(f"{name:<46} missing: {reason}")
    if options.json:
        partial = pathlib.Path(options.json + ".new")
        context = {"torch": torch.__version__, "backend": options.backend, "threads": torch.get_num_threads(),
                   "elements": options.elements, "tensors": options.tensors, "rounds": options.rounds}
        document = {"context": context, "peers": rows, "missing": missing}
        partial.write_text(json.dumps(document, indent=1))
        partial.replace(options.json)


if __name__ == "__main__":
    main()
