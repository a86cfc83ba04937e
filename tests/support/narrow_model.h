// SPDX-License-Identifier: Apache-2.0
// A small model with narrow states, all that it stores, and its training. Used by the tests of laws of narrow states.
#pragma once
#include <array>

#include "support/narrow.h"

namespace swd::test {

// Segments around every boundary of blocks and chunks, in a scheduled and a decoupled group.
inline RunSetup narrow_model(const NarrowFormat& format, uint32_t flags = 0) {
  RunSetup s;
  s.backend = backend_under_test();
  s.flags = flags;
  s.counts = {700, 0, 4097, 1, 128, 129, 8192 + 127};
  s.group_of = {0, 1, 0, 1, 1, 0, 1};
  s.decay = {SWD_DECAY_SCHEDULED, SWD_DECAY_DECOUPLED};
  s.groups.assign(2, swd_group{1e-3, 0.9, 0.999, 1e-8, 1e-2, nullptr, 0.0});
  s.groups[1].beta2 = 0.95;
  return format.in(s);
}

inline void begin(Runner& r) {
  for (size_t k = 0; k < r.setup().counts.size(); ++k) r.set(SWD_BUFFER_PARAM, k, uniform(3, k, r.setup().counts[k]));
  r.args().max_grad_norm = 0.7;
}

// Of step t, of magnitudes that differ by up to 2^12 within a block. `last`, unless 0, is that of segment 2's last one.
inline void gradients(Runner& r, int t, double factor = 1.0, float last = 0.0f) {
  for (size_t k = 0; k < r.setup().counts.size(); ++k) {
    std::vector<float> g = uniform(100 + static_cast<uint64_t>(t), k, r.setup().counts[k]);
    for (size_t i = 0; i < g.size(); ++i) {
      g[i] = static_cast<float>(std::ldexp(factor * static_cast<double>(g[i]), -static_cast<int>(7 * i % 13)));
    }
    if (k == 2 && last != 0.0f) g.back() = last;
    r.set(SWD_BUFFER_GRAD, k, g);
  }
}

// All that a run has stored, segment by segment, whatever the layout.
struct Stored {
  std::vector<swd_segment_state> states;
  std::array<std::vector<std::vector<uint8_t>>, kBuffers> arrays;  // [buffer][segment]

  const std::vector<uint8_t>& of(int buffer, size_t k) const {
    static const std::vector<uint8_t> none;
    return k < arrays[static_cast<size_t>(buffer)].size() ? arrays[static_cast<size_t>(buffer)][k] : none;
  }
  bool operator==(const Stored& other) const {
    return states.size() == other.states.size() && arrays == other.arrays &&
           memcmp(states.data(), other.states.data(), states.size() * sizeof states[0]) == 0;
  }
};

// What a training writes: not the gradients.
inline bool is_written(const Runner& r, int buffer) { return buffer != SWD_BUFFER_GRAD && r.at(buffer, 0); }

inline Stored stored(Runner& r) {
  Stored out;
  synchronize(r.setup().backend);
  for (size_t k = 0; k < r.setup().counts.size(); ++k) {
    out.states.push_back(r.segment_state(k));
    for (int b = 0; b < kBuffers; ++b) {
      if (is_written(r, b)) out.arrays[static_cast<size_t>(b)].push_back(r.stored(b, k));
    }
  }
  return out;
}

inline void copy_arrays(Runner& from, Runner& to) {
  synchronize(from.setup().backend);
  for (int b = 0; b < kBuffers; ++b) {
    for (size_t k = 0; is_written(from, b) && k < from.setup().counts.size(); ++k) {
      to.set_stored(b, k, from.stored(b, k));
    }
  }
}

inline Stored trained(const RunSetup& s, int steps) {
  Runner r(s);
  begin(r);
  for (int t = 1; t <= steps; ++t) {
    gradients(r, t);
    r.step();
  }
  EXPECT_EQ(r.stats().result, SWD_RESULT_APPLIED);
  return stored(r);
}

}  // namespace swd::test
