// SPDX-License-Identifier: Apache-2.0
// Builds a plan from checked arguments: numbers chunks and trees, lays out the workspace, takes the fingerprint.
// Called by swd_plan_create; workspace_at by every call.
#include "plan.h"

#include <algorithm>
#include <utility>

#include "adopt.h"
#include "kernels/cpu/team.h"
#include "kernels/record.h"

namespace swd {
namespace {

// Whole lines from the base on, with at least kLineGap bytes to spare: no line holds parts of two regions, wherever the
// base lies.
uint64_t round_up(uint64_t bytes) { return (bytes + kLineGap + kLineBytes - 1) / kLineBytes * kLineBytes; }

// Hands out the regions of a workspace one after the other. Integers, because the base may be NULL, and 64 bits of
// them, because on a 32-bit machine the tables of many small segments may need more than there is.
class Regions {
 public:
  explicit Regions(void* base) : base_(reinterpret_cast<uintptr_t>(base)) {}

  template <class T>
  void take(T*& region, int64_t count) {
    region = reinterpret_cast<T*>(static_cast<uintptr_t>(base_ + bytes_));
    if (count > 0) bytes_ += round_up(static_cast<uint64_t>(count) * sizeof(T));
  }

  uint64_t bytes() const { return bytes_; }

 private:
  uint64_t base_;
  uint64_t bytes_ = 0;
};

// Nothing overflows here: all segments together have less than 2^61 elements (check_plan), so the whole workspace has
// less than 2^57 bytes.
uint64_t lay_out(const Plan& plan, void* base, Workspace& ws) {
  const PlanFacts& facts = plan.facts;
  int64_t groups = facts.group_count;
  int64_t norm_leaves = facts.flags & SWD_PLAN_UPDATE_NORMS ? facts.chunk_count * kItemsPerChunk : 0;
  int64_t values = 0, tickets = 0;
  if (!plan.segments.empty()) {
    const SegmentInfo& last = plan.segments.back();
    values = last.first_value + tree_values(last.chunks);
    tickets = last.first_ticket + tree_tickets(last.chunks);
  }
  Regions regions(base);
  regions.take(ws.header, 1);
  regions.take(ws.segments, facts.segment_count);
  regions.take(ws.chunk_segment, facts.chunk_count);
  regions.take(ws.group_info, groups);
  bool list = (facts.flags & SWD_PLAN_LIST) != 0, wide = plan.dtypes.param == kF32 && !facts.narrow;
  regions.take(ws.pointers, list ? (wide ? kWideBuffers : kBufferCount) * facts.segment_count : 0);
  regions.take(ws.scratch, facts.segment_count);
  regions.take(ws.narrow, facts.narrow ? facts.segment_count : 0);
  regions.take(ws.index, facts.narrow ? facts.segment_count : 0);
  regions.take(ws.fp32_pointers, list ? kFp32Arrays * facts.segment_count : 0);
  regions.take(ws.values, values);
  regions.take(ws.tickets, tickets);
  regions.take(ws.groups, groups);
  regions.take(ws.lambda_eff, 2 * groups);
  regions.take(ws.fetched_lambda_eff, groups);
  regions.take(ws.carried_groups, groups > kInlineGroups ? groups : 0);
  regions.take(ws.norm_values, tree_values(norm_leaves));
  regions.take(ws.norm_tickets, tree_tickets(norm_leaves));
  int64_t fold_groups = static_cast<int64_t>(plan.fold_arrivals.size());
  regions.take(ws.terms, plan.backend == SWD_BACKEND_CUDA ? kRecordTerms * facts.segment_count : 0);
  regions.take(ws.lane_sums, fold_groups > 0 ? kRecordTerms * kLanes : 0);
  regions.take(ws.fold_tickets, fold_groups);
  regions.take(ws.fold_arrivals, fold_groups);
  return regions.bytes();
}

void add_segments(const swd_plan_args& args, Plan& plan) {
  bool indexed = (args.flags & SWD_PLAN_INDEXED) != 0;
  SegmentInfo next{};  // carries the running numbers from one segment to the next
  int64_t elements = 0;
  for (int64_t k = 0; k < args.segment_count; ++k) {
    swd_segment from;
    read_element(args.segments, args.segment_stride, k, from);
    next.offset = from.offset;
    next.count = from.count;
    next.chunks = divide_up(from.count, kChunk);
    next.group = from.group;
    next.flags = from.flags;
    next.decay = plan.groups[from.group].decay;
    if (from.count > 0 && !(from.flags & SWD_SEGMENT_NO_DECAY)) plan.groups[from.group].decays = 1;
    plan.segments.push_back(next);
    plan.index.push_back(indexed ? from.index : elements);
    elements += from.count;
    if (from.count > 0) plan.extent = std::max(plan.extent, from.offset + from.count);
    next.first_chunk += next.chunks;
    next.first_value += tree_values(next.chunks);
    next.first_ticket += tree_tickets(next.chunks);
  }
  plan.facts.chunk_count = next.first_chunk;
  plan.facts.element_count = elements;
}

void set_element_bytes(Plan& plan) {
  const Dtypes& dtypes = plan.dtypes;
  uint32_t* bytes = plan.facts.element_bytes;
  bytes[SWD_BUFFER_PARAM] = dtype_bytes(dtypes.param);
  bytes[SWD_BUFFER_GRAD] = dtype_bytes(dtypes.grad);
  bytes[SWD_BUFFER_EXP_AVG] = bytes[SWD_BUFFER_EXP_AVG_SQ] = dtype_bytes(dtypes.moment);
  bytes[SWD_BUFFER_MAX_EXP_AVG_SQ] = plan.facts.flags & SWD_PLAN_AMSGRAD ? 4 : 0;
  bytes[SWD_BUFFER_PARAM_COPY] = dtype_bytes(dtypes.copy);
  bytes[SWD_BUFFER_REMAINDER] = dtype_bytes(dtypes.remainder);
  bytes[SWD_BUFFER_EXP_AVG_SCALE] = bytes[SWD_BUFFER_EXP_AVG_SQ_SCALE] = dtypes.moment == kBlock8 ? 1 : 0;
}

// Who folds the record of a large plan waits for this many segments (kernels/cuda/record_fold.cuh).
void count_fold_arrivals(Plan& plan) {
  if (plan.backend != SWD_BACKEND_CUDA || plan.facts.segment_count <= kOneBlockSegments) return;
  plan.fold_arrivals.assign(kFoldGroups, 0);
  for (size_t k = 0; k < plan.segments.size(); ++k) {
    if (plan.segments[k].count > 0) plan.fold_arrivals[k % kLanes / kFoldLanes] += 1;
  }
}

// Segments with elements by index, then the empty ones in plan order.
void sort_by_index(Plan& plan) {
  for (uint32_t k = 0; k < plan.segments.size(); ++k) plan.by_index.push_back(k);
  auto key = [&](uint32_t k) {
    bool empty = plan.segments[k].count == 0;
    return std::make_pair(empty, empty ? int64_t{k} : plan.index[k]);
  };
  std::sort(plan.by_index.begin(), plan.by_index.end(), [&](uint32_t a, uint32_t b) { return key(a) < key(b); });
}

// Of everything that decides what a workspace holds and what a step does with it. 0 is no plan's: a workspace of zero
// bytes was never initialised.
uint64_t fingerprint_of(const Plan& plan) {
  uint64_t hash = 0x53574450u;
  auto add = [&hash](auto value) {
    hash = (hash ^ static_cast<uint64_t>(value)) * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 29;
  };
  add(plan.backend);
  add(plan.facts.flags);
  for (swd_dtype dtype : {plan.dtypes.param, plan.dtypes.grad, plan.dtypes.copy, plan.dtypes.moment}) add(dtype);
  add(plan.dtypes.remainder);
  add(plan.groups.size());
  for (const GroupInfo& group : plan.groups) add(group.decay);
  add(plan.segments.size());
  for (size_t k = 0; k < plan.segments.size(); ++k) {
    add(plan.segments[k].offset);
    add(plan.segments[k].count);
    add(plan.segments[k].group);
    add(plan.segments[k].flags);
    add(plan.index[k]);
  }
  return hash ? hash : 1;
}

}  // namespace

Plan::Plan() = default;
Plan::~Plan() = default;

void build_plan(const swd_plan_args& args, Plan& plan) {
  plan.backend = args.backend;
  plan.dtypes = dtypes_of(args);
  plan.facts.flags = args.flags;
  plan.facts.segment_count = args.segment_count;
  plan.facts.group_count = args.group_count;
  plan.facts.narrow = plan.dtypes.moment != kF32;
  set_element_bytes(plan);
  plan.model_key = args.model_key;
  for (uint32_t i = 0; i < args.group_count; ++i) {
    swd_decay decay = args.decay_modes ? args.decay_modes[i] : SWD_DECAY_SCHEDULED;
    plan.groups.push_back({decay, 0});
    if (decay == SWD_DECAY_RELATIVE) plan.facts.has_relative = 1;
    if (decay == SWD_DECAY_RELATIVE || decay == SWD_DECAY_SCHEDULED) plan.facts.needs_vbar = 1;
  }
  plan.segments.reserve(static_cast<size_t>(args.segment_count));
  plan.index.reserve(static_cast<size_t>(args.segment_count));
  plan.by_index.reserve(static_cast<size_t>(args.segment_count));
  add_segments(args, plan);
  sort_by_index(plan);
  count_fold_arrivals(plan);
  plan.facts.fingerprint = fingerprint_of(plan);
  Workspace offsets;
  plan.workspace_bytes = lay_out(plan, nullptr, offsets);
  plan.state_bytes = sizeof(StateHeader) + plan.segments.size() * sizeof(SegmentState);
  if (args.backend == SWD_BACKEND_CPU) plan.team = std::make_unique<cpu::Team>(args.threads);
}

Workspace workspace_at(const Plan& plan, void* base) {
  Workspace ws;
  lay_out(plan, base, ws);
  return ws;
}

void write_workspace(const Plan& plan, void* base) {
  Workspace ws = workspace_at(plan, base);
  memset(base, 0, plan.workspace_bytes);
  for (size_t k = 0; k < plan.segments.size(); ++k) {
    const SegmentInfo& info = plan.segments[k];
    const_cast<SegmentInfo*>(ws.segments)[k] = info;
    uint32_t* chunk = const_cast<uint32_t*>(ws.chunk_segment) + info.first_chunk;
    for (int64_t i = 0; i < info.chunks; ++i) chunk[i] = static_cast<uint32_t>(k);
  }
  for (size_t k = 0; plan.facts.narrow && k < plan.index.size(); ++k) const_cast<int64_t*>(ws.index)[k] = plan.index[k];
  for (size_t i = 0; i < plan.groups.size(); ++i) const_cast<GroupInfo*>(ws.group_info)[i] = plan.groups[i];
  for (size_t i = 0; i < plan.fold_arrivals.size(); ++i) {
    const_cast<uint32_t*>(ws.fold_arrivals)[i] = plan.fold_arrivals[i];
  }
  ws.header->epoch = 1;
  ws.header->fingerprint = plan.facts.fingerprint;
}

}  // namespace swd
