// SPDX-License-Identifier: Apache-2.0
// The axes of the benchmark. Each axis varies around one base case (fp32, scheduled decay, clipped, one segment, 2^26
// elements): the full product would take days and says nothing more, because the axes hardly interact.
#include "cases.h"
#include "roof_cpu.h"

namespace swd::bench {
namespace {

constexpr int64_t kBase = int64_t{1} << 26;
// Parameters of ResNet-50, GPT-2 (124M) and ViT-L/16, as their frameworks count them.
constexpr int64_t kModels[] = {25557032, 124439808, 304326632};
constexpr swd_dtype kGrads[] = {SWD_DTYPE_F32, SWD_DTYPE_BF16, SWD_DTYPE_F16};
constexpr swd_dtype kCopies[] = {SWD_DTYPE_NONE, SWD_DTYPE_BF16, SWD_DTYPE_F16};

struct List {
  swd_backend backend;
  std::vector<Case> cases;

  Case base(Part part, int64_t elements) const {
    Case c;
    c.part = part;
    c.backend = backend;
    c.elements = elements;
    return c;
  }
  void add(const Case& c) { cases.push_back(c); }
  void add_parts(Case c) {
    for (Part part : {Part::kNorm, Part::kUpdate, Part::kStep}) {
      c.part = part;
      add(c);
    }
  }
};

void add_sizes(List& list) {
  list.add(list.base(Part::kStep, 1000));  // the cost of a call
  for (int power = 10; power <= 30; power += 4) {
    for (bool cold : {false, true}) {
      Case c = list.base(Part::kStep, int64_t{1} << power);
      c.cold = cold;
      list.add_parts(c);
    }
    list.add(list.base(Part::kMemcpy, int64_t{1} << power));
  }
  for (int64_t elements : kModels) list.add(list.base(Part::kStep, elements));
}

void add_dtypes(List& list) {
  for (swd_dtype grad : kGrads) {
    for (swd_dtype copy : kCopies) {
      Case c = list.base(Part::kStep, kBase);
      c.grad = grad;
      c.copy = copy;
      if (grad != SWD_DTYPE_F32 || copy != SWD_DTYPE_NONE) list.add_parts(c);
    }
  }
}

void add_states(List& list) {
  for (const Storage& states : kStorages) {
    for (swd_dtype grad : {SWD_DTYPE_BF16, SWD_DTYPE_F32}) {
      Case c = list.base(Part::kStep, kBase);
      c.grad = grad;
      c.states = states;
      if (is_fp32(c)) continue;
      if (&states >= kStorages + kPresets) {
        list.add(c);
        continue;
      }
      list.add_parts(c);
      c.elements = int64_t{1} << 30;  // the size to quote of a device
      if (list.backend == SWD_BACKEND_CUDA) list.add(c);
    }
  }
}

void add_modes(List& list) {
  for (swd_decay decay : {SWD_DECAY_DECOUPLED, SWD_DECAY_L2, SWD_DECAY_NONE}) {
    Case c = list.base(Part::kStep, kBase);
    c.decay = decay;
    list.add(c);
  }
  Case unclipped = list.base(Part::kStep, kBase);
  unclipped.clip = false;
  list.add(unclipped);
  for (int64_t segments : {148, 4096, 65536}) {  // 148: the tensors of GPT-2
    Case c = list.base(Part::kStep, kBase);
    c.segments = segments;
    list.add_parts(c);
  }
}

void add_graphs(List& list) {
  for (int power = 10; power <= 26; power += 4) {
    Case c = list.base(Part::kStep, int64_t{1} << power);
    c.graph = true;
    list.add(c);
  }
}

void add_threads(List& list, int64_t elements) {
  int cores = core_count();
  for (int threads = 1; threads < 2 * cores; threads *= 2) {
    Case c = list.base(Part::kStep, elements);
    c.threads = threads < cores ? threads : cores;
    list.add_parts(c);
  }
}

}  // namespace

std::vector<Case> all_cases(swd_backend backend) {
  List list{backend, {}};
  add_sizes(list);
  add_dtypes(list);
  add_states(list);
  add_modes(list);
  if (backend == SWD_BACKEND_CUDA) {
    add_graphs(list);
    list.add(list.base(Part::kStale, kBase));
    list.add(list.base(Part::kUntouched, kBase));
  }
  if (backend == SWD_BACKEND_CPU) {
    add_threads(list, kBase);
    list.add(list.base(Part::kStale, int64_t{1} << 18));
  }
  return list.cases;
}

std::vector<Case> quick_cases(swd_backend backend) {
  List list{backend, {}};
  list.add(list.base(Part::kStep, 1000));
  for (int power : {14, 18, 22}) list.add(list.base(Part::kStep, int64_t{1} << power));
  list.add(list.base(Part::kMemcpy, kBase));
  list.add_parts(list.base(Part::kStep, kBase));
  for (swd_dtype grad : {SWD_DTYPE_BF16, SWD_DTYPE_F16}) {
    Case c = list.base(Part::kStep, kBase);
    c.grad = grad;
    list.add(c);
  }
  for (const char* preset : {"mixed16", "compact8"}) {
    Case c = list.base(Part::kStep, kBase);
    c.grad = SWD_DTYPE_BF16;
    c.states = storage_named(preset);
    list.add(c);
  }
  if (backend == SWD_BACKEND_CPU) list.add(list.base(Part::kStale, int64_t{1} << 18));
  if (backend == SWD_BACKEND_CUDA) {
    add_graphs(list);
    list.add(list.base(Part::kUntouched, kBase));
    list.add_parts(list.base(Part::kStep, int64_t{1} << 30));
  }
  return list.cases;
}

}  // namespace swd::bench
