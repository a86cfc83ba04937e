// SPDX-License-Identifier: Apache-2.0
// Every public function on right and spoiled arguments, up to four calls in a row on one workspace.
// What must hold: no memory error; a call whose arguments are right succeeds; a call that fails has a known status,
// says why and changes no byte; a call that succeeds writes only what swd.h says it writes.
#include "convert_call.h"
#include "plan_call.h"

namespace swd::fuzz {
namespace {

// Printed at the end, beside libFuzzer's count of inputs.
struct Calls {
  uint64_t count = 0;
  ~Calls() { fprintf(stderr, "calls of public functions: %llu\n", static_cast<unsigned long long>(count)); }
} calls;

// Whether pointer tables and arrays are still such that right arguments mean success.
bool memory_right = true;

Outcome call_step(Input& in, uint32_t which, Call& c) {
  make_call(in, *c.world, kStepPieces, c);
  const swd_buffers* b = c.buffers_or_null();
  const swd_step_args* a = c.args_or_null();
  c.world->snapshot();
  switch (which) {
    case 0:
      return {swd_step(c.plan, b, a, c.stream), updated(c)};
    case 1:
      return {swd_reduce(c.plan, b, a, c.phase, c.first, c.count, c.stream), bit(kWorkspace)};
    case 2:
      return {swd_fold(c.plan, b, a, c.phase, c.record, c.record_doubles, c.stream),
              bit(kWorkspace) | (c.record ? bit(kRecord) : 0u)};
    case 3:
      return {swd_decide(c.plan, b, a, c.phase, c.record, c.record_doubles, c.stream), bit(kWorkspace)};
    default:
      return {swd_update(c.plan, b, a, c.stream), updated(c)};
  }
}

Outcome call_set_pointers(Input& in, Call& c) {
  make_call(in, *c.world, 0, c);
  swd_buffer_kind buffer = static_cast<swd_buffer_kind>(maybe_spoiled_number(in, SWD_BUFFER_PARAM, c));
  const void* pointers[4] = {};
  uint8_t* right = c.world->at(kParam);
  for (size_t k = 0; k < c.world->segments.size(); ++k) {
    pointers[k] = maybe_spoiled(in, *c.world, right, c);
    right += c.world->bytes_of(SWD_BUFFER_PARAM, c.world->segments[k].count);
  }
  const void* const* table = in.below(8) == 1 ? nullptr : pointers;
  // A table of another buffer, or one that is moved, would describe memory that is not there.
  bool moves = buffer != SWD_BUFFER_PARAM && buffer >= 0 && buffer < kBuffers;
  if (moves || c.first != 0) c.count = 0;
  c.spoiled = c.spoiled || !c.world->list() || table == nullptr;
  c.world->snapshot();
  swd_status status = swd_set_pointers(c.plan, c.workspace, buffer, c.first, c.count, table, c.stream);
  if (status == SWD_OK && c.spoiled) memory_right = false;
  return {status, bit(kWorkspace)};
}

Outcome call_workspace(Input& in, uint32_t which, Call& c) {
  make_call(in, *c.world, 0, c);
  swd_stats stats{};
  double lambda_eff[2];
  const swd_stats* stats_at = nullptr;
  uint64_t bytes = 0;
  bool has_out = in.below(8) != 1;
  c.spoiled = c.spoiled || !has_out;
  uint64_t* bytes_at = has_out ? &bytes : nullptr;
  if (which == 0 && c.world->list()) memory_right = false;  // a fresh workspace has no pointers
  c.world->snapshot();
  switch (which) {
    case 0:
      return {swd_workspace_init(c.plan, c.workspace, c.workspace_bytes, c.stream), bit(kWorkspace)};
    case 1:
      return {swd_discard(c.plan, c.workspace, c.workspace_bytes, c.stream), bit(kWorkspace)};
    case 2: {
      uint64_t size = static_cast<uint64_t>(maybe_spoiled_number(in, sizeof stats, c));
      swd_stats* out = has_out ? &stats : nullptr;
      return {swd_stats_fetch(c.plan, c.workspace, out, size, in.below(2) != 0 ? lambda_eff : nullptr, c.stream), 0};
    }
    case 3:
      return {swd_stats_pointer(c.plan, c.workspace, has_out ? &stats_at : nullptr), 0};
    case 4:
      return {swd_workspace_size(c.plan, bytes_at), 0};
    case 5:
      return {swd_state_size(c.plan, bytes_at), 0};
    case 6:
      return {swd_state_blob_size(c.plan, bytes_at), 0};
    case 7:
      c.spoiled = c.spoiled || c.world->list();
      return {swd_scale_size(c.plan, bytes_at), 0};
    default:
      c.spoiled = c.spoiled || c.world->list() || c.world->segments.empty();
      return {swd_scale_offset(c.plan, maybe_spoiled_number(in, 0, c), bytes_at), 0};
  }
}

Outcome call_state(Input& in, uint32_t which, Call& c) {
  make_call(in, *c.world, 0, c);
  const World& w = *c.world;
  uint8_t* image = maybe_spoiled(in, w, w.at(kState), c);
  uint64_t image_bytes =
      static_cast<uint64_t>(maybe_spoiled_number(in, static_cast<int64_t>(w.pieces[kState].bytes), c));
  uint8_t* blob = in.below(8) == 1 ? (c.spoiled = true, nullptr) : w.at(kBlob);
  int64_t whole = static_cast<int64_t>(w.pieces[kBlob].bytes);
  int64_t blob_bytes = maybe_spoiled_number(in, whole, c);
  int64_t segment = maybe_spoiled_number(in, 0, c);
  swd_segment_state state{1, 0.5, 0.0, 0};
  if (in.below(4) == 1) {
    c.spoiled = true;
    state = {in.integer(), in.real(), in.real(), in.bits(1)};
  }
  swd_segment_state* state_at = in.below(8) == 1 ? nullptr : &state;
  c.spoiled = c.spoiled || w.segments.empty() || !state_at;
  c.world->snapshot();
  if (which == 0) return {swd_state_get(c.plan, image, image_bytes, segment, state_at, sizeof(swd_segment_state)), 0};
  if (which == 1)
    return {swd_state_set(c.plan, image, image_bytes, segment, state_at, sizeof(swd_segment_state)), bit(kState)};
  if (which == 2)
    return {swd_state_export(c.plan, image, image_bytes, blob, static_cast<uint64_t>(blob_bytes)), bit(kBlob)};
  const void* blobs[2] = {blob, w.at(kBlob)};
  uint64_t sizes[2] = {
      blob_bytes >= 0 && blob_bytes < whole ? static_cast<uint64_t>(blob_bytes) : w.pieces[kBlob].bytes,
      w.pieces[kBlob].bytes};
  int64_t count = in.below(4) == 1 ? 2 - static_cast<int64_t>(in.below(4)) : 1;
  c.spoiled = c.spoiled || count != 1;
  return {swd_state_import(c.plan, in.below(8) == 1 ? (c.spoiled = true, nullptr) : blobs, sizes, count, image,
                           image_bytes),
          bit(kState)};
}

// Calls that have no status, and those that only read their numbers.
Outcome call_library(Input& in, Call& c) {
  c.spoiled = true;
  static const char* const kNames[] = {"swd_segment", "swd_stats", "", "x", nullptr};
  (void)swd_sizeof(kNames[in.below(5)]);
  SWD_FUZZ_EXPECT(swd_version_string()[0] != '\0' && swd_version() != 0);
  SWD_FUZZ_EXPECT(swd_status_name(static_cast<swd_status>(in.integer()))[0] != '\0');
  SWD_FUZZ_EXPECT(swd_result_name(static_cast<swd_result>(in.integer()))[0] != '\0');
  double decay = in.real(), vbar = in.real();
  (void)swd_weight_decay_from_adamw(decay, vbar);
  (void)swd_weight_decay_to_adamw(decay, vbar);
  c.world->snapshot();
  return {swd_backend_available(static_cast<swd_backend>(in.integer())), 0};
}

Outcome call_one(Input& in, Call& c) {
  uint32_t which = in.below(24);
  if (which < 5) return call_step(in, which, c);
  if (which < 14) return call_workspace(in, which - 5, c);
  if (which < 18) return call_state(in, which - 14, c);
  if (which == 18) return call_rebuild(in, c);
  if (which == 19) return call_set_pointers(in, c);
  if (which == 20) return call_library(in, c);
  if (which < 23) return call_convert(in, which == 21, c);
  return call_plan(in, c);
}

}  // namespace
}  // namespace swd::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace swd::fuzz;
  Input in(data, size);
  World& w = world(in.below(kWorlds));
  memory_right = true;
  for (int i = 0; i < 4 && (i == 0 || !in.empty()); ++i) {
    Call call{};
    call.world = &w;
    Outcome outcome = call_one(in, call);
    ++calls.count;
    memory_right = memory_right && !call.spoiled;
    SWD_FUZZ_EXPECT(strcmp(swd_status_name(outcome.status), "unknown") != 0);
    SWD_FUZZ_EXPECT(outcome.status == SWD_OK || !memory_right);
    SWD_FUZZ_EXPECT(outcome.status == SWD_OK || swd_error_detail()[0] != '\0');
    uint32_t writes = outcome.status == SWD_OK ? outcome.writes : 0;
    SWD_FUZZ_EXPECT(w.unchanged_but(writes));
    w.touch(writes);
  }
  w.restore();
  return 0;
}
