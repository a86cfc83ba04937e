// SPDX-License-Identifier: Apache-2.0
// Bad inputs of the calls on a state image and its blobs. What is wrong inside a blob:
// tests/hostile/state_blob_test.cpp.
#include "scene.h"

namespace swd::test {
namespace {

void add(Rows& rows, swd_status status, const char* field, std::function<swd_status(Scene&)> call) {
  rows.push_back({Kind::kPlain, status, field, std::move(call)});
}

swd_status get(Scene& s, int64_t segment) {
  return swd_state_get(s.runner.plan(), s.image, s.image_bytes, segment, s.out<swd_segment_state>(),
                       sizeof(swd_segment_state));
}
swd_status set(Scene& s, int64_t segment) {
  return swd_state_set(s.runner.plan(), s.image, s.image_bytes, segment, &s.segment_state, sizeof(swd_segment_state));
}
swd_status export_(Scene& s) {
  return swd_state_export(s.runner.plan(), s.image, s.image_bytes, s.blob, s.blob_bytes[0]);
}
swd_status import(Scene& s, int64_t count) {
  return swd_state_import(s.runner.plan(), s.blobs.data(), s.blob_bytes.data(), count, s.image, s.image_bytes);
}

swd_status get_header(Scene& s) {
  return swd_state_header_get(s.runner.plan(), s.image, s.image_bytes, s.out<swd_state_header>(),
                              sizeof(swd_state_header));
}
swd_status set_header(Scene& s) {
  return swd_state_header_set(s.runner.plan(), s.image, s.image_bytes, &s.state_header, sizeof(swd_state_header));
}

using ImageCall = swd_status (*)(Scene&);
const ImageCall kImageCalls[] = {
    [](Scene& s) { return get(s, 1); },    [](Scene& s) { return set(s, 1); }, get_header, set_header, export_,
    [](Scene& s) { return import(s, 1); },
};

void add_plan_rows_of_state(Rows& rows) {
  add(rows, SWD_ERR_NULL, "plan", [](Scene& s) {
    return swd_state_get(nullptr, s.image, s.image_bytes, 0, s.out<swd_segment_state>(), sizeof(swd_segment_state));
  });
  add(rows, SWD_ERR_NULL, "plan", [](Scene& s) {
    return swd_state_set(nullptr, s.image, s.image_bytes, 0, &s.segment_state, sizeof(swd_segment_state));
  });
  add(rows, SWD_ERR_NULL, "plan",
      [](Scene& s) { return swd_state_export(nullptr, s.image, s.image_bytes, s.blob, kBlobBytes); });
  add(rows, SWD_ERR_NULL, "plan", [](Scene& s) {
    return swd_state_import(nullptr, s.blobs.data(), s.blob_bytes.data(), 1, s.image, s.image_bytes);
  });
}

void add_image_rows(Rows& rows) {
  for (ImageCall call : kImageCalls) {
    auto spoil = [&](swd_status status, const char* field, std::function<void(Scene&)> f) {
      add(rows, status, field, [call, f](Scene& s) {
        f(s);
        return call(s);
      });
    };
    spoil(SWD_ERR_NULL, "image", [](Scene& s) { s.image = nullptr; });
    for (int64_t by = 1; by < 16; ++by) {
      spoil(SWD_ERR_ALIGNMENT, "image", [by](Scene& s) { s.image = moved(static_cast<char*>(s.image), by); });
    }
    for (uint64_t bytes : {uint64_t{0}, uint64_t{64}, kImageBytes - 1}) {
      spoil(SWD_ERR_SIZE, "image_bytes", [bytes](Scene& s) { s.image_bytes = bytes; });
    }
  }
}

void add_entry_rows(Rows& rows) {
  for (int64_t bad : {INT64_C(-1), INT64_C(2), INT64_MAX, INT64_MIN}) {
    add(rows, SWD_ERR_SIZE, "segment", [bad](Scene& s) { return get(s, bad); });
    add(rows, SWD_ERR_SIZE, "segment", [bad](Scene& s) { return set(s, bad); });
  }
  add(rows, SWD_ERR_NULL, "out", [](Scene& s) {
    return swd_state_get(s.runner.plan(), s.image, s.image_bytes, 0, nullptr, sizeof(swd_segment_state));
  });
  add(rows, SWD_ERR_NULL, "in", [](Scene& s) {
    return swd_state_set(s.runner.plan(), s.image, s.image_bytes, 0, nullptr, sizeof(swd_segment_state));
  });
  for (uint64_t by = 1; by < kWordAlignment; ++by) {
    add(rows, SWD_ERR_ALIGNMENT, "out", [by](Scene& s) {
      return swd_state_get(s.runner.plan(), s.image, s.image_bytes, 0, s.out<swd_segment_state>(by),
                           sizeof(swd_segment_state));
    });
    add(rows, SWD_ERR_ALIGNMENT, "in", [by](Scene& s) {
      return swd_state_set(s.runner.plan(), s.image, s.image_bytes, 0, s.out<swd_segment_state>(by),
                           sizeof(swd_segment_state));
    });
  }
  for (int64_t step : {INT64_C(-1), INT64_MIN}) {
    add(rows, SWD_ERR_VALUE, "step", [step](Scene& s) {
      s.segment_state.step = step;
      return set(s, 0);
    });
  }
  for (double sum : {-0.5, -2.0, -5e-324, -kInf, kInf, kNan}) {
    add(rows, SWD_ERR_VALUE, "exp_avg_sq_sum", [sum](Scene& s) {
      s.segment_state.exp_avg_sq_sum = sum;
      return set(s, 0);
    });
  }
}

void add_blob_rows(Rows& rows) {
  for (uint64_t bytes : {uint64_t{0}, uint64_t{8}, kBlobBytes - 1}) {
    add(rows, SWD_ERR_SIZE, "blob_bytes", [bytes](Scene& s) {
      s.blob_bytes[0] = bytes;
      return export_(s);
    });
  }
  add(rows, SWD_ERR_NULL, "blob", [](Scene& s) {
    s.blob = nullptr;
    return export_(s);
  });
  for (int64_t at : {-8, 0, 40}) {
    add(rows, SWD_ERR_OVERLAP, "blob", [at](Scene& s) {
      s.blob = moved(static_cast<char*>(s.image), at);
      return export_(s);
    });
    add(rows, SWD_ERR_OVERLAP, "blobs", [at](Scene& s) {
      s.blobs[1] = moved(static_cast<char*>(s.image), at);
      return import(s, 2);
    });
  }
  for (int64_t count : {INT64_C(0), INT64_C(-1), INT64_MIN, INT64_MAX, INT64_C(1) << 61}) {
    add(rows, SWD_ERR_SIZE, "blob_count", [count](Scene& s) { return import(s, count); });
  }
  add(rows, SWD_ERR_NULL, "blobs", [](Scene& s) {
    return swd_state_import(s.runner.plan(), nullptr, s.blob_bytes.data(), 1, s.image, s.image_bytes);
  });
  add(rows, SWD_ERR_NULL, "blob_bytes",
      [](Scene& s) { return swd_state_import(s.runner.plan(), s.blobs.data(), nullptr, 1, s.image, s.image_bytes); });
  for (size_t i : {size_t{0}, size_t{1}}) {
    rows.push_back({Kind::kPlain, SWD_ERR_NULL, "blobs[" + std::to_string(i) + "]", [i](Scene& s) {
                      s.blobs[i] = nullptr;
                      return import(s, 2);
                    }});
    rows.push_back({Kind::kPlain, SWD_ERR_BLOB_SIZE, "blob_bytes", [i](Scene& s) {
                      s.blob_bytes[i] = 8;
                      return import(s, 2);
                    }});
  }
  for (int64_t by = 1; by < kWordAlignment; ++by) {
    add(rows, SWD_ERR_ALIGNMENT, "blobs", [by](Scene& s) {
      return swd_state_import(s.runner.plan(), moved(s.blobs.data(), by), s.blob_bytes.data(), 1, s.image,
                              s.image_bytes);
    });
    add(rows, SWD_ERR_ALIGNMENT, "blob_bytes", [by](Scene& s) {
      return swd_state_import(s.runner.plan(), s.blobs.data(), moved(s.blob_bytes.data(), by), 1, s.image,
                              s.image_bytes);
    });
  }
}

}  // namespace

void add_state_rows(Rows& rows) {
  add_plan_rows_of_state(rows);
  add_image_rows(rows);
  add_entry_rows(rows);
  add_state_header_rows(rows);
  add_blob_rows(rows);
}

}  // namespace swd::test
