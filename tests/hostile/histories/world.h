// SPDX-License-Identifier: Apache-2.0
// A plan, a state, a workspace and all buffers in one piece of memory, with what must lie there byte for byte; and a
// second such piece, in which single calls are made on a workspace that nothing has happened in. Used by history.cpp.
#pragma once
#include <functional>
#include <map>

#include "batch.h"
#include "progress.h"
#include "slab.h"

namespace swd::histories {

enum Piece {  // the first nine are numbered as SWD_BUFFER_*
  kState = kBuffers,
  kWorkspace,
  kGroups,
  kScalars,  // learning rates, loss scale, found_inf
  kHasGrad,
  kRecords,  // two
  kFp32,     // of swd_fp32_arrays: param, exp_avg, exp_avg_sq
  kPieces = kFp32 + 3
};
constexpr uint64_t kRecordBytes = 16 * sizeof(double);

// Where the pieces lie in a slab. Each has two places, so that it can be moved; what lies at the other is poison.
struct Places {
  uint64_t offset[kPieces][2] = {};
  uint64_t bytes[kPieces] = {};
  int at[kPieces] = {};
  uint64_t total = 0;

  uint64_t of(int piece) const { return offset[piece][at[piece]]; }
};

struct Statistics {
  swd_stats stats;
  std::vector<double> lambda_eff;
};

// A step in a CUDA graph, with what was passed by value.
struct Captured {
  std::shared_ptr<void> graph;
  bool pieces = false;
  Batch batch;
  int at[kPieces] = {};  // Places::at
};

class World {
 public:
  World(Input& in, const Shape& shape, PlanPointer plan);

  // What a call is given, with memory from `base` on.
  swd_buffers buffers(uint8_t* base) const;
  swd_step_args args(uint8_t* base);
  swd_step_args args() { return args(slab.data()); }
  swd_buffers buffers() const { return buffers(slab.data()); }
  uint8_t* at(int piece) const { return slab.data() + places.of(piece); }
  void* stream() const { return stream_of(shape.backend); }

  bool has_gradient(size_t k) const;
  std::vector<uint8_t> with_gradient() const;
  std::vector<const void*> pointers(uint8_t* base, int buffer, const std::vector<uint8_t>& set) const;
  uint64_t position(int buffer, size_t k) const;  // in bytes, of element 0 of a segment

  // The test's own writes, into memory and mirror.
  void put(int piece, uint64_t at, const void* from, uint64_t bytes);
  void take(const Batch& batch);  // gradients and numbers
  void move(int piece);
  uint8_t* mirrored(int piece) { return mirror.data() + places.of(piece); }
  const uint8_t* mirrored(int piece) const { return mirror.data() + places.of(piece); }

  // Every byte must be as the mirror says; the workspace may differ where a call may write it.
  void compare(bool workspace_written, const std::string& after);

  // What memory holds after `call`, made on a copy of it with a fresh workspace. `grads`: whose gradients it sees.
  std::vector<uint8_t> clean(const std::vector<uint8_t>& grads,
                             const std::function<swd_status(uint8_t* base, const swd_buffers&)>& call);
  Statistics statistics(uint8_t* workspace, const PlanPointer& of);

  Shape shape;
  PlanPointer plan, clean_plan;
  Places places;
  Slab slab, clean_slab;
  std::vector<uint8_t> mirror;
  Batch batch;
  std::vector<std::vector<uint8_t>> tables;  // lists: [buffer][segment], whether its pointer is set
  Progress progress;
  bool workspace_valid = true;
  Statistics told;  // what swd_stats_fetch must say
  std::vector<uint8_t> blob;
  Captured captured;
  std::vector<uint8_t> fresh_workspace;

  // After the plan or what is in the workspace has changed.
  void forget_workspace();

 private:
  std::vector<swd_group> sent_;                                            // what args() points to
  std::map<std::vector<uint8_t>, std::vector<uint8_t>> clean_workspaces_;  // lists: with pointers, by what they are
};

}  // namespace swd::histories
