// SPDX-License-Identifier: Apache-2.0
// The rule of struct growth: structs and array elements of any claimed size, with any bytes behind what this version
// knows. The outcome must be the one that the rule gives, and no byte beyond the claimed size may be read or written.
#include <sanitizer/asan_interface.h>

#include <algorithm>
#include <cstddef>

#include "input.h"
#include "world.h"

namespace swd::fuzz {
namespace {

constexpr uint32_t kMost = 4096;  // no struct or stride may claim more
constexpr uint32_t kElements = 3;

// Memory for one struct, or an array of them, of which only what the caller claims may be touched.
class Claimed {
 public:
  Claimed() : bytes_(static_cast<uint8_t*>(malloc(kRoom))) { lock(0); }
  uint8_t* data() { return bytes_; }
  void lock(uint32_t claimed) {
    ASAN_UNPOISON_MEMORY_REGION(bytes_, kRoom);
    ASAN_POISON_MEMORY_REGION(bytes_ + claimed, kRoom - claimed);
  }
  void open() { ASAN_UNPOISON_MEMORY_REGION(bytes_, kRoom); }

 private:
  static constexpr uint32_t kRoom = kElements * kMost + 64;
  uint8_t* bytes_;
};

Claimed& room(int number) {
  static Claimed* rooms = new Claimed[2];
  return rooms[number];
}

// Sizes around what matters, or any.
uint32_t claimed_size(Input& in, uint32_t right) {
  uint32_t kind = in.below(8);
  if (kind == 0) return right;
  if (kind == 1) return right + in.byte();
  if (kind == 2) return right - in.byte() % 8;
  if (kind == 3) return kMost + in.below(3) - 1;
  return static_cast<uint32_t>(in.bits(kind < 6 ? 2 : 4));
}

// Whether the tail of a struct, or of an element, holds a byte that is not zero.
bool fill_tail(Input& in, uint8_t* from, uint32_t bytes) {
  if (in.below(3) != 1 || bytes == 0) return false;
  uint8_t value = in.byte();
  from[in.bits(2) % bytes] = value;
  return value != 0;
}

// The size that the struct's first version had.
template <class T>
constexpr uint32_t kFirst = sizeof(T);
template <>
constexpr uint32_t kFirst<swd_plan_args> = offsetof(swd_plan_args, model_key);
template <>
constexpr uint32_t kFirst<swd_buffers> = offsetof(swd_buffers, remainder);
template <>
constexpr uint32_t kFirst<swd_step_args> = offsetof(swd_step_args, reference_step);
template <>
constexpr uint32_t kFirst<swd_group> = offsetof(swd_group, lr_factor);

// Whether the library follows a claim: no version ends inside a member.
template <class T>
bool is_size(uint64_t bytes) {
  return bytes >= kFirst<T> && bytes <= kMost && (bytes >= sizeof(T) || bytes % alignof(T) == 0);
}

struct Rule {
  bool refused;
  bool readable;  // the claim is one that the library follows
};

// Lays out `right` as a struct of the claimed size.
template <class T>
Rule claim(Input& in, Claimed& at, const T& right) {
  uint32_t size = claimed_size(in, sizeof(T));
  bool readable = is_size<T>(size);
  at.open();
  memset(at.data(), 0, kMost);
  memcpy(at.data(), &right, sizeof(T));
  memcpy(at.data(), &size, sizeof size);
  bool longer = readable && size > sizeof(T);
  bool tail = fill_tail(in, at.data() + sizeof(T), longer ? size - static_cast<uint32_t>(sizeof(T)) : 0);
  at.lock(readable ? size : static_cast<uint32_t>(sizeof size));
  return {!readable || tail, readable};
}

// Lays out `count` elements by a claimed stride.
template <class T>
Rule claim_array(Input& in, Claimed& at, const T* right, uint32_t count, uint32_t& stride) {
  stride = in.below(8) == 1 ? 0 : claimed_size(in, sizeof(T));
  bool readable = stride == 0 || is_size<T>(stride);
  uint32_t step = stride != 0 && readable ? stride : static_cast<uint32_t>(sizeof(T));
  bool tail = false;
  at.open();
  for (uint32_t i = 0; i < count; ++i) {
    memset(at.data() + step * i, 0, step);
    memcpy(at.data() + step * i, right + i, std::min<size_t>(step, sizeof(T)));
    uint32_t more = step > sizeof(T) ? step - static_cast<uint32_t>(sizeof(T)) : 0;
    tail = fill_tail(in, at.data() + step * i + sizeof(T), more) || tail;
  }
  at.lock(readable ? step * count : 0);
  return {!readable || tail, readable};
}

void expect(swd_status status, bool refused, bool misaligned = false) {
  SWD_FUZZ_EXPECT(status == (refused ? SWD_ERR_STRUCT_SIZE : SWD_OK) || (misaligned && status == SWD_ERR_ALIGNMENT));
  SWD_FUZZ_EXPECT(!refused || swd_error_detail()[0] != '\0');
}

void try_plan(Input& in, World& w) {
  swd_plan_args args = w.args;
  Rule segments =
      claim_array(in, room(1), w.segments.data(), static_cast<uint32_t>(w.segments.size()), args.segment_stride);
  args.segments = reinterpret_cast<const swd_segment*>(room(1).data());
  Rule whole = claim(in, room(0), args);
  swd_plan* plan = nullptr;
  swd_status status = swd_plan_create(reinterpret_cast<const swd_plan_args*>(room(0).data()), &plan);
  SWD_FUZZ_EXPECT((status == SWD_OK) == (plan != nullptr));
  expect(status, whole.refused || segments.refused);
  swd_plan_destroy(plan);
}

void try_step(Input& in, World& w) {
  swd_step_args args = w.step_args();
  Rule groups = claim_array(in, room(1), w.groups.data(), args.group_count, args.group_stride);
  args.groups = reinterpret_cast<const swd_group*>(room(1).data());
  Rule whole = claim(in, room(0), args);
  swd_buffers buffers = w.buffers();
  swd_status status = swd_step(w.plan, &buffers, reinterpret_cast<const swd_step_args*>(room(0).data()), nullptr);
  bool misaligned = args.group_stride % alignof(swd_group) != 0, refused = whole.refused || groups.refused;
  expect(status, refused, misaligned);
  refused = refused || misaligned;
  if (refused) SWD_FUZZ_EXPECT(w.unchanged_but(0));
  if (!refused) w.touch(kAllPieces);
}

void try_buffers(Input& in, World& w) {
  Rule rule = claim(in, room(0), w.buffers());
  swd_step_args args = w.step_args();
  auto buffers = reinterpret_cast<const swd_buffers*>(room(0).data());
  swd_status status =
      in.below(2) != 0 ? swd_state_rebuild(w.plan, buffers, nullptr) : swd_step(w.plan, buffers, &args, nullptr);
  expect(status, rule.refused);
  if (rule.refused) SWD_FUZZ_EXPECT(w.unchanged_but(0));
  if (!rule.refused) w.touch(kAllPieces);
}

void try_arrays(Input& in, World& w) {
  std::vector<const void*> tables[3];
  Rule rule = claim(in, room(0), w.fp32_arrays(tables));
  swd_buffers buffers = w.buffers();
  auto arrays = reinterpret_cast<const swd_fp32_arrays*>(room(0).data());
  auto convert = in.below(2) != 0 ? swd_state_load : swd_state_store;
  expect(convert(w.plan, &buffers, arrays, nullptr), rule.refused);
  if (rule.refused) SWD_FUZZ_EXPECT(w.unchanged_but(0));
  if (!rule.refused) w.touch(kAllPieces);
}

// An init function writes exactly the claimed bytes: the macro's values as far as both sides know, then zeros.
template <class T>
void try_init(Input& in, const T& right, swd_status (*init)(T*, uint64_t)) {
  Claimed& at = room(0);
  uint64_t size = in.below(8) == 1 ? in.bits(8) : claimed_size(in, sizeof(T));
  bool readable = is_size<T>(size);
  at.open();
  memset(at.data(), 0xEE, kMost);
  at.lock(readable ? static_cast<uint32_t>(size) : 0);
  expect(init(reinterpret_cast<T*>(at.data()), size), !readable);
  at.open();
  if (!readable) return;
  T wanted = right;
  uint32_t size32 = static_cast<uint32_t>(size);
  memcpy(&wanted, &size32, sizeof size32);
  SWD_FUZZ_EXPECT(memcmp(at.data(), &wanted, std::min<uint64_t>(size, sizeof wanted)) == 0);
  for (uint64_t i = sizeof(T); i < size; ++i) SWD_FUZZ_EXPECT(at.data()[i] == 0);
}

}  // namespace
}  // namespace swd::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace swd::fuzz;
  Input in(data, size);
  World& w = world(in.below(kWideWorlds));  // an older struct cannot describe the others
  uint32_t which = in.below(8);
  if (which == 0) try_plan(in, w);
  if (which == 1) try_step(in, w);
  if (which == 2) try_buffers(in, w);
  if (which == 3) try_init<swd_plan_args>(in, SWD_PLAN_ARGS_INIT, swd_plan_args_init);
  if (which == 4) try_init<swd_buffers>(in, SWD_BUFFERS_INIT, swd_buffers_init);
  if (which == 5) try_init<swd_step_args>(in, SWD_STEP_ARGS_INIT, swd_step_args_init);
  if (which == 6) try_init<swd_fp32_arrays>(in, SWD_FP32_ARRAYS_INIT, swd_fp32_arrays_init);
  if (which == 7) try_arrays(in, w);
  w.restore();
  return 0;
}
