// SPDX-License-Identifier: Apache-2.0
// Makes the plans and the memory of world.h.
#include "world.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "world_shapes.h"

namespace swd::fuzz {
namespace {

void must(swd_status status) {
  if (status == SWD_OK) return;
  fprintf(stderr, "the fuzzer's own setup failed: %s\n", swd_error_detail());
  abort();
}

void allocate(Piece& piece, uint64_t bytes) {
  piece.bytes = bytes;
  void* memory = nullptr;
  if (posix_memalign(&memory, 16, bytes) != 0) abort();
  piece.data = static_cast<uint8_t*>(memory);
  memset(piece.data, 0, bytes);
}

void copy(std::vector<uint8_t>& to, const uint8_t* from) {
  if (!to.empty()) memcpy(to.data(), from, to.size());
}

// As memcmp, which AddressSanitizer and libFuzzer would look into each time.
__attribute__((no_sanitize("address", "coverage"))) bool same_bytes(const uint8_t* a, const uint8_t* b,
                                                                    uint64_t bytes) {
  uint64_t different = 0, at = 0;
  for (; at + 8 <= bytes; at += 8) {
    uint64_t x, y;
    __builtin_memcpy_inline(&x, a + at, 8);
    __builtin_memcpy_inline(&y, b + at, 8);
    different |= x ^ y;
  }
  for (; at < bytes; ++at) different |= static_cast<uint64_t>(a[at] ^ b[at]);
  return different == 0;
}

// A small positive number in any dtype.
void fill_gradients(Piece& grad, swd_dtype dtype) {
  const float f32 = 0.25f;
  const uint16_t half = dtype == SWD_DTYPE_BF16 ? 0x3E80 : 0x3400;
  for (uint64_t at = 0; at < grad.bytes; at += width(dtype)) {
    if (dtype == SWD_DTYPE_F32) memcpy(grad.data + at, &f32, 4);
    if (dtype != SWD_DTYPE_F32) memcpy(grad.data + at, &half, 2);
  }
}

// Lists: each segment's part of the arrays, one behind the other.
void set_tables(World& w) {
  for (int b = 0; b < kBuffers; ++b) {
    if (w.bytes_of(b, 1) == 0) continue;
    std::vector<const void*> pointers;
    uint8_t* next = w.at(piece_of(b));
    for (const swd_segment& segment : w.segments) {
      pointers.push_back(next);
      next += w.bytes_of(b, segment.count);
    }
    must(swd_set_pointers(w.plan, w.at(kWorkspace), b, 0, w.args.segment_count, pointers.data(), nullptr));
  }
}

void allocate_all(World& w) {
  uint64_t state_bytes = 0, workspace_bytes = 0, blob_bytes = 0;
  must(swd_state_size(w.plan, &state_bytes));
  must(swd_workspace_size(w.plan, &workspace_bytes));
  must(swd_state_blob_size(w.plan, &blob_bytes));
  uint64_t bytes[kPieceCount] = {};
  for (int b = 0; b < kBuffers; ++b) {
    for (const swd_segment& segment : w.segments) bytes[piece_of(b)] += w.bytes_of(b, segment.count);
  }
  if (!w.list()) {
    must(swd_scale_size(w.plan, &bytes[kExpAvgScale]));
    bytes[kExpAvgSqScale] = bytes[kExpAvgScale];
  }
  bytes[kState] = state_bytes;
  bytes[kWorkspace] = workspace_bytes;
  bytes[kGroupsDevice] = w.groups.size() * sizeof(swd_group);
  bytes[kScalars] = 3 * sizeof(float);
  bytes[kHasGrad] = w.segments.size();
  bytes[kRecord] = 16 * sizeof(double);
  bytes[kBlob] = blob_bytes;
  for (PieceName piece : {kFp32Param, kFp32ExpAvg, kFp32ExpAvgSq}) bytes[piece] = 4 * w.elements();
  for (int i = 0; i < kPieceCount; ++i) allocate(w.pieces[i], bytes[i]);
}

World make(const Shape& s) {
  World w;
  w.decay = s.decay;
  w.groups.assign(s.decay.size(), swd_group SWD_GROUP_INIT);
  for (swd_group& group : w.groups) group.weight_decay = 0.125;
  int64_t elements = 0;
  for (int64_t count : s.counts) {
    uint32_t group = static_cast<uint32_t>(w.segments.size() % s.decay.size());
    w.segments.push_back(
        {s.flags & SWD_PLAN_LIST ? 0 : elements, count, s.flags & SWD_PLAN_INDEXED ? elements : 0, group, 0});
    elements += count;
  }
  w.args.flags = s.flags;
  w.args.grad_dtype = s.grad;
  w.args.copy_dtype = s.copy;
  w.args.param_dtype = s.param;
  w.args.moment_dtype = s.moment;
  w.args.remainder_dtype = s.remainder;
  w.args.segments = w.segments.data();
  w.args.segment_count = static_cast<int64_t>(w.segments.size());
  w.args.decay_modes = w.decay.data();
  w.args.group_count = static_cast<uint32_t>(w.decay.size());
  w.args.threads = 1;
  must(swd_plan_create(&w.args, &w.plan));
  allocate_all(w);
  fill_gradients(w.pieces[kGrad], s.grad);
  memcpy(w.at(kGroupsDevice), w.groups.data(), w.pieces[kGroupsDevice].bytes);
  memset(w.at(kHasGrad), 1, w.pieces[kHasGrad].bytes);
  *w.scalar(0) = 1e-3f;
  *w.scalar(1) = 2.0f;
  must(swd_workspace_init(w.plan, w.at(kWorkspace), w.pieces[kWorkspace].bytes, nullptr));
  if (w.list()) set_tables(w);
  must(swd_state_export(w.plan, w.at(kState), w.pieces[kState].bytes, w.at(kBlob), w.pieces[kBlob].bytes));
  for (Piece& piece : w.pieces) {
    piece.pristine.assign(piece.data, piece.data + piece.bytes);
    piece.before = piece.pristine;
  }
  return w;
}

}  // namespace

void World::snapshot() {
  for (int i = 0; touched_ != 0; ++i, touched_ >>= 1) {
    if ((touched_ & 1u) != 0) copy(pieces[i].before, pieces[i].data);
  }
}

bool World::unchanged_but(uint32_t mask) const {
  for (int i = 0; i < kPieceCount; ++i) {
    const Piece& piece = pieces[i];
    if ((mask >> i & 1u) == 0 && !same_bytes(piece.data, piece.before.data(), piece.bytes)) return false;
  }
  return true;
}

void World::restore() {
  for (int i = 0; changed_ != 0; ++i, changed_ >>= 1) {
    Piece& piece = pieces[i];
    if ((changed_ & 1u) == 0 || piece.bytes == 0) continue;
    memcpy(piece.data, piece.pristine.data(), piece.bytes);
    copy(piece.before, piece.data);
  }
  touched_ = 0;
}

World& world(uint32_t number) {
  static std::vector<World>* worlds = [] {  // never freed: libFuzzer leaves by exit()
    auto made = new std::vector<World>;
    for (uint32_t i = 0; i < kWorlds; ++i) made->push_back(make(shape(i)));
    return made;
  }();
  return (*worlds)[number];
}

}  // namespace swd::fuzz
