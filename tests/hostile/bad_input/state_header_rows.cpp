// SPDX-License-Identifier: Apache-2.0
// Bad inputs of the calls on the header of a state image, and sizes of what is read from and written to an image.
#include "scene.h"

namespace swd::test {
namespace {

void add(Rows& rows, swd_status status, const char* field, std::function<swd_status(Scene&)> call) {
  rows.push_back({Kind::kPlain, status, field, std::move(call)});
}

swd_status set_header(Scene& s) {
  return swd_state_header_set(s.runner.plan(), s.image, s.image_bytes, &s.state_header, sizeof(swd_state_header));
}

// The structs with the sizes that callers know them by, the first version's or more.
template <class T>
void add_sized_rows(Rows& rows, uint64_t first_size, swd_status (*set_sized)(Scene&, const T*, uint64_t),
                    swd_status (*get_sized)(Scene&, T*, uint64_t), T Scene::*good) {
  add(rows, SWD_ERR_SIZE, "size", [=](Scene& s) { return get_sized(s, s.out<T>(), 0); });
  for (uint64_t size : {uint64_t{0}, uint64_t{8}, first_size - 1, uint64_t{4097}, UINT64_MAX}) {
    add(rows, SWD_ERR_STRUCT_SIZE, "size", [=](Scene& s) { return set_sized(s, &(s.*good), size); });
  }
  for (uint64_t more : {uint64_t{1}, uint64_t{8}}) {  // a longer one, whose last byte is set
    add(rows, SWD_ERR_STRUCT_SIZE, "size", [=](Scene& s) {
      memcpy(s.wide.bytes, &(s.*good), sizeof(T));
      s.wide.bytes[sizeof(T) + more - 1] = 1;
      return set_sized(s, reinterpret_cast<const T*>(s.wide.bytes), sizeof(T) + more);
    });
  }
}

}  // namespace

void add_state_header_rows(Rows& rows) {
  add_sized_rows<swd_state_header>(
      rows, offsetof(swd_state_header, rounding_seed),
      [](Scene& s, const swd_state_header* in, uint64_t size) {
        return swd_state_header_set(s.runner.plan(), s.image, s.image_bytes, in, size);
      },
      [](Scene& s, swd_state_header* out, uint64_t size) {
        return swd_state_header_get(s.runner.plan(), s.image, s.image_bytes, out, size);
      },
      &Scene::state_header);
  add_sized_rows<swd_segment_state>(
      rows, offsetof(swd_segment_state, exp_avg_sq_unit),
      [](Scene& s, const swd_segment_state* in, uint64_t size) {
        return swd_state_set(s.runner.plan(), s.image, s.image_bytes, 0, in, size);
      },
      [](Scene& s, swd_segment_state* out, uint64_t size) {
        return swd_state_get(s.runner.plan(), s.image, s.image_bytes, 0, out, size);
      },
      &Scene::segment_state);
  add(rows, SWD_ERR_NULL, "plan",
      [](Scene& s) { return swd_state_header_get(nullptr, s.image, s.image_bytes, s.out<swd_state_header>(), 24); });
  add(rows, SWD_ERR_NULL, "plan",
      [](Scene& s) { return swd_state_header_set(nullptr, s.image, s.image_bytes, &s.state_header, 24); });
  add(rows, SWD_ERR_NULL, "out",
      [](Scene& s) { return swd_state_header_get(s.runner.plan(), s.image, s.image_bytes, nullptr, 24); });
  add(rows, SWD_ERR_NULL, "in",
      [](Scene& s) { return swd_state_header_set(s.runner.plan(), s.image, s.image_bytes, nullptr, 24); });
  for (uint64_t by = 1; by < kWordAlignment; ++by) {
    add(rows, SWD_ERR_ALIGNMENT, "out", [by](Scene& s) {
      return swd_state_header_get(s.runner.plan(), s.image, s.image_bytes, s.out<swd_state_header>(by), 24);
    });
    add(rows, SWD_ERR_ALIGNMENT, "in", [by](Scene& s) {
      return swd_state_header_set(s.runner.plan(), s.image, s.image_bytes, s.out<swd_state_header>(by), 24);
    });
  }
  for (double reference : {-1.0, -5e-324, kInf, -kInf, kNan}) {
    add(rows, SWD_ERR_VALUE, "vbar_reference", [reference](Scene& s) {
      s.state_header.vbar_reference = reference;
      return set_header(s);
    });
  }
}

}  // namespace swd::test
