// SPDX-License-Identifier: Apache-2.0
// The names of cases and the bytes that they move.
#include "cases.h"

#include <stdexcept>

#include "kernels/formats.h"

namespace swd::bench {
namespace {

const char* dtype_name(swd_dtype d) {
  return d == SWD_DTYPE_F32 ? "f32" : d == SWD_DTYPE_BF16 ? "bf16" : d == SWD_DTYPE_F16 ? "f16" : "none";
}

const char* decay_name(swd_decay d) {
  const char* rest = d == SWD_DECAY_L2 ? "l2" : "none";
  return d == SWD_DECAY_SCHEDULED ? "scheduled" : d == SWD_DECAY_DECOUPLED ? "decoupled" : rest;
}

const char* part_name(Part part) {
  switch (part) {
    case Part::kNorm:
      return "norm";
    case Part::kUpdate:
      return "update";
    case Part::kStep:
      return "step";
    case Part::kMemcpy:
      return "memcpy";
    case Part::kStale:
      return "stale";
    case Part::kUntouched:
      return "untouched";
  }
  return "";
}

// block8: with its share of the byte that a block has.
double bytes_of(swd_dtype d) { return dtype_bytes(d) + (d == SWD_DTYPE_BLOCK8 ? 1.0 / kScaleBlock : 0.0); }

}  // namespace

double norm_bytes(const Case& c) { return bytes_of(c.grad); }

double state_bytes(const Case& c) {
  return bytes_of(c.states.param) + bytes_of(c.states.remainder) + 2 * bytes_of(c.states.moment) + bytes_of(c.copy);
}

// The gradient is read, a copy written, everything else both.
double update_bytes(const Case& c) { return bytes_of(c.grad) + 2 * state_bytes(c) - bytes_of(c.copy); }

double part_bytes(const Case& c) {
  switch (c.part) {
    case Part::kNorm:
      return norm_bytes(c);
    case Part::kUpdate:
      return update_bytes(c);
    case Part::kMemcpy:
      return 2 * bytes_of(c.states.moment);
    case Part::kStep:
    case Part::kStale:
    case Part::kUntouched:
      return norm_bytes(c) + update_bytes(c);
  }
  return 0;
}

std::string name_of(const Case& c) {
  std::string name = std::string(part_name(c.part)) + (c.backend == SWD_BACKEND_CPU ? "/cpu/" : "/cuda/");
  name += std::to_string(c.elements) + "/grad:" + dtype_name(c.grad) + "/copy:" + dtype_name(c.copy);
  name += std::string("/states:") + c.states.name;
  name += std::string("/decay:") + decay_name(c.decay) + (c.clip ? "/clip:1" : "/clip:0");
  name += "/segments:" + std::to_string(c.segments) + (c.graph ? "/launch:graph" : "/launch:eager");
  name += std::string(c.cold ? "/cache:cold" : "/cache:warm") + "/threads:" + std::to_string(c.threads);
  return name;
}

bool is_fp32(const Case& c) { return c.states.param == SWD_DTYPE_F32 && c.states.moment == SWD_DTYPE_F32; }

Case fp32_twin(const Case& c) {
  Case twin = c;
  twin.states = kStorages[0];
  return twin;
}

Storage storage_named(const std::string& name) {
  for (const Storage& storage : kStorages) {
    if (name == storage.name) return storage;
  }
  throw std::runtime_error("no states are called " + name);
}

swd_dtype grad_named(const std::string& name) {
  for (swd_dtype grad : {SWD_DTYPE_F32, SWD_DTYPE_BF16, SWD_DTYPE_F16}) {
    if (name == dtype_name(grad)) return grad;
  }
  throw std::runtime_error("no gradients are called " + name);
}

}  // namespace swd::bench
