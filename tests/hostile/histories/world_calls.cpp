// SPDX-License-Identifier: Apache-2.0
// A world's arguments, comparisons, and calls on a fresh workspace.
#include <cmath>
#include <cstring>

#include "support/numbers.h"
#include "world.h"

namespace swd::histories {
namespace {

constexpr const char* kNames[kPieces] = {
    "param",     "grad",          "exp_avg",          "exp_avg_sq", "max_exp_avg_sq", "param_copy",
    "remainder", "exp_avg_scale", "exp_avg_sq_scale", "state",      "workspace",      "groups",
    "scalars",   "has_grad",      "records",          "fp32 param", "fp32 exp_avg",   "fp32 exp_avg_sq"};

}  // namespace

swd_step_args World::args(uint8_t* base) {
  swd_step_args a = SWD_STEP_ARGS_INIT;
  a.flags = batch.flags;
  a.group_count = static_cast<uint32_t>(batch.groups.size());
  const float* scalars = reinterpret_cast<const float*>(base + places.of(kScalars));
  size_t groups = batch.groups.size();
  sent_.clear();
  for (size_t i = 0; i < groups; ++i) {
    swd_group g = batch.groups[i];
    if (batch.lr_on_device) {
      g.lr = 77.0;
      g.lr_pointer = scalars + i;
    }
    sent_.push_back(g);
  }
  a.groups = sent_.data();
  if (batch.groups_on_device) {
    a.groups = nullptr;
    a.groups_device = reinterpret_cast<const swd_group*>(base + places.of(kGroups));
  }
  a.loss_scale = batch.host_loss_scale;
  if (batch.loss_scale_on_device) a.loss_scale_pointer = scalars + groups;
  a.found_inf = scalars + groups + 1;
  if (batch.uses_has_grad) a.has_grad = base + places.of(kHasGrad);
  a.max_grad_norm = batch.max_grad_norm;
  a.max_decay = batch.max_decay;
  a.reference_step = batch.reference_step;
  return a;
}

void World::take(const Batch& next) {
  batch = next;
  uint64_t width = shape.width(SWD_BUFFER_GRAD);
  std::vector<float> values = test::uniform(batch.seed, 2, shape.extent());
  std::vector<uint8_t> bytes(width * values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    float x = static_cast<float>(values[i] * batch.grad_scale);
    if (batch.spoiled >= 0 && i == static_cast<size_t>(batch.spoiled) % values.size()) x = batch.spoiled_with;
    uint16_t code = width == 2 ? test::nearest_code(shape.grad, x) : uint16_t{0};
    if (width == 2) memcpy(bytes.data() + 2 * i, &code, 2);
    if (width == 4) memcpy(bytes.data() + 4 * i, &x, 4);
  }
  put(SWD_BUFFER_GRAD, 0, bytes.data(), bytes.size());
  std::vector<float> scalars;
  for (const swd_group& g : batch.groups) scalars.push_back(static_cast<float>(g.lr));
  scalars.push_back(batch.device_loss_scale);
  scalars.push_back(batch.found_inf ? 1.0f : 0.0f);
  put(kScalars, 0, scalars.data(), 4 * scalars.size());
  put(kHasGrad, 0, batch.has_grad.data(), batch.has_grad.size());
  args();
  put(kGroups, 0, sent_.data(), sent_.size() * sizeof(swd_group));
}

void World::compare(bool workspace_written, const std::string& after) {
  std::vector<uint8_t> copied;
  const uint8_t* now = slab.data();
  if (shape.backend == SWD_BACKEND_CUDA) {
    copied.resize(mirror.size());
    slab.read(0, copied.data(), copied.size());
    now = copied.data();
  }
  uint64_t begin = places.of(kWorkspace);
  if (workspace_written) memcpy(&mirror[begin], &now[begin], places.bytes[kWorkspace]);
  if (memcmp(now, mirror.data(), mirror.size()) == 0) return;
  uint64_t i = 0;
  while (now[i] == mirror[i]) ++i;
  std::string where = "memory between the buffers, byte " + std::to_string(i);
  for (int piece = 0; piece < kPieces; ++piece) {
    for (int place = 0; place < 2; ++place) {
      uint64_t from = places.offset[piece][place];
      if (i < from || i >= from + places.bytes[piece]) continue;
      where = std::string(kNames[piece]) + ", byte " + std::to_string(i - from) +
              (place == places.at[piece] ? "" : " of where it once was");
    }
  }
  throw Finding("after " + after + ": " + where + " is not what it should be");
}

std::vector<uint8_t> World::clean(const std::vector<uint8_t>& grads,
                                  const std::function<swd_status(uint8_t*, const swd_buffers&)>& call) {
  uint8_t* base = clean_slab.data();
  std::vector<uint8_t> image = mirror;
  memcpy(&image[places.of(kWorkspace)], fresh_workspace.data(), fresh_workspace.size());
  std::vector<uint8_t> key;
  if (shape.is_list()) {
    for (size_t b = 0; b < kBuffers; ++b) {
      key.push_back(static_cast<uint8_t>(places.at[b]));
      const std::vector<uint8_t>& set = b == SWD_BUFFER_GRAD ? grads : tables[b];
      key.insert(key.end(), set.begin(), set.end());
    }
    key.push_back(static_cast<uint8_t>(places.at[kWorkspace]));
    auto known = clean_workspaces_.find(key);
    if (known != clean_workspaces_.end())
      memcpy(&image[places.of(kWorkspace)], known->second.data(), known->second.size());
  }
  clean_slab.write(0, image.data(), image.size());
  if (shape.is_list() && clean_workspaces_.count(key) == 0) {
    for (size_t b = 0; b < kBuffers; ++b) {
      if (shape.width(static_cast<int>(b)) == 0) continue;
      std::vector<const void*> all = pointers(base, static_cast<int>(b), b == SWD_BUFFER_GRAD ? grads : tables[b]);
      must(swd_set_pointers(clean_plan.get(), base + places.of(kWorkspace), static_cast<int>(b), 0,
                            static_cast<int64_t>(all.size()), all.data(), stream()),
           "swd_set_pointers on a fresh workspace");
    }
    std::vector<uint8_t> made(fresh_workspace.size());
    clean_slab.read(places.of(kWorkspace), made.data(), made.size());
    clean_workspaces_[key] = made;
  }
  if (batch.groups_on_device) {  // learning rates of this memory
    args(base);
    clean_slab.write(places.of(kGroups), sent_.data(), sent_.size() * sizeof(swd_group));
  }
  must(call(base, buffers(base)), "a call on a fresh workspace");
  clean_slab.read(0, image.data(), image.size());
  return image;
}

Statistics World::statistics(uint8_t* workspace, const PlanPointer& of) {
  Statistics out{swd_stats{}, std::vector<double>(shape.decay.size(), 0.0)};
  must(swd_stats_fetch(of.get(), workspace, &out.stats, sizeof out.stats, out.lambda_eff.data(), stream()),
       "swd_stats_fetch");
  uint8_t ignored;
  slab.read(0, &ignored, 1);  // waits for the stream
  return out;
}

}  // namespace swd::histories
