// SPDX-License-Identifier: Apache-2.0
// Bad inputs of swd_plan_create: the members of swd_segment and its array.
#include "scene.h"

namespace swd::test {
namespace {

// f spoils the segments, and whatever of the arguments goes with them.
void spoil(Rows& rows, swd_status status, const std::string& field, std::function<void(Scene&)> f) {
  rows.push_back({Kind::kPlain, status, "args.segments[" + field, [f](Scene& s) {
                    f(s);
                    return swd_plan_create(&s.plan_args, s.out<swd_plan*>());
                  }});
}

template <class T>
void values(Rows& rows, swd_status status, size_t k, const char* field, T swd_segment::*member,
            std::initializer_list<T> bad) {
  for (T value : bad) {
    spoil(rows, status, std::to_string(k) + "]." + field, [=](Scene& s) { s.segments[k].*member = value; });
  }
}

constexpr int64_t kMost = PTRDIFF_MAX / 4;  // elements of a plan

}  // namespace

void add_segment_rows(Rows& rows) {
  for (size_t k : {size_t{0}, size_t{1}}) {
    values<int64_t>(rows, SWD_ERR_SIZE, k, "offset", &swd_segment::offset, {-1, kMost + 1, INT64_MAX, INT64_MIN});
    values<int64_t>(rows, SWD_ERR_SIZE, k, "count", &swd_segment::count, {-1, kMost + 1, INT64_MAX, INT64_MIN});
    values<int64_t>(rows, SWD_ERR_UNEXPECTED, k, "index", &swd_segment::index, {-1, 1, INT64_MAX, INT64_MIN});
    values<uint32_t>(rows, SWD_ERR_VALUE, k, "group", &swd_segment::group, {2, UINT32_MAX});
    for (uint32_t bit = 3; bit < 32; ++bit) {
      values<uint32_t>(rows, SWD_ERR_FLAGS, k, "flags", &swd_segment::flags, {1u << bit});
    }
  }
  values<int64_t>(rows, SWD_ERR_LAYOUT, 1, "offset", &swd_segment::offset, {0, 99});
  values<int64_t>(rows, SWD_ERR_LAYOUT, 1, "offset", &swd_segment::offset, {50});
  spoil(rows, SWD_ERR_SIZE, "1].count", [](Scene& s) {  // the sum of the counts, not one of them
    s.plan_args.flags = SWD_PLAN_LIST;
    s.segments = {{0, kMost, 0, 0, 0}, {0, 1, 0, 0, 0}};
    s.plan_args.segments = s.segments.data();
  });
  spoil(rows, SWD_ERR_SIZE, "1].count", [](Scene& s) {  // offset and count, not one of them
    s.segments[1].offset = kMost - 10;
    s.segments[1].count = 11;
  });
  for (int64_t offset : {INT64_C(1), INT64_C(100)}) {
    spoil(rows, SWD_ERR_UNEXPECTED, "1].offset", [offset](Scene& s) {
      s.plan_args.flags = SWD_PLAN_LIST;
      s.segments[1].offset = offset;
    });
  }
  for (int64_t index : {INT64_C(-1), INT64_MIN, INT64_MAX, INT64_MAX - 49}) {
    spoil(rows, SWD_ERR_SIZE, "1].index", [index](Scene& s) {
      s.plan_args.flags = SWD_PLAN_INDEXED;
      s.segments[1].index = index;
    });
  }
  for (int64_t index : {INT64_C(0), INT64_C(99), INT64_C(50)}) {  // an element of two segments
    spoil(rows, SWD_ERR_LAYOUT, "", [index](Scene& s) {
      s.plan_args.flags = SWD_PLAN_INDEXED;
      s.segments[1].index = index;
    });
  }
  for (uint32_t more : {1u, 8u, 1000u}) {  // a longer segment, whose last byte is set
    for (uint32_t k : {0u, 1u}) {
      spoil(rows, SWD_ERR_STRUCT_SIZE, std::to_string(k) + "]", [more, k](Scene& s) {
        uint32_t stride = sizeof(swd_segment) + more;
        for (uint32_t i = 0; i < 2; ++i) memcpy(s.wide.bytes + i * stride, &s.segments[i], sizeof(swd_segment));
        s.wide.bytes[(k + 1) * stride - 1] = 1;
        s.plan_args.segments = reinterpret_cast<swd_segment*>(s.wide.bytes);
        s.plan_args.segment_stride = stride;
      });
    }
  }
}

}  // namespace swd::test
