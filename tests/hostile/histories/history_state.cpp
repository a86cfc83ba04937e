// SPDX-License-Identifier: Apache-2.0
// The calls of a history that change workspace, pointers, moments or state between steps.
#include <cmath>

#include "history_made.h"
#include "support/numbers.h"

namespace swd::histories {

void History::new_batch(World& w) {
  w.take(draw_batch(in_, w.shape));
  w.progress.arguments_change();
  note(w,
       "new gradients and numbers, seed " + std::to_string(w.batch.seed) + ", flags " + std::to_string(w.batch.flags));
}

void History::discard(World& w) {
  bool done = made(w, "swd_discard",
                   [&] { return swd_discard(w.plan.get(), w.at(kWorkspace), w.places.bytes[kWorkspace], w.stream()); });
  if (done && w.workspace_valid) w.progress.end_step();
  check(w, "swd_discard");
}

void History::initialise(World& w) {
  bool done = made(w, "swd_workspace_init", [&] {
    return swd_workspace_init(w.plan.get(), w.at(kWorkspace), w.places.bytes[kWorkspace], w.stream());
  });
  std::vector<uint8_t> before(w.mirrored(kWorkspace), w.mirrored(kWorkspace) + w.places.bytes[kWorkspace]);
  w.compare(true, "swd_workspace_init");
  bool changed = memcmp(before.data(), w.mirrored(kWorkspace), before.size()) != 0;
  if (!done && !changed) return;  // it failed before it began
  w.forget_workspace();
  for (auto& table : w.tables) table.assign(table.size(), 0);
  w.workspace_valid = done;
  check(w, "swd_workspace_init");
  if (in_.below(4) != 0) set_all_pointers(w);
}

void History::set_pointers(World& w, int buffer, const std::vector<uint8_t>& set) {
  if (!w.shape.is_list() || w.shape.width(buffer) == 0) return;
  std::vector<const void*> all = w.pointers(w.slab.data(), buffer, set);
  std::string what = "swd_set_pointers of buffer " + std::to_string(buffer);
  for (bool done = false; !done;) {
    done = made(w, what, [&] {
      return swd_set_pointers(w.plan.get(), w.at(kWorkspace), buffer, 0, static_cast<int64_t>(all.size()), all.data(),
                              w.stream());
    });
    std::vector<uint8_t>& table = w.tables[static_cast<size_t>(buffer)];
    if (buffer != SWD_BUFFER_GRAD && done && table != set) w.progress.arguments_change();  // CUDA saw them missing
    if (done && w.workspace_valid) table = set;
    check(w, what);
  }
}

void History::set_all_pointers(World& w) {
  for (int b = 0; b < kBuffers; ++b) set_pointers(w, b, std::vector<uint8_t>(w.shape.segments(), 1));
}

// Some segments lose or get their gradient within a step: those have to be reduced again.
void History::withdraw(World& w) {
  size_t k = in_.below(static_cast<uint32_t>(w.shape.segments()));
  bool had = w.has_gradient(k);
  if (w.shape.is_list()) {
    std::vector<uint8_t> set = w.tables[SWD_BUFFER_GRAD];
    set[k] ^= 1;
    set_pointers(w, SWD_BUFFER_GRAD, set);
  } else {
    w.batch.has_grad[k] ^= 1;
    w.put(kHasGrad, k, &w.batch.has_grad[k], 1);
  }
  note(w, "segment " + std::to_string(k) + " has " + (w.has_gradient(k) ? "a" : "no") + " gradient now");
  if (had == w.has_gradient(k) || !w.progress.reduced[k]) return;
  w.progress.stale[k] = 1;
  w.progress.folded[0] = w.progress.folded[1] = false;
  w.progress.armed_stale = w.progress.armed != Progress::kNot;
}

void History::move(World& w) {
  int piece = static_cast<int>(in_.below(kFp32));
  bool wide_enough = piece >= kBuffers || w.shape.width(piece) != 0;
  if (!wide_enough || (piece == kWorkspace && w.progress.failed)) return;  // that failure belongs to its address
  w.move(piece);
  note(w, "piece " + std::to_string(piece) + " moved");
  if (piece < kBuffers) set_pointers(w, piece, w.tables[static_cast<size_t>(piece)]);
  if (piece == kScalars) {
    w.args();
    w.take(w.batch);  // groups in memory point there
  }
  check(w, "a move");
}

void History::rebuild(World& w) {
  swd_buffers b = w.buffers();
  auto call = [&] { return swd_state_rebuild(w.plan.get(), &b, w.stream()); };
  uint32_t used = 1u << SWD_BUFFER_EXP_AVG_SQ | 1u << SWD_BUFFER_EXP_AVG_SQ_SCALE;
  bool complete = tables_complete(w, used);
  if (backend_ == SWD_BACKEND_CPU && !complete) return refuse(w, call(), SWD_ERR_NULL, "swd_state_rebuild");
  bool done = made(w, "swd_state_rebuild", call);
  if (done && w.workspace_valid) {
    std::vector<uint8_t> image = w.clean(w.tables[SWD_BUFFER_GRAD], [&](uint8_t*, const swd_buffers& other) {
      return swd_state_rebuild(w.clean_plan.get(), &other, w.stream());
    });
    Statistics want = w.statistics(w.clean_slab.data() + w.places.of(kWorkspace), w.clean_plan);
    memcpy(w.mirrored(kState), image.data() + w.places.of(kState), w.places.bytes[kState]);
    w.told.stats.damaged_segment = want.stats.damaged_segment;
    w.progress.arguments_change();
    if (w.shape.is_wide() && complete) check_sums(w, w.mirror, want.stats.damaged_segment);
  }
  check(w, "swd_state_rebuild");
}

void History::copy_params(World& w) {
  swd_buffers b = w.buffers();
  auto call = [&] { return swd_copy_params(w.plan.get(), &b, w.stream()); };
  if (w.shape.copy == SWD_DTYPE_NONE) return refuse(w, call(), SWD_ERR_UNEXPECTED, "swd_copy_params");
  bool complete = tables_complete(w, 1u << SWD_BUFFER_PARAM | 1u << SWD_BUFFER_PARAM_COPY);
  if (!complete) return backend_ == SWD_BACKEND_CPU ? refuse(w, call(), SWD_ERR_NULL, "swd_copy_params") : void();
  bool done = made(w, "swd_copy_params", call);
  if (done && w.workspace_valid) {
    std::vector<uint8_t> image = w.clean(w.tables[SWD_BUFFER_GRAD], [&](uint8_t*, const swd_buffers& other) {
      return swd_copy_params(w.clean_plan.get(), &other, w.stream());
    });
    uint64_t at = w.places.of(SWD_BUFFER_PARAM_COPY), bytes = w.places.bytes[SWD_BUFFER_PARAM_COPY];
    memcpy(w.mirrored(SWD_BUFFER_PARAM_COPY), &image[at], bytes);
  }
  for (size_t k = 0; done && w.workspace_valid && k < w.shape.segments(); ++k) {
    for (int64_t i = 0; i < w.shape.counts[k]; ++i) {
      float x;
      uint16_t code;
      memcpy(&x, w.mirrored(SWD_BUFFER_PARAM) + w.position(SWD_BUFFER_PARAM, k) + 4 * i, 4);
      memcpy(&code, w.mirrored(SWD_BUFFER_PARAM_COPY) + w.position(SWD_BUFFER_PARAM_COPY, k) + 2 * i, 2);
      if (std::isfinite(x) && code != test::nearest_code(w.shape.copy, x))
        throw Finding("param_copy is not the nearest code");
    }
  }
  check(w, "swd_copy_params");
}

// To fp32 and back: what was stored is loaded again, in part or with other values.
void History::convert(World& w) {
  uint32_t choice = in_.byte(), arrays = choice % 8;
  const int needs[] = {SWD_BUFFER_PARAM, SWD_BUFFER_EXP_AVG, SWD_BUFFER_EXP_AVG_SQ};
  const int beside[] = {SWD_BUFFER_REMAINDER, SWD_BUFFER_EXP_AVG_SCALE, SWD_BUFFER_EXP_AVG_SQ_SCALE};
  uint32_t used = 0;
  for (int a = 0; a < 3; ++a) used |= (arrays >> a & 1u) << needs[a] | (arrays >> a & 1u) << beside[a];
  if (!tables_complete(w, used) || arrays == 0) return;
  bool load = choice / 8 % 2 == 1;
  std::vector<const void*> tensors[3];
  auto described = [&](uint8_t* base) {
    swd_fp32_arrays out = SWD_FP32_ARRAYS_INIT;
    const void** members[] = {&out.param, &out.exp_avg, &out.exp_avg_sq};
    for (int a = 0; a < 3; ++a) {
      if (!(arrays >> a & 1u)) continue;
      uint8_t* at = base + w.places.of(kFp32 + a);
      tensors[a].clear();
      for (size_t k = 0; k < w.shape.segments(); ++k)
        tensors[a].push_back(choice >> (k % 4 + 4) & 1u ? nullptr : at + 4 * w.shape.offset(k));
      *members[a] = w.shape.is_list() ? static_cast<const void*>(tensors[a].data()) : at;
    }
    return out;
  };
  if (load) {
    std::vector<float> values = test::uniform(choice, 3, w.shape.extent());
    for (int a = 0; a < 3; ++a) {
      if (a == 2) {
        for (float& x : values) x = x * x;
      }
      w.put(kFp32 + a, 0, values.data(), 4 * values.size());
    }
  }
  swd_buffers b = w.buffers();
  swd_fp32_arrays mine = described(w.slab.data());
  auto convert = load ? swd_state_load : swd_state_store;
  std::string what = std::string(load ? "swd_state_load" : "swd_state_store") + " of arrays " + std::to_string(arrays);
  bool done = made(w, what, [&] { return convert(w.plan.get(), &b, &mine, w.stream()); });
  if (done && w.workspace_valid) {
    std::vector<uint8_t> image = w.clean(w.tables[SWD_BUFFER_GRAD], [&](uint8_t* base, const swd_buffers& other) {
      swd_fp32_arrays theirs = described(base);
      return convert(w.clean_plan.get(), &other, &theirs, w.stream());
    });
    for (int piece = load ? 0 : kFp32; piece <= (load ? kState : kFp32 + 2); ++piece) {
      memcpy(w.mirrored(piece), image.data() + w.places.of(piece), w.places.bytes[piece]);
    }
    w.progress.arguments_change();
  }
  check(w, what);
}

}  // namespace swd::histories
