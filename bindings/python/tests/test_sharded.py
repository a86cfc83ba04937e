# SPDX-License-Identifier: Apache-2.0
"""Sharded training on processes under gloo: a part of sharded_matrix.py, which scripts/test_sharded.sh runs whole."""
import pytest

import sharded_matrix
from sharded_matrix import names

pytestmark = pytest.mark.long

PART = {
    2: names("dtensor", ["fsdp2_relative", "fsdp2_amsgrad", "tp", "bfloat16", "mixed16", "overflow_on_one_rank",
                         "gradients_of_other_placements", "whole_model_is_reported"]) +
    names("shards", ["zero_shards", "zero_checkpoint", "fsdp1_original", "fsdp1_flat", "fsdp1_checkpoint", "own_shards",
                     "rank_without_gradients", "wrong_fsdp1_without_shards", "wrong_zero_without_shards",
                     "wrong_ddp_with_a_sum", "right_ddp_says_nothing", "wrong_or_not_models_of_their_own",
                     "wrong_a_rank_that_stopped"]) +
    names("checkpoint", ["resume", "resume_full_broadcast", "resume_mixed16", "from_one_process",
                         "state_of_whole_tensors_is_refused", "save"]) +
    names("overlap", ["fsdp2", "tp", "ddp"]) +
    names("narrow", ["bits", "fsdp2", "parts_in_another_memory_order", "other_shards_are_bfloat16",
                     "tensor_parallel", "wrong_fsdp1"]) +
    names("narrow_checkpoint", ["resume", "resume_flattened", "resume_full_broadcast", "one_process_to_ranks_and_back",
                                "other_forms_load", "wrong_broadcast_of_another_form",
                                "wrong_broadcast_of_another_form_to_replicas",
                                "flattened_of_another_form_is_refused", "save"]) +
    names("loaded_twice", ["the_last_of_two_full_loads_counts"]),
    4: names("dtensor", ["hsdp", "tp_fsdp2", "pipeline", "tiny"]) + names("checkpoint", ["load"]) + names("overlap", ["hsdp"]) +
    names("narrow", ["bits_hsdp", "bits"]) + names("narrow_checkpoint", ["load"]),
    3: names("narrow_checkpoint", ["load"]),
}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("ranks"))
    return {(world, name): result for world, cases in PART.items()
            for name, result in sharded_matrix.run(world, cases, folder).items()}


@pytest.mark.parametrize("world, name", [(world, name) for world, cases in PART.items() for name in cases])
def test_as_on_one_process(world, name, results):
    trouble = sharded_matrix.wrong(results[world, name])
    assert trouble is None, trouble
