// SPDX-License-Identifier: Apache-2.0
// Makes and keeps the plans of plans.h.
#include "plans.h"

#include <map>
#include <mutex>

#include "swd/swd.hpp"

namespace swd_jax {
namespace {

swd::Plan make(const Description& from) {
  std::vector<swd_segment> segments;
  for (size_t k = 0; k < from.counts.size(); ++k) {
    segments.push_back({0, from.counts[k], 0, 0, static_cast<uint32_t>(from.flags[k])});
  }
  swd_plan_args args = SWD_PLAN_ARGS_INIT;
  args.flags = SWD_PLAN_LIST;  // XLA gives every leaf memory of its own
  args.backend = from.backend;
  args.grad_dtype = from.grad_dtype;
  args.segments = segments.data();
  args.segment_count = static_cast<int64_t>(segments.size());
  args.decay_modes = &from.decay;
  return swd::Plan(args);
}

}  // namespace

const swd_plan* plan_of(const Description& description) {
  // Never destroyed: threads of XLA may still step while the process ends.
  static auto& plans = *new std::map<std::vector<int64_t>, swd::Plan>;
  static auto& mutex = *new std::mutex;
  std::vector<int64_t> key = {description.backend, description.decay, description.grad_dtype};
  key.insert(key.end(), description.counts.begin(), description.counts.end());
  key.insert(key.end(), description.flags.begin(), description.flags.end());
  std::lock_guard<std::mutex> lock(mutex);
  auto found = plans.find(key);
  if (found == plans.end()) found = plans.emplace(std::move(key), make(description)).first;
  return found->second;
}

}  // namespace swd_jax
