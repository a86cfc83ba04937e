// SPDX-License-Identifier: Apache-2.0
// Whether two buffers share memory, to the byte: gaps between segments belong to nobody, so interleaved arenas are
// fine. Hulls first, which is all that most models need; a walk over the segments only where hulls meet.
#include <algorithm>
#include <vector>

#include "check.h"
#include "kernels/record.h"

namespace swd {
namespace {

using Long = long long;  // what printf knows on every platform
using UnsignedLong = unsigned long long;

// Behind `bytes` from an address on; the last address where that is beyond all of them.
uintptr_t end_of(uintptr_t at, uint64_t bytes) { return bytes > UINTPTR_MAX - at ? UINTPTR_MAX : at + bytes; }

uintptr_t address(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer); }

bool hulls_meet(const Extent& a, const Extent& b) {
  if (a.bytes == 0 || b.bytes == 0) return false;
  uintptr_t at_a = address(a.base), at_b = address(b.base);
  return at_a <= at_b ? at_b - at_a < a.bytes : at_a - at_b < b.bytes;
}

// The pieces of an extent, ascending: its segments, or all of it at once.
class Pieces {
 public:
  Pieces(const Plan& plan, const Extent& extent) : plan_(plan), extent_(extent) { next(); }
  bool more() const { return more_; }
  uintptr_t begin() const { return begin_; }
  uintptr_t end() const { return end_; }
  void next() {
    uintptr_t base = address(extent_.base);
    if (extent_.element == 0) {
      more_ = at_++ == 0 && extent_.bytes > 0;
      begin_ = base;
      end_ = end_of(base, extent_.bytes);
      return;
    }
    while (at_ < plan_.segments.size() && plan_.segments[at_].count == 0) ++at_;
    more_ = at_ < plan_.segments.size();
    if (!more_) return;
    const SegmentInfo& segment = plan_.segments[at_++];
    begin_ = end_of(base, static_cast<uint64_t>(segment.offset) * extent_.element);
    end_ = end_of(begin_, static_cast<uint64_t>(segment.count) * extent_.element);
  }

 private:
  const Plan& plan_;
  const Extent& extent_;
  size_t at_ = 0;
  uintptr_t begin_ = 0, end_ = 0;
  bool more_ = false;
};

bool pieces_meet(const Plan& plan, const Extent& a, const Extent& b) {
  Pieces x(plan, a), y(plan, b);
  while (x.more() && y.more()) {
    if (x.begin() < y.end() && y.begin() < x.end()) return true;
    if (x.end() <= y.end()) {
      x.next();
    } else {
      y.next();
    }
  }
  return false;
}

swd_status refuse(const Extent& a, const Extent& b) {
  return set_error(SWD_ERR_OVERLAP, "%s (%p, %llu bytes) and %s (%p, %llu bytes) share memory", a.name, a.base,
                   static_cast<UnsignedLong>(a.bytes), b.name, b.base, static_cast<UnsignedLong>(b.bytes));
}

struct Tensor {
  uintptr_t begin, end;
  int64_t number;  // in the row
};

// What the caller calls a pointer of a row.
struct Name {
  const char* array;
  Long index;
};

Name name_of(const Plan& plan, const PointerRow& row, int64_t number) {
  if (row.buffer != kFp32Row) return Name{"pointers", number};
  return Name{row.names[number / plan.facts.segment_count], number % plan.facts.segment_count};
}

const char* kind_of(const PointerRow& row) { return row.buffer == kFp32Row ? "fp32" : kBufferNames[row.buffer]; }

uint64_t bytes_of(const Plan& plan, const PointerRow& row, int64_t number) {
  int64_t segment = (row.first + number) % plan.facts.segment_count;
  int64_t count = plan.segments[static_cast<size_t>(segment)].count;
  return row.buffer == kFp32Row ? sizeof(float) * static_cast<uint64_t>(count)
                                : bytes_of(plan.facts, row.buffer, count);
}

bool starts_before(const Tensor& a, const Tensor& b) { return a.begin < b.begin; }

// The buffers that are set already, against those of this call, which are sorted and disjoint. Not the gradients: those
// of the latest step are often freed, and what is set now may lie where they lay.
swd_status check_against_set(const Plan& plan, const Workspace& ws, const PointerRow& row, const Tensor* tensors,
                             const Tensor* end) {
  for (int b = 0; b < kBufferCount; ++b) {
    bool counts = b != SWD_BUFFER_GRAD && plan.facts.element_bytes[b] != 0;
    for (int64_t k = 0; counts && k < plan.facts.segment_count; ++k) {
      bool replaced = b == row.buffer && k >= row.first && k < row.first + row.count;
      uintptr_t at = address(ws.pointers[b * plan.facts.segment_count + k]);
      uint64_t bytes = bytes_of(plan.facts, b, plan.segments[static_cast<size_t>(k)].count);
      if (replaced || at == 0 || bytes == 0) continue;
      const Tensor* behind = std::lower_bound(tensors, end, Tensor{end_of(at, bytes), 0, 0}, starts_before);
      if (behind == tensors || behind[-1].end <= at) continue;
      Name name = name_of(plan, row, behind[-1].number);
      return set_error(SWD_ERR_OVERLAP, "%s[%lld] (%s, %p) and %s of segment %lld (%p, %llu bytes) share memory",
                       name.array, name.index, kind_of(row), row.pointers[behind[-1].number], kBufferNames[b],
                       static_cast<Long>(k), reinterpret_cast<void*>(at), static_cast<UnsignedLong>(bytes));
    }
  }
  return SWD_OK;
}

}  // namespace

