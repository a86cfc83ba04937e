// SPDX-License-Identifier: Apache-2.0
// A few small plans with all the memory that their calls need, made once. Used by fuzz_args.cpp and
// fuzz_struct_size.cpp.
#pragma once
#include <vector>

#include "swd/swd.h"

namespace swd::fuzz {

// Every piece of memory is an allocation of its own, exactly as large as the plan says, so that AddressSanitizer sees
// each byte beyond it.
struct Piece {
  uint8_t* data;
  uint64_t bytes;
  std::vector<uint8_t> pristine;  // what it held at the start
  std::vector<uint8_t> before;    // what it held before the latest call
};

enum PieceName {  // the first six are numbered as SWD_BUFFER_*
  kParam,
  kGrad,
  kExpAvg,
  kExpAvgSq,
  kMaxExpAvgSq,
  kParamCopy,
  kState,
  kWorkspace,
  kGroupsDevice,
  kScalars,  // lr, loss scale, found_inf
  kHasGrad,
  kRecord,
  kBlob,
  kRemainder,  // these three are numbered on from SWD_BUFFER_REMAINDER
  kExpAvgScale,
  kExpAvgSqScale,
  kFp32Param,  // of swd_fp32_arrays
  kFp32ExpAvg,
  kFp32ExpAvgSq,
  kPieceCount
};
constexpr int kBuffers = 9;
constexpr PieceName piece_of(int buffer) {
  return static_cast<PieceName>(buffer < 6 ? buffer : kRemainder + buffer - 6);
}
constexpr uint32_t kAllPieces = (1u << kPieceCount) - 1u;

class World {
 public:
  swd_plan* plan = nullptr;
  swd_plan_args args = SWD_PLAN_ARGS_INIT;
  std::vector<swd_segment> segments;
  std::vector<swd_decay> decay;
  std::vector<swd_group> groups;
  Piece pieces[kPieceCount];

  // Bit i of a mask stands for piece i. Only pieces that were touched are copied or compared: a target makes hundreds
  // of thousands of calls a second.
  void touch(uint32_t mask) { touched_ |= mask, changed_ |= mask; }  // they may have been written
  void snapshot();                                                   // remembers what is there now
  bool unchanged_but(uint32_t mask) const;                           // since then
  void restore();                                                    // every byte as it was at the start

  uint8_t* at(PieceName piece) const { return pieces[piece].data; }
  float* scalar(int i) const { return reinterpret_cast<float*>(pieces[kScalars].data) + i; }
  bool list() const { return (args.flags & SWD_PLAN_LIST) != 0; }

  // Arguments with which every call succeeds.
  swd_buffers buffers() const;
  swd_step_args step_args() const;
  // All three; `tables` is where those of a list lie.
  swd_fp32_arrays fp32_arrays(std::vector<const void*> (&tables)[3]) const;

  uint64_t elements() const;
  uint64_t bytes_of(int buffer, int64_t count) const;  // of `count` elements of a segment

 private:
  uint32_t touched_ = 0;  // since the latest snapshot
  uint32_t changed_ = 0;  // since the start
};

constexpr uint32_t kWorlds = 7, kWideWorlds = 5;  // the first five are all fp32
World& world(uint32_t number);

}  // namespace swd::fuzz
