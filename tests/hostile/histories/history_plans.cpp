// SPDX-License-Identifier: Apache-2.0
// The calls of a history that edit states and blobs, make plans anew, run out of memory, or meet a workspace of others.
#include <cmath>

#include "history_made.h"

namespace swd::histories {

// Counters, sums, reference: by hand.
void History::edit_state(World& w) {
  HostImage image(w.mirrored(kState), w.places.bytes[kState]);
  uint32_t choice = in_.byte();
  swd_state_header header;
  must(swd_state_header_get(w.plan.get(), image.data(), image.bytes(), &header, sizeof header), "swd_state_header_get");
  if (choice % 4 == 0) header.vbar_reference = choice / 4 % 2 ? 1e-4 : 0.0;
  if (choice % 4 == 1) header.rounding_seed = choice;
  must(swd_state_header_set(w.plan.get(), image.data(), image.bytes(), &header, sizeof header), "swd_state_header_set");
  int64_t k = static_cast<int64_t>(in_.below(static_cast<uint32_t>(w.shape.segments())));
  swd_segment_state state;
  must(swd_state_get(w.plan.get(), image.data(), image.bytes(), k, &state, sizeof state), "swd_state_get");
  if (choice % 4 == 2) state.exp_avg_sq_sum = -1.0;
  if (choice % 4 == 3) state.step += choice;
  bool damaged = !(state.exp_avg_sq_sum <= 1e308);
  swd_status status = swd_state_set(w.plan.get(), image.data(), image.bytes(), k, &state, sizeof state);
  if (status != (damaged ? SWD_ERR_VALUE : SWD_OK)) throw Finding("swd_state_set gave " + std::to_string(status));
  w.put(kState, 0, image.data(), image.bytes());
  w.progress.arguments_change();
  note(w, "swd_state_set of segment " + std::to_string(k) + ", edit " + std::to_string(choice));
}

// The state to a blob that is kept, or back from it; a damaged one is refused.
void History::blobs(World& w) {
  HostImage image(w.mirrored(kState), w.places.bytes[kState]);
  uint32_t choice = in_.byte();
  uint64_t bytes = 0;
  must(swd_state_blob_size(w.plan.get(), &bytes), "swd_state_blob_size");
  if (choice % 3 == 0 || w.blob.size() != bytes) {
    std::vector<uint8_t> blob(bytes);
    swd_status status = swd_state_export(w.plan.get(), image.data(), image.bytes(), blob.data(), bytes);
    note(w, std::string("swd_state_export: ") + swd_status_name(status));
    if (status == SWD_OK) w.blob = blob;
    if (status != SWD_OK && status != SWD_ERR_VALUE) throw Finding("swd_state_export gave " + std::to_string(status));
    return check(w, "swd_state_export", false);
  }
  std::vector<uint8_t> given = w.blob;
  bool refuses = choice % 3 == 1, twice = refuses && choice / 3 % 2 == 1;  // each element covered twice
  if (refuses && !twice) given[in_.byte() % given.size()] ^= 0x10;
  const void* data[] = {given.data(), given.data()};
  const uint64_t sizes[] = {bytes, bytes};
  swd_status status = swd_state_import(w.plan.get(), data, sizes, twice ? 2 : 1, image.data(), image.bytes());
  note(w, std::string("swd_state_import: ") + swd_status_name(status));
  for (size_t k = 0; twice && k < w.shape.segments(); ++k) twice = w.shape.counts[k] == 0;
  if (twice) return;  // of a model without elements any number of blobs is right
  if ((status != SWD_OK) != refuses) throw Finding(std::string("swd_state_import gave ") + swd_status_name(status));
  if (refuses && memcmp(image.data(), w.mirrored(kState), image.bytes()) != 0) throw Finding("a refused import wrote");
  if (refuses) return check(w, "swd_state_import, refused", false);
  w.put(kState, 0, image.data(), image.bytes());
  w.progress.arguments_change();
  check(w, "swd_state_import");
}

// One second moment is damaged, by others, or mended.
void History::damage(World& w) {
  if (w.shape.moment != SWD_DTYPE_F32 || w.shape.extent() == 0) return;
  const float values[] = {NAN, INFINITY, 0.0f, 0.5f};
  float x = values[in_.below(4)];
  uint64_t i = in_.byte() % static_cast<uint64_t>(w.shape.extent());
  w.put(SWD_BUFFER_EXP_AVG_SQ, 4 * i, &x, 4);
  w.progress.arguments_change();
  note(w, "exp_avg_sq[" + std::to_string(i) + "] becomes " + std::to_string(x));
}

// Another plan for the same buffers and state, with a workspace of its own.
void History::change_plan(World& w) {
  Shape other = w.shape;
  change_shape(in_, other);
  w.shape = other;
  w.captured.graph = nullptr;
  if (other.has_vbar_decay()) w.batch.flags &= ~uint32_t{SWD_STEP_SKIP_NORM};
  w.plan = make_plan(other);
  w.clean_plan = make_plan(other);
  note(w, "a plan with flags " + std::to_string(other.flags));
  uint64_t bytes = 0;
  must(swd_workspace_size(w.plan.get(), &bytes), "swd_workspace_size");
  if (bytes > w.places.bytes[kWorkspace]) throw Finding("the test's own workspace is too small");
  must(swd_workspace_init(w.plan.get(), w.at(kWorkspace), w.places.bytes[kWorkspace], w.stream()),
       "swd_workspace_init");
  w.compare(true, "another plan");
  w.forget_workspace();
  for (auto& table : w.tables) table.assign(table.size(), 0);
  set_all_pointers(w);
  check(w, "another plan");
}

// The same plan made again: the workspace stays what it is.
void History::remake_plan(World& w) {
  if (w.progress.failed) return;  // swd.h wants a discard first
  w.plan = make_plan(w.shape);
  note(w, "the same plan made anew");
  check(w, "the same plan made anew", false);
}

// An allocation of a plan fails: there is none, and nothing else changed.
void History::starve(World& w) {
  if (!faults_.fail_allocation) return;
  swd_plan* plan = nullptr;
  int64_t k = 1 + in_.below(10);
  faults_.fail_allocation(k);
  swd_status status = create_plan(w.shape, &plan);
  faults_.fail_allocation(0);
  swd_plan_destroy(plan);
  note(w, "swd_plan_create, allocation " + std::to_string(k) + " fails: " + swd_status_name(status));
  if (status != SWD_OK && (status != SWD_ERR_MEMORY || plan))
    throw Finding("swd_plan_create gave " + std::to_string(status));
  check(w, "swd_plan_create", false);
}

// The workspace of another plan: refused on the CPU, and left alone on CUDA.
void History::foreign(World& w) {
  World& other = *worlds_.back();
  bool same_plan = other.fresh_workspace == w.fresh_workspace || !other.workspace_valid;
  if (&other == &w || same_plan || other.places.bytes[kWorkspace] < w.fresh_workspace.size()) return;
  swd_buffers b = w.buffers();
  swd_step_args a = w.args();
  b.workspace = other.at(kWorkspace);
  b.workspace_bytes = other.places.bytes[kWorkspace];
  uint32_t which = in_.below(3);
  auto call = [&] {
    if (which == 0) return swd_step(w.plan.get(), &b, &a, w.stream());
    if (which == 1) return swd_discard(w.plan.get(), b.workspace, b.workspace_bytes, w.stream());
    return swd_reduce(w.plan.get(), &b, &a, SWD_PHASE_GRAD, 0, 1, w.stream());
  };
  refuse(w, call(), backend_ == SWD_BACKEND_CPU ? SWD_ERR_WORKSPACE : SWD_OK, "a call with another plan's workspace");
  check_statistics(other, "a call of another plan");
}

// Adding nothing to a record leaves it.
void History::record_add(World& w) {
  double zeros[16] = {};
  if (w.progress.folded[0] && w.progress.record[0] == 2) return;  // the second record is wanted
  if (w.progress.folded[1] && w.progress.record[1] == 2) return;
  w.put(kRecords, kRecordBytes, zeros, sizeof zeros);
  double* records = reinterpret_cast<double*>(w.at(kRecords));
  made(w, "swd_record_add", [&] { return swd_record_add(w.plan.get(), records, records + 16, 16, w.stream()); });
  check(w, "swd_record_add");
}

}  // namespace swd::histories
