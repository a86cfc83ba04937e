// SPDX-License-Identifier: Apache-2.0
// What the rows of the bad-input table spoil: plans with buffers, and one call's arguments, good ones before every row.
#pragma once
#include <array>
#include <functional>
#include <limits>

#include "support/runner.h"

namespace swd::test {

// Flat; flat with amsgrad and param_copy, and that as a list; compact8, flat and as a list.
enum class Kind { kPlain, kFull, kList, kNarrow, kNarrowList };

constexpr uint64_t kImageBytes = kStateHeaderBytes + 2 * kSegmentStateBytes;  // two segments
constexpr uint64_t kBlobBytes = 64 + 2 * 40 + 8;

class Scene {
 public:
  explicit Scene(Kind kind) : runner(setup(kind)), device_groups(runner.setup().backend, sizeof(swd_group) * 2) {
    for (size_t k = 0; k < 2; ++k) runner.set(SWD_BUFFER_GRAD, k, uniform(1, k, runner.setup().counts[k]));
    runner.step();
    RunSetup other = setup(kind);
    other.counts = {60, 90};
    foreign = std::make_unique<Runner>(other);
    image_.write(0, runner.image().data(), kImageBytes);
    runner.ok(swd_state_export(runner.plan(), image_.data(), kImageBytes, blob_.data(), kBlobBytes));
    reset();
  }

  // Good arguments again.
  void reset() {
    groups = {runner.setup().groups[0], runner.setup().groups[1], SWD_GROUP_INIT};
    buffers = runner.buffers;
    args = runner.args();
    args.groups = groups.data();
    segments = {{0, 100, 0, 0, 0}, {100, 50, 0, 1, 0}};
    decay_modes = {SWD_DECAY_SCHEDULED, SWD_DECAY_DECOUPLED};
    plan_args = SWD_PLAN_ARGS_INIT;
    plan_args.backend = runner.setup().backend;
    plan_args.segments = segments.data();
    plan_args.segment_count = 2;
    plan_args.decay_modes = decay_modes.data();
    plan_args.group_count = 2;
    image = image_.data();
    image_bytes = kImageBytes;
    blob = blob_.data();
    blobs = {blob_.data(), blob_.data()};
    blob_bytes = {kBlobBytes, kBlobBytes};
    pointers = {runner.at(SWD_BUFFER_PARAM, 0), runner.at(SWD_BUFFER_PARAM, 1)};
    segment_state = {3, 0.5, 0.0, 0};
    state_header = {4, 1, 0.25, 0};
    wide = {};
    const bool list = (runner.setup().flags & SWD_PLAN_LIST) != 0;
    arrays = SWD_FP32_ARRAYS_INIT;
    const void* swd_fp32_arrays::*members[] = {&swd_fp32_arrays::param, &swd_fp32_arrays::exp_avg,
                                               &swd_fp32_arrays::exp_avg_sq};
    for (size_t a = 0; a < 3; ++a) {
      const uint8_t* values = fp32_.data() + 1024 * a;
      tensors[a] = {values, values + 4 * 100};
      arrays.*members[a] = list ? static_cast<const void*>(tensors[a].data()) : values;
    }
  }

  // Everything that a refused call must leave alone.
  std::vector<uint8_t> snapshot() {
    std::vector<uint8_t> out;
    for (Runner* r : {&runner, foreign.get()}) {
      add(out, r->bytes());
      add(out, r->workspace_bytes());
    }
    for (DeviceBuffer* b : {&image_, &blob_, &out_, &device_groups, &fp32_}) add(out, b->read_all());
    return out;
  }
  bool canaries_intact() const {
    return runner.canaries_intact() && foreign->canaries_intact() && image_.canaries_intact() &&
           blob_.canaries_intact() && out_.canaries_intact() && device_groups.canaries_intact() &&
           fp32_.canaries_intact();
  }

  // Host memory for whatever a call writes, 256-byte aligned.
  template <class T>
  T* out(uint64_t misalignment = 0) {
    return reinterpret_cast<T*>(out_.data() + misalignment);
  }

