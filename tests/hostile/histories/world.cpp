// SPDX-License-Identifier: Apache-2.0
// Lays out the memory of a world, and gives calls what they need of it.
#include "world.h"

#include <cstring>

#include "support/buffer_bases.h"
#include "support/numbers.h"

namespace swd::histories {
namespace {

constexpr uint64_t kGap = 32;
constexpr uint8_t kPoison = 0xFE;

bool is_scale(int buffer) { return buffer == SWD_BUFFER_EXP_AVG_SCALE || buffer == SWD_BUFFER_EXP_AVG_SQ_SCALE; }

uint64_t state_bytes_of(const PlanPointer& plan) {
  uint64_t bytes = 0;
  must(swd_state_size(plan.get(), &bytes), "swd_state_size");
  return bytes;
}

uint64_t bytes_of(const Shape& s, const PlanPointer& plan, int piece) {
  uint64_t bytes = 0, groups = s.decay.size();
  switch (piece) {
    case kState:
      return state_bytes_of(plan);
    case kWorkspace:
      must(swd_workspace_size(plan.get(), &bytes), "swd_workspace_size");
      return bytes + 1024;  // a plan with update norms needs more
    case kGroups:
      return groups * sizeof(swd_group);
    case kScalars:
      return 4 * (groups + 2);
    case kHasGrad:
      return s.segments();
    case kRecords:
      return 2 * kRecordBytes;
    default:
      break;
  }
  if (piece >= kFp32) return 4 * static_cast<uint64_t>(s.extent());
  if (piece == SWD_BUFFER_MAX_EXP_AVG_SQ) return 4 * static_cast<uint64_t>(s.extent());  // there if it is switched on
  if (!is_scale(piece)) return s.width(piece) * static_cast<uint64_t>(s.extent());
  if (s.width(piece) == 0) return 0;
  if (!s.is_list()) must(swd_scale_size(plan.get(), &bytes), "swd_scale_size");
  return s.is_list() ? 4 * s.segments() : bytes;
}

Places lay_out(const Shape& s, const PlanPointer& plan) {
  Places out;
  uint64_t at = kGap;
  for (int place = 0; place < 2; ++place) {
    for (int piece = 0; piece < kPieces; ++piece) {
      out.bytes[piece] = bytes_of(s, plan, piece);
      at = (at + 15) / 16 * 16;
      uint64_t shift = piece < kBuffers ? static_cast<uint64_t>(piece + 1) * s.shift * s.width(piece) : 0;
      out.offset[piece][place] = at + shift + (place == 1 && piece < kBuffers ? s.width(piece) : 0);
      at = out.offset[piece][place] + out.bytes[piece] + kGap;
    }
  }
  out.total = at;
  return out;
}

}  // namespace

World::World(Input& in, const Shape& s, PlanPointer p)
    : shape(s),
      plan(p),
      clean_plan(make_plan(s)),
      places(histories::lay_out(s, p)),
      slab(s.backend, places.total),
      clean_slab(s.backend, places.total),
      mirror(places.total, kPoison),
      tables(kBuffers, std::vector<uint8_t>(s.segments(), 0)) {
  for (int piece = 0; piece < kPieces; ++piece) {
    if (piece != kWorkspace && piece < kFp32) memset(mirrored(piece), 0, places.bytes[piece]);
  }
  std::vector<float> start = test::uniform(in.byte(), 1, shape.extent());
  for (size_t i = 0; i < start.size(); ++i) {
    if (shape.param == SWD_DTYPE_F32) memcpy(mirrored(SWD_BUFFER_PARAM) + 4 * i, &start[i], 4);
    uint16_t code = test::nearest_code(SWD_DTYPE_BF16, start[i]);
    if (shape.param == SWD_DTYPE_BF16) memcpy(mirrored(SWD_BUFFER_PARAM) + 2 * i, &code, 2);
  }
  slab.write(0, mirror.data(), mirror.size());
  forget_workspace();
  must(swd_workspace_init(plan.get(), at(kWorkspace), places.bytes[kWorkspace], stream()), "swd_workspace_init");
  if (shape.is_list()) {
    for (int b = 0; b < kBuffers; ++b) {
      if (shape.width(b) == 0) continue;
      tables[static_cast<size_t>(b)].assign(shape.segments(), 1);
      std::vector<const void*> all = pointers(slab.data(), b, tables[static_cast<size_t>(b)]);
      must(swd_set_pointers(plan.get(), at(kWorkspace), b, 0, static_cast<int64_t>(all.size()), all.data(), stream()),
           "swd_set_pointers");
    }
  }
  take(draw_batch(in, shape));
  compare(true, "the start");
}

void World::forget_workspace() {
  progress = Progress(shape.segments());
  progress.failed = false;
  workspace_valid = true;
  told = {swd_stats{}, std::vector<double>(shape.decay.size(), 0.0)};
  uint64_t bytes = 0;
  must(swd_workspace_size(plan.get(), &bytes), "swd_workspace_size");
  std::vector<uint64_t> image((bytes + 31) / 8);
  uint8_t* aligned = reinterpret_cast<uint8_t*>((reinterpret_cast<uintptr_t>(image.data()) + 15) / 16 * 16);
  must(swd_workspace_image(clean_plan.get(), aligned, bytes), "swd_workspace_image");
  fresh_workspace.assign(aligned, aligned + bytes);
  clean_workspaces_.clear();
}

uint64_t World::position(int buffer, size_t k) const {
  if (!is_scale(buffer)) return shape.width(buffer) * static_cast<uint64_t>(shape.offset(k));
  uint64_t bytes = 4 * k;
  if (!shape.is_list()) must(swd_scale_offset(plan.get(), static_cast<int64_t>(k), &bytes), "swd_scale_offset");
  return bytes;
}

swd_buffers World::buffers(uint8_t* base) const {
  swd_buffers b = SWD_BUFFERS_INIT;
  for (int p = 0; !shape.is_list() && p <= SWD_BUFFER_EXP_AVG_SQ_SCALE; ++p) {
    if (shape.width(p) != 0) test::set_base(b, p, base + places.of(p));
  }
  b.state = base + places.of(kState);
  b.state_bytes = places.bytes[kState];
  b.workspace = base + places.of(kWorkspace);
  b.workspace_bytes = places.bytes[kWorkspace];
  return b;
}

std::vector<const void*> World::pointers(uint8_t* base, int buffer, const std::vector<uint8_t>& set) const {
  std::vector<const void*> out;
  for (size_t k = 0; k < shape.segments(); ++k) {
    out.push_back(set[k] ? base + places.of(buffer) + position(buffer, k) : nullptr);
  }
  return out;
}

bool World::has_gradient(size_t k) const {
  if (shape.counts[k] == 0 || (batch.uses_has_grad && batch.has_grad[k] == 0)) return false;
  return !shape.is_list() || tables[SWD_BUFFER_GRAD][k] != 0;
}

std::vector<uint8_t> World::with_gradient() const {
  std::vector<uint8_t> out;
  for (size_t k = 0; k < shape.segments(); ++k) out.push_back(has_gradient(k));
  return out;
}

void World::put(int piece, uint64_t offset, const void* from, uint64_t bytes) {
  if (bytes == 0) return;
  memcpy(mirrored(piece) + offset, from, bytes);
  slab.write(places.of(piece) + offset, from, bytes);
}

void World::move(int piece) {
  std::vector<uint8_t> held(mirrored(piece), mirrored(piece) + places.bytes[piece]);
  if (piece == kWorkspace) slab.read(places.of(piece), held.data(), held.size());
  std::vector<uint8_t> poison(held.size(), kPoison);
  put(piece, 0, poison.data(), poison.size());
  places.at[piece] ^= 1;
  put(piece, 0, held.data(), held.size());
}

}  // namespace swd::histories
