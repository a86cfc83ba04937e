// SPDX-License-Identifier: Apache-2.0
// What lies in a workspace, and the argument block that every loop and kernel gets. The host computes offsets
// (src/host/plan.cpp), both backends read the same structs.
#pragma once
#include "rounding.h"
#include "sum_order.h"
#include "swd/swd.h"

namespace swd {

constexpr int kBufferCount = 9;  // SWD_BUFFER_*
constexpr int kWideBuffers = 6;  // those of plans without a remainder and block scales
enum Fp32Array { kFp32Param, kFp32ExpAvg, kFp32ExpAvgSq, kFp32Arrays };  // of swd_fp32_arrays
constexpr int kInlineGroups = 24;                                        // host groups that travel as kernel arguments

// The norm record: the named terms of swd_norm_record, then zeros that later versions may give a meaning. A new term
// is a member of swd_norm_record and a line of add_segment (record.h), nothing else.
constexpr int kRecordTerms = sizeof(swd_norm_record) / sizeof(double);
constexpr int kRecordDoubles = 16;
static_assert(kRecordTerms <= kRecordDoubles);

// The state image: one header, then one entry a segment. Its layout is no part of the ABI: zero is a fresh state, and
// what a member is for may be added, not changed.
struct StateHeader {
  uint64_t steps_applied;
  uint64_t steps_skipped;
  uint64_t rounding_seed;  // of narrow states
  double vbar_reference;   // 0: not set yet
  uint64_t reserved[4];
};
static_assert(sizeof(StateHeader) == 64);

struct SegmentState {
  int64_t step;
  double exp_avg_sq_sum;   // -1: unknown
  double exp_avg_sq_unit;  // of narrow second moments; 0 reads as 1
  uint64_t reserved;
};
static_assert(sizeof(SegmentState) == 32);

constexpr int kFoldLanes = 4;                     // lanes of the record that one warp folds: 32 bytes of a term
constexpr int kFoldGroups = kLanes / kFoldLanes;  // CUDA: groups of lanes, if there are more segments than
constexpr int64_t kOneBlockSegments = int64_t{4} * kLanes;  // these, which one block folds alone

// Written by swd_workspace_init, never again. Aligned, so that a GPU fetches pairs of members in one access.
struct alignas(16) SegmentInfo {
  int64_t offset;
  int64_t count;
  int64_t first_chunk;  // chunks are numbered through the plan
  int64_t chunks;
  int64_t first_value;  // its tree in Workspace::values and ::tickets
  int64_t first_ticket;
  uint32_t group;
  uint32_t flags;   // SWD_SEGMENT_*
  swd_decay decay;  // its group's mode
  uint32_t reserved;
};

// Likewise.
struct GroupInfo {
  swd_decay decay;
  uint32_t decays;  // some segment with elements is in it and has no SWD_SEGMENT_NO_DECAY
};

// What pass 1 leaves behind for one segment. Valid if epoch is the workspace's.
struct SegmentScratch {
  uint64_t epoch;      // 0: no gradient
  uint64_t max_epoch;  // of max_sum
  int64_t step;        // t after this step, if it is applied
  double q;            // sum of g^2, raw
  double bad;          // non-finite elements
  double sum_kept;     // beta2 * S; -1: S is unknown
  double sum_gained;   // (1 - beta2) * Q; S becomes sum_kept + s^2 * sum_gained
  double bias1;        // 1 - beta1^t
  double bias2;        // 1 - beta2^t
  double max_sum;      // amsgrad: sum of the maxed second moment
  double invalid;      // pointers of this segment that are NULL or share memory, a step counter that cannot count on
};

// What pass 1 leaves behind beside it where moments are narrow. A second moment is stored as w = v / unit, and the unit
// carries the decay of v, so that codes change only where a gradient arrives (docs/numerics.md).
struct NarrowScratch {
  double unit_after;         // the segment's unit after this step
  float unit;                // before it
  float inverse_unit_after;  // 1 / unit_after
  RoundingKey key;
};

// What decide says for one group.
struct GroupScalars {
  double lr;
  float weight1, weight2;  // see Coefficients
  float eps, d, l2;
  uint32_t from_target1, from_target2;
  uint32_t reserved;
};

enum Armed : uint32_t { kDisarmed = 0, kWaitsForMax = 1, kArmed = 2 };

// What decide says for the step.
struct Decision {
  swd_result result;
  uint32_t flags;  // SWD_STATS_*
  float s;         // signed
  uint32_t reserved;
  double s_squared;  // of the fp32 value
  double grad_norm, clip_coef, vbar, inv_sqrt_vbar, bad;
  double count;      // elements of vbar members, of the first round
  double reference;  // of relative decay, as the state will have it after the step; 0: none yet
};

// What one kernel writes never shares a 128-byte line with what another reads meanwhile: a multiprocessor would keep
// a copy of the line. A workspace is aligned to 16 bytes and may be copied to an address with another remainder, so
// alignment cannot say that; distance can: this many bytes between the end of one region, rounded up to 16, and the
// next.
constexpr int kLineBytes = 128;
constexpr int kLineGap = kLineBytes - 16;

struct Header {
  uint64_t fingerprint;  // of the plan; a workspace of another plan is left alone
  uint8_t gap[kLineGap + 8];
  uint32_t reduce_ticket;  // blocks of pass 1, of pass 2
  uint32_t update_ticket;
  uint8_t second_gap[kLineGap + 8];
  uint64_t epoch;  // counts steps in this workspace, from 1; see "Epochs" below. From here on what decides writes, and
                   // pass 2
  uint32_t armed;  // Armed
  uint32_t lambda_slot;  // which half of Workspace::lambda_eff belongs to `stats`; decide fills the other
  Decision decision;
  double record[kRecordDoubles];
  Partial update_norms;
  uint64_t damaged;   // segment_count - k, the largest, of segments k that a running swd_state_rebuild found damaged
  swd_stats pending;  // what the armed step will have done; the update makes it `stats`
  swd_stats stats;    // what the latest committed step did
  swd_stats fetched;  // CUDA: what swd_stats_fetch copies, also out of a workspace of another plan
};

static_assert(offsetof(Header, reduce_ticket) == kLineBytes && offsetof(Header, epoch) == 2 * kLineBytes);

// Epochs. What pass 1 leaves for a segment counts while its epoch is the header's. A new one begins where nothing that
// was reduced may be used any more: with a committed update, a discard, a whole swd_step, and the first swd_reduce
// after a step that was decided but never updated, or of which a piece failed.

// Pointers into a workspace.
struct Workspace {
  Header* header;
  const SegmentInfo* segments;
  const uint32_t* chunk_segment;  // segment of each chunk
  const GroupInfo* group_info;
  void** pointers;  // tensor lists: [buffer][segment]
  SegmentScratch* scratch;
  NarrowScratch* narrow;  // of narrow moments
  const int64_t* index;   // likewise: of each segment in the unsharded model
  void** fp32_pointers;   // tensor lists: what swd_state_load and _store got, [array][segment]
  Partial* values;        // trees of pass 1
  uint32_t* tickets;
  GroupScalars* groups;
  double* lambda_eff;          // [2][group_count], see Header::lambda_slot
  double* fetched_lambda_eff;  // CUDA: what swd_stats_fetch copies
  swd_group* carried_groups;   // host groups beyond kInlineGroups
  Partial* norm_values;        // tree of the update norms
  uint32_t* norm_tickets;
  double* terms;      // CUDA: what a segment adds to the record, [field][segment]
  double* lane_sums;  // [field][lane]
  uint32_t* fold_tickets;
  const uint32_t* fold_arrivals;  // segments with elements in each group of lanes
};

// What a plan says, as the loops need it.
struct PlanFacts {
  uint64_t fingerprint;
  int64_t segment_count;
  int64_t chunk_count;
  int64_t element_count;
  uint32_t group_count;
  uint32_t flags;                        // SWD_PLAN_*
  uint32_t needs_vbar;                   // some group has SWD_DECAY_SCHEDULED or _RELATIVE
  uint32_t has_relative;                 // some group has SWD_DECAY_RELATIVE
  uint32_t narrow;                       // the moments are not fp32
  uint32_t element_bytes[kBufferCount];  // by SWD_BUFFER_*; 0: no such buffer. Of scales: of a block's
};

// The arguments of one call, checked. One block for both backends; a kernel gets it by value.
struct Pass {
  PlanFacts plan;
  Workspace ws;
  void* bases[kBufferCount];  // flat layout, by SWD_BUFFER_*
  void* fp32[kFp32Arrays];    // likewise, of swd_state_load and _store, in a list only whether it is there
  StateHeader* state;
  SegmentState* segment_states;
  const void* groups;  // group_count groups, every group_stride bytes
  uint64_t group_stride;
  uint32_t groups_on_host;  // else where the backend computes; the CUDA backend carries host groups over
  uint32_t step_flags;      // SWD_STEP_*
  swd_phase phase;
  uint32_t begins;  // nothing reduced so far may be used: a new epoch begins with this call
  double loss_scale, max_grad_norm, max_decay;
  uint64_t reference_step;
  const float* loss_scale_pointer;
  const float* found_inf;
  const uint8_t* has_grad;
  int64_t first_segment, end_segment;  // of this call
  int64_t first_chunk, end_chunk;
};

}  // namespace swd
