# SPDX-License-Identifier: Apache-2.0
"""Which sources generate.py changes, by area, and which tests judge.py tries first on each."""
import re

from mutants import ROOT

# (area, folder, names). What the builds of scratch.py leave out (wide instruction sets, which processor has them) has mutants in
# the list by hand.
SOURCES = [
    ("shared headers", "src/kernels", r".*\.h"),
    ("cpu", "src/kernels/cpu", r"(?!loops_v\d|isa).*"),
    ("host", "src/host", r".*"),
    ("python", "bindings/python/swd/torch", r".*\.py"),
    ("python", "bindings/python/swd", r"(?!plot|__main__|__init__).*\.py"),
    ("cuda", "src/kernels/cuda", r".*"),
]
AREAS = tuple(dict.fromkeys(area for area, _, _ in SOURCES))

# The first row that is found in the name of a file. Then come all tests of the backend that are quick.
FIRST = [
    (r"host/check_overlap", "overlap_test bad_input_test cpu_adjacent_buffers_test"),
    (r"host/check_step", "bad_input_test values_test hostile_steps_test law_test"),
    (r"host/check", "bad_input_test hostile_steps_test narrow_plans_test law_test"),
    (r"host/(blob|adopt|api_state)", "state_blob_test damaged_state_test state_shards_test "
                                     "state_blob_versions_test resume_test bad_input_test"),
    (r"host/api_narrow", "bad_input_test narrow_convert_test copy_codes_test"),
    (r"host/(api_stats|error)", "values_test bad_input_test host_faults_test new_calls_test"),
    (r"host/plan", "bad_input_test law_test narrow_plans_test values_test cpu_fingerprint_test"),
    (r"host/", "bad_input_test law_test pieces_test hpp_test concurrency_test"),
    (r"kernels/scalars", "scalar_edges_test skip_test law_test values_test relative_decay_test"),
    (r"kernels/(record|commit)", "record_fold_test skip_test pieces_edges_test afresh_test law_test"),
    (r"kernels/sum_", "exact_sum_test law_test hash_test"),
    (r"kernels/(block8|rounding|formats|split)", "narrow_golden_test narrow_laws_test narrow_convert_test "
                                                 "cpu_split_test cpu_block8_test cpu_rounding_bits_test"),
    (r"kernels/\w+\.h", "law_test hostile_steps_test scalar_edges_test golden_test hash_test"),
    (r"cpu/(pool|team)", "cpu_pool_test cpu_thread_faults_test cpu_threads_test"),
    (r"cpu/cores", "cpu_cores_test"),
    (r"cpu/float_environment", "cpu_environment_calls_test cpu_environment_test"),
    (r"cpu/(\w*narrow|\w*blocks|state_convert|loops_stored)",
     "narrow_golden_test narrow_convert_test narrow_laws_test copy_codes_test"),
    (r"cpu/pass1", "exact_sum_test hash_test gradient_codes_test"),
    (r"cpu/", "law_test skip_test pieces_test afresh_test hash_test"),
    (r"cuda/(\w*narrow|block8|convert)", "cuda_narrow_test cuda_block8_usual_test cuda_conversion_test"),
    (r"cuda/(fold|record_fold|decide)", "law_test record_fold_test skip_test many_groups_test"),
    (r"cuda/", "law_test cuda_equality_test pieces_test cuda_foreign_test"),
    (r"torch/(checkpoint|loading|image|export)", "test_checkpoint test_migration test_edits test_orders"),
    (r"torch/(agreement|shards|joint)", "test_hooks test_gradients test_states_checkpoints test_sharded"),
    (r"torch/(flat|homes|memory)", "test_flat test_flat_moved test_layouts test_edits"),
    (r"torch/(narrow|states)", "test_states test_states_checkpoints test_narrow"),
    (r"torch/(report|watch)", "test_log test_watch test_orders test_errors"),
    (r"torch/(steady|run|pointers|versions)", "test_steady test_noop test_moving test_amp"),
    (r"torch/(checks|adams|options)", "test_errors test_options_later test_orders test_relative"),
    (r"torch/sharing", "test_shared test_flat"),
    (r"torch/(audit|engine|layout)", "test_edits test_layouts test_orders"),
    (r"torch/(early|overlap)", "test_overlap test_overlap_uses test_sharded"),
    (r"torch/(scaler|graphs|fetch)", "test_amp test_compile test_log"),
    (r"torch/", "test_orders test_errors test_edits"),
    (r"swd/(_arrays|_dlpack|buffers)", "test_arrays test_calls test_plan"),
    (r"swd/(state|convert)", "test_state test_narrow test_calls"),
    (r"swd/", "test_plan test_calls test_state test_arrays"),
]


def sources():
    """(area, name) of every file."""
    out = []
    for area, folder, names in SOURCES:
        paths = sorted(path for path in (ROOT / folder).iterdir() if path.is_file() and re.fullmatch(names, path.name))
        out += [(area, str(path.relative_to(ROOT))) for path in paths if path.name != "py.typed"]
    return out


def area_of(name):
    return next(area for area, file in sources() if file == name)


def first_tests(name):
    return tuple(next(tests for pattern, tests in FIRST if re.search(pattern, name)).split())