swd_status check_apart(const Plan& plan, const Extent& a, const Extent& b) {
  return hulls_meet(a, b) && pieces_meet(plan, a, b) ? refuse(a, b) : SWD_OK;
}

swd_status check_disjoint(const void* a, uint64_t a_bytes, const char* a_name, const void* b, uint64_t b_bytes,
                          const char* b_name) {
  Extent x{a_name, a, a_bytes, 0}, y{b_name, b, b_bytes, 0};
  return hulls_meet(x, y) ? refuse(x, y) : SWD_OK;
}

swd_status check_tensors_apart(const Plan& plan, const Workspace& ws, const PointerRow& row) {
  constexpr int64_t kFew = 64;
  Tensor few[kFew];
  std::vector<Tensor> many;
  try {
    if (row.count > kFew) many.resize(static_cast<size_t>(row.count));
  } catch (...) {
    return set_error(SWD_ERR_MEMORY, "count is %lld: host memory ran out", static_cast<Long>(row.count));
  }
  Tensor* tensors = many.empty() ? few : many.data();
  Tensor* end = tensors;
  for (int64_t i = 0; i < row.count; ++i) {
    uint64_t bytes = bytes_of(plan, row, i);
    uintptr_t at = address(row.pointers[i]);
    if (at != 0 && bytes != 0) *end++ = {at, end_of(at, bytes), i};
  }
  std::sort(tensors, end, starts_before);
  for (Tensor* t = tensors; t != end; ++t) {
    if (t + 1 == end || t[1].begin >= t->end) continue;
    Name name = name_of(plan, row, t->number), other = name_of(plan, row, t[1].number);
    return set_error(SWD_ERR_OVERLAP, "%s[%lld] (%s, %p, %llu bytes) and %s[%lld] (%p) share memory", name.array,
                     name.index, kind_of(row), row.pointers[t->number], static_cast<UnsignedLong>(t->end - t->begin),
                     other.array, other.index, row.pointers[t[1].number]);
  }
  return plan.backend == SWD_BACKEND_CPU ? check_against_set(plan, ws, row, tensors, end) : SWD_OK;
}

}  // namespace swd