  Runner runner;
  std::unique_ptr<Runner> foreign;  // of another plan of the same kind
  swd_buffers buffers;
  swd_step_args args;
  std::vector<swd_group> groups;
  DeviceBuffer device_groups;
  swd_plan_args plan_args;
  std::vector<swd_segment> segments;
  std::vector<swd_decay> decay_modes;
  void* image;
  uint64_t image_bytes;
  void* blob;
  std::vector<const void*> blobs;
  std::vector<uint64_t> blob_bytes;
  std::vector<const void*> pointers;
  swd_segment_state segment_state;
  swd_state_header state_header;
  swd_fp32_arrays arrays;                           // where the backend computes
  std::array<std::vector<const void*>, 3> tensors;  // lists
  struct alignas(16) Wide {                         // room for a longer version of any struct
    uint8_t bytes[4200];
  } wide;

  // The struct as a longer version, of which `bytes` are announced and the last one holds `last`.
  template <class T>
  T* lengthened(const T& given, uint32_t bytes, uint8_t last) {
    memcpy(wide.bytes, &given, sizeof given);
    memcpy(wide.bytes, &bytes, sizeof bytes);
    wide.bytes[bytes - 1] = last;
    return reinterpret_cast<T*>(wide.bytes);
  }

 private:
  static RunSetup setup(Kind kind) {
    RunSetup s;
    s.backend = backend_under_test();
    s.counts = {100, 50};
    s.group_of = {0, 1};
    s.decay = {SWD_DECAY_SCHEDULED, SWD_DECAY_DECOUPLED};
    s.groups.assign(2, swd_group{1e-3, 0.9, 0.999, 1e-8, 1e-2, nullptr, 0.0});
    if (kind == Kind::kPlain) return s;
    if (kind == Kind::kNarrow || kind == Kind::kNarrowList) {
      s.param = SWD_DTYPE_BF16;
      s.remainder = SWD_DTYPE_I8;
      s.moment = SWD_DTYPE_BLOCK8;
      s.flags = kind == Kind::kNarrowList ? uint32_t{SWD_PLAN_LIST} : 0u;
      return s;
    }
    s.flags = SWD_PLAN_AMSGRAD | (kind == Kind::kList ? uint32_t{SWD_PLAN_LIST} : 0u);
    s.copy = SWD_DTYPE_BF16;
    return s;
  }
  static void add(std::vector<uint8_t>& to, const std::vector<uint8_t>& from) {
    to.insert(to.end(), from.begin(), from.end());
  }

  DeviceBuffer fp32_{backend_under_test(), 3 * 1024};
  DeviceBuffer image_{SWD_BACKEND_CPU, kImageBytes}, blob_{SWD_BACKEND_CPU, kBlobBytes}, out_{SWD_BACKEND_CPU, 4608};
};

// One row: spoils the arguments and makes the call.
struct Row {
  Kind kind;
  swd_status status;
  std::string field;  // that the message has to name; empty for SWD_OK
  std::function<swd_status(Scene&)> call;
};
using Rows = std::vector<Row>;

// The tables, one file each.
void add_plan_rows(Rows& rows);
void add_segment_rows(Rows& rows);
void add_buffer_rows(Rows& rows);
void add_step_args_rows(Rows& rows);
void add_piece_rows(Rows& rows);
void add_workspace_rows(Rows& rows);
void add_state_rows(Rows& rows);
void add_state_header_rows(Rows& rows);
void add_narrow_rows(Rows& rows);
void add_convert_rows(Rows& rows);

// The five calls that take buffers and args, in good order. Rows about these hold for each.
using StepCall = swd_status (*)(Scene&, const swd_buffers*, const swd_step_args*);
const std::vector<StepCall>& step_calls();

constexpr double kNan = std::numeric_limits<double>::quiet_NaN(), kInf = std::numeric_limits<double>::infinity();

// What structs and arrays of 8-byte numbers are aligned to: 8, but 4 on 32-bit x86.
constexpr int kWordAlignment = alignof(double);

template <class T>
T* moved(T* pointer, int64_t bytes) {
  return reinterpret_cast<T*>(reinterpret_cast<uintptr_t>(pointer) + static_cast<uint64_t>(bytes));
}

}  // namespace swd::test
