# SPDX-License-Identifier: Apache-2.0
"""Which cases run on how many ranks, and the bound of their differences. As a program: the whole matrix as a table of
docs/testing.md; exit code 1 if a case fails. test_sharded.py runs a part of it."""
import json
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
BOUND = 1e-6

_DECAYS = ["scheduled", "relative", "decoupled", "l2", "amsgrad", "no_clip", "propagate"]
_DTENSOR = [f"fsdp2_{decay}" for decay in _DECAYS] + [
    "tp", "tp_amsgrad", "tiny", "mixed_precision", "bfloat16", "mixed16", "accumulation", "overflow_on_one_rank",
    "gradients_of_other_placements", "frozen", "whole_model_is_reported"]
_SHARDS = ["zero_shards", "zero_hook", "zero_relative", "zero_checkpoint", "fsdp1_original", "fsdp1_flat",
           "fsdp1_flat_relative", "fsdp1_original_amsgrad", "fsdp1_grad_op", "fsdp1_checkpoint", "own_shards",
           "rank_without_gradients", "wrong_fsdp1_without_shards", "wrong_zero_without_shards", "wrong_ddp_with_a_sum",
           "right_ddp_says_nothing", "wrong_or_not_models_of_their_own", "wrong_a_rank_that_stopped"]
_CHECKPOINT = ["resume", "resume_flattened_amsgrad", "resume_full_broadcast", "resume_mixed16", "from_one_process",
               "state_of_whole_tensors_is_refused", "save", "load"]
_OVERLAP = ["fsdp2", "tp", "ddp"]
_NARROW = ["bits", "fsdp2", "parts_in_another_memory_order", "other_shards_are_bfloat16",
           "tensor_parallel", "wrong_fsdp1"]
_NARROW_CHECKPOINT = ["resume", "resume_flattened", "resume_full", "resume_full_broadcast", "one_process_to_ranks_and_back",
                      "other_forms_load", "wrong_broadcast_of_another_form",
                      "wrong_broadcast_of_another_form_to_replicas", "flattened_of_another_form_is_refused", "save"]


def names(module, cases):
    return [f"ranks_{module}.case_{case}" for case in cases]


MATRIX = {  # in this order: what 2 ranks save, 4 and 3 load, and what 4 save, 3
    2: names("dtensor", _DTENSOR) + names("shards", _SHARDS) + names("checkpoint", _CHECKPOINT) +
    names("overlap", _OVERLAP) + names("narrow", _NARROW) + names("narrow_checkpoint", _NARROW_CHECKPOINT) +
    names("loaded_twice", ["the_last_of_two_full_loads_counts"]),
    4: names("dtensor", ["hsdp", "tp_fsdp2", "pipeline", "fsdp2_scheduled", "fsdp2_amsgrad", "tiny"]) +
    names("checkpoint", ["resume", "load"]) + names("overlap", ["hsdp", "pipeline"]) +
    names("narrow", ["bits_hsdp", "bits", "other_shards_are_bfloat16"]) + names("narrow_checkpoint", ["resume", "load"]),
    3: names("dtensor", ["fsdp2_relative"]) + names("checkpoint", ["load"]) + names("shards", ["fsdp1_flat", "zero_shards"]) +
    names("narrow", ["bits"]) + names("narrow_checkpoint", ["load"]),
}


def run(world, cases, folder):
    """{case: its numbers, or {"error": text}}"""
    out = os.path.join(folder, f"{world}.json")
    environment = {**os.environ, "SWD_RANKS_FOLDER": os.path.join(folder, "checkpoint"), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, os.path.join(HERE, "ranks.py"), str(world), out, *cases], env=environment, check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=900)
    with open(out, encoding="utf-8") as file:
        return json.load(file)


def wrong(result):
    """What is wrong with a case, or None."""
    if "error" in result:
        return result["error"]
    large = {key: value for key, value in result.items() if not value <= BOUND}
    return f"differs from one process: {large}" if large else None


def main():
    print("| case | ranks | parameters | norm | vbar |\n|---|---|---|---|---|")
    failed = passed = 0
    with tempfile.TemporaryDirectory() as folder:
        for world, cases in MATRIX.items():
            for name, result in run(world, cases, folder).items():
                trouble = wrong(result)
                failed, passed = failed + (trouble is not None), passed + (trouble is None)
                cells = [f"{result[key]:.1e}" if key in result else "" for key in ("param", "norm", "vbar")]
                print(f"| {name.split('case_')[1].replace('_', ' ')} | {world} | {' | '.join(cells)} |", flush=True)
                if trouble:
                    print(trouble, file=sys.stderr)
    print(f"\n{passed} passed, {failed} failed")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
