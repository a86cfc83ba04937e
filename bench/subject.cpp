// SPDX-License-Identifier: Apache-2.0
// Sets libswd up for one Case. Gradients are pseudo-random and stay the same from step to step; the learning rate is
// so small that parameters stay ordinary numbers however long a benchmark runs.
#include "subject.h"

#include <cstring>
#include <new>
#include <stdexcept>

namespace swd::bench {
namespace {

Allocator memory_of(Machine& machine) {
  return {[](void* of, uint64_t bytes) -> void* {
            try {
              void* memory = static_cast<Machine*>(of)->allocate(bytes);
              static_cast<Machine*>(of)->zero(memory, bytes);
              static_cast<Machine*>(of)->synchronize();
              return memory;
            } catch (const std::bad_alloc&) {
              return nullptr;
            }
          },
          [](void* of, void* memory, uint64_t) { static_cast<Machine*>(of)->release(memory); }, &machine};
}

// One allocation per machine and slot that only grows. Never released: at exit the CUDA runtime may be gone before it.
uint8_t* arena(Machine& machine, swd_backend backend, int slot, uint64_t bytes) {
  static auto* arenas = new Memory[2][2];
  Memory& memory = arenas[backend == SWD_BACKEND_CPU ? 0 : 1][slot];
  if (bytes > memory.bytes()) {
    memory = Memory();
    uint64_t available = machine.available_bytes();
    // A tenth stays free: a host that swaps measures its disk.
    if (bytes > available - available / 10) {
      throw std::runtime_error("needs " + std::to_string(bytes >> 20) + " MiB, " + std::to_string(available >> 20) +
                               " MiB are available");
    }
    memory = Memory(bytes, memory_of(machine));
  }
  return static_cast<uint8_t*>(memory.data());
}

// Values in +-`largest` whose exponents vary, in the bits of a dtype. fp16 and bf16 bits come from truncation.
std::vector<uint8_t> pattern(swd_dtype dtype, float largest) {
  constexpr int64_t kElements = int64_t{1} << 20;
  std::vector<uint8_t> out(static_cast<size_t>(kElements) * (dtype == SWD_DTYPE_F32 ? 4 : 2));
  uint32_t x = 1;
  for (int64_t i = 0; i < kElements; ++i) {
    x = x * 1664525u + 1013904223u;
    float value = (static_cast<float>(x >> 8) / 8388608.0f - 1.0f) * largest;
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    uint32_t exponent = (bits >> 23) & 0xFFu, sign = (bits >> 16) & 0x8000u;
    uint32_t half = exponent < 113u ? sign : sign | ((exponent - 112u) << 10) | ((bits >> 13) & 0x3FFu);
    uint16_t narrow = static_cast<uint16_t>(dtype == SWD_DTYPE_BF16 ? bits >> 16 : half);
    if (dtype == SWD_DTYPE_F32) std::memcpy(&out[static_cast<size_t>(i) * 4], &bits, 4);
    if (dtype != SWD_DTYPE_F32) std::memcpy(&out[static_cast<size_t>(i) * 2], &narrow, 2);
  }
  return out;
}

uint64_t width(swd_dtype dtype) { return dtype_bytes(dtype); }

}  // namespace

Subject::Subject(Machine& machine, const Case& the_case, int slot)
    : machine_(machine),
      case_(the_case),
      plan_(make_plan()),
      state_(plan_, memory_of(machine)),
      workspace_(plan_, memory_of(machine), machine.stream()),
      buffers_(swd::buffers(state_, workspace_)) {
  allocate(slot);
  group_.lr = 1e-7;
  group_.weight_decay = 1e-4;
  args_.groups = &group_;
  args_.group_count = 1;
  args_.max_grad_norm = case_.clip ? 1.0 : 0.0;
}

Subject::~Subject() { machine_.synchronize(); }

void Subject::allocate(int slot) {
  uint64_t n = static_cast<uint64_t>(case_.elements);
  // As separate allocations of malloc lie: whole pages, and one page more. Arrays whose distance is a multiple of a
  // large power of two share their places in the first cache and cost twice the time, libswd's and anybody's.
  auto padded = [](uint64_t bytes) { return (bytes + 4095) / 4096 * 4096 + 4096; };
  const Storage& states = case_.states;
  void* grad = nullptr;
  struct {
    void** pointer;
    uint64_t bytes;
  } arrays[] = {{&buffers_.param, n * width(states.param)},       {&buffers_.exp_avg, n * width(states.moment)},
                {&buffers_.exp_avg_sq, n * width(states.moment)}, {&grad, n * width(case_.grad)},
                {&buffers_.param_copy, n * width(case_.copy)},    {&buffers_.remainder, n * width(states.remainder)},
                {&buffers_.exp_avg_scale, scale_bytes()},         {&buffers_.exp_avg_sq_scale, scale_bytes()}};
  uint64_t all = 0;
  for (const auto& array : arrays) all += array.bytes ? padded(array.bytes) : 0;
  uint8_t* at = arena(machine_, case_.backend, slot, all);
  for (const auto& array : arrays) {
    if (array.bytes == 0) continue;
    *array.pointer = at;
    machine_.zero(at, array.bytes);
    at += padded(array.bytes);
  }
  buffers_.grad = grad;
  fill(buffers_.param, n * width(states.param), pattern(states.param, 0.05f));
  make_gradients(false);
}

uint64_t Subject::scale_bytes() const {
  uint64_t bytes = 0;
  if (case_.states.moment == SWD_DTYPE_BLOCK8) check(swd_scale_size(plan_, &bytes));
  return bytes;
}

void Subject::fill(void* target, uint64_t bytes, const std::vector<uint8_t>& with) {
  machine_.fill(target, bytes, with.data(), with.size());
}

void Subject::make_gradients(bool zero) {
  constexpr uint64_t kLive = 4096;  // a model of which nothing at all is live would have no schedule
  uint64_t bytes = static_cast<uint64_t>(case_.elements) * width(case_.grad), live = kLive * width(case_.grad);
  void* grad = const_cast<void*>(buffers_.grad);
  if (zero) machine_.zero(grad, bytes);
  fill(grad, zero && live < bytes ? live : bytes, pattern(case_.grad, 0.01f));
}

// Cuts that fall on no chunk and no vector, as the tensors of a model do.
Plan Subject::make_plan() const {
  std::vector<swd_segment> segments;
  int64_t begin = 0;
  for (int64_t k = 1; k <= case_.segments; ++k) {
    int64_t end = k == case_.segments ? case_.elements : case_.elements / case_.segments * k + k % 7;
    segments.push_back(swd_segment{begin, end - begin, 0, 0, 0});
    begin = end;
  }
  swd_plan_args plan = SWD_PLAN_ARGS_INIT;
  plan.backend = case_.backend;
  plan.grad_dtype = case_.grad;
  plan.copy_dtype = case_.copy;
  plan.param_dtype = case_.states.param;
  plan.remainder_dtype = case_.states.remainder;
  plan.moment_dtype = case_.states.moment;
  plan.segments = segments.data();
  plan.segment_count = case_.segments;
  plan.decay_modes = &case_.decay;
  plan.threads = case_.threads;
  return Plan(plan);
}

void Subject::prepare() {
  if (case_.part != Part::kUpdate) return;
  void* stream = machine_.stream();
  check(swd_reduce(plan_, &buffers_, &args_, SWD_PHASE_GRAD, 0, case_.segments, stream));
  check(swd_fold(plan_, &buffers_, &args_, SWD_PHASE_GRAD, nullptr, 0, stream));
  check(swd_decide(plan_, &buffers_, &args_, SWD_PHASE_GRAD, nullptr, 0, stream));
}

void Subject::run() {
  void* stream = machine_.stream();
  if (case_.part == Part::kNorm) {
    check(swd_reduce(plan_, &buffers_, &args_, SWD_PHASE_GRAD, 0, case_.segments, stream));
  } else if (case_.part == Part::kUpdate) {
    check(swd_update(plan_, &buffers_, &args_, stream));
  } else {
    check(swd_step(plan_, &buffers_, &args_, stream));
  }
}

RoofArrays Subject::roof_arrays() const {
  RoofArrays arrays;
  arrays.elements = case_.elements;
  auto as_bf16 = [](swd_dtype dtype) { return dtype == SWD_DTYPE_F16 ? SWD_DTYPE_BF16 : dtype; };
  arrays.dtypes = {case_.states.param, as_bf16(case_.grad), as_bf16(case_.copy), case_.states.moment,
                   case_.states.remainder};
  arrays.grad = buffers_.grad;
  arrays.param = buffers_.param;
  arrays.remainder = buffers_.remainder;
  arrays.exp_avg = buffers_.exp_avg;
  arrays.exp_avg_sq = buffers_.exp_avg_sq;
  arrays.param_copy = buffers_.param_copy;
  arrays.threads = case_.threads;
  return arrays;
}

}  // namespace swd::bench
