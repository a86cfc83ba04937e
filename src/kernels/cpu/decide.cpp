// SPDX-License-Identifier: Apache-2.0
// Between the passes: the serial part of a step.
#include "decide.h"

namespace swd::cpu {
namespace {

// Smallest power of two that holds n lanes, at most kLanes. The lanes above hold +0 and a sum of squares is never -0,
// so leaving them out of the fold does not change a bit.
int lanes_for(int64_t n) {
  int lanes = 1;
  while (lanes < n && lanes < kLanes) lanes *= 2;
  return lanes;
}

Partial fold_node(const Partial* children, int count) {
  Partial lane[kLanes];
  int lanes = lanes_for(count);
  for (int i = 0; i < lanes; ++i) lane[i] = i < count ? children[i] : Partial{0.0, 0.0};
  for (int stride = lanes / 2; stride > 0; stride /= 2) {
    for (int i = 0; i < stride; ++i) {
      lane[i].sum += lane[i + stride].sum;
      lane[i].also += lane[i + stride].also;
    }
  }
  return lane[0];
}

// A segment of one chunk has no tree: the loops left its sum in the scratch.
Partial total_of(const Pass& pass, int64_t segment) {
  const SegmentInfo& info = pass.ws.segments[segment];
  const SegmentScratch& scratch = pass.ws.scratch[segment];
  return info.chunks > 1 ? fold_tree(pass.ws.values + info.first_value, info.chunks) : Partial{scratch.q, scratch.bad};
}

swd_group group_of(const Pass& pass, uint32_t group) {
  return read_group(static_cast<const char*>(pass.groups) + pass.group_stride * group, pass.group_stride);
}

// What pass 1 leaves for a segment with a gradient.
void begin_segment(const Pass& pass, int64_t segment, const Partial& total) {
  swd_group group = group_of(pass, pass.ws.segments[segment].group);
  keep_segment(pass, segment, total, group);
}

void finish_max(const Pass& pass, int64_t first, int64_t end) {
  for (int64_t k = first; k < end; ++k) {
    const SegmentInfo& info = pass.ws.segments[k];
    SegmentScratch& scratch = pass.ws.scratch[k];
    if (!has_max(info, scratch, pass.ws.header->epoch)) continue;
    if (info.chunks > 1) scratch.max_sum = fold_tree(pass.ws.values + info.first_value, info.chunks).sum;
    scratch.max_epoch = scratch.epoch;
  }
}

double count_invalid(const Pass& pass) {
  double invalid = 0.0;
  for (uint32_t i = 0; i < pass.plan.group_count; ++i) {
    if (invalid_member(group_of(pass, i))) invalid += 1.0;
  }
  return invalid;
}

void add(swd_norm_record& to, const swd_norm_record& from) {
  double sum[kRecordTerms], more[kRecordTerms];
  memcpy(sum, &to, sizeof sum);
  memcpy(more, &from, sizeof more);
  for (int i = 0; i < kRecordTerms; ++i) sum[i] += more[i];
  memcpy(&to, sum, sizeof sum);
}

}  // namespace

Partial fold_tree(Partial* values, int64_t leaves) {
  for (;;) {
    int64_t nodes = divide_up(leaves, kLanes);
    Partial* above = values + leaves;
    Partial sum{0.0, 0.0};
    for (int64_t node = 0; node < nodes; ++node) {
      int64_t left = leaves - node * kLanes;
      sum = fold_node(values + node * kLanes, left < kLanes ? static_cast<int>(left) : kLanes);
      if (nodes > 1) above[node] = sum;
    }
    if (nodes == 1) return sum;
    values = above;
    leaves = nodes;
  }
}

void finish_segments(const Pass& pass, int64_t first, int64_t end) {
  if (pass.phase == SWD_PHASE_MAX) return finish_max(pass, first, end);
  for (int64_t k = first; k < end; ++k) {
    SegmentScratch& scratch = pass.ws.scratch[k];
    if (has_gradient(pass, k)) {
      begin_segment(pass, k, total_of(pass, k));
    } else {
      scratch.epoch = 0;  // it may have had one in an earlier call of this step
    }
  }
}

void prepare_segments(const Pass& pass, int64_t first, int64_t end) {
  for (int64_t k = first; k < end; ++k) {
    SegmentScratch& scratch = pass.ws.scratch[k];
    if (has_gradient(pass, k)) {
      begin_segment(pass, k, Partial{0.0, 0.0});
    } else {
      scratch.epoch = 0;
    }
  }
}

void keep_sums(const Pass& pass, int64_t first, int64_t end) {
  for (int64_t k = first; k < end; ++k) {
    const SegmentInfo& info = pass.ws.segments[k];
    double& sum = pass.segment_states[k].exp_avg_sq_sum;
    if (info.decay == SWD_DECAY_L2 && info.count > 0) {
      sum = -1.0;
    } else {
      if (info.chunks > 1) sum = fold_tree(pass.ws.values + info.first_value, info.chunks).sum;
      if (info.count > 0 && pass.plan.narrow) sum *= unit_of(pass.segment_states[k]);
    }
  }
}

void report_damage(const Pass& pass) {
  int64_t& damaged = pass.ws.header->stats.damaged_segment;
  damaged = 0;
  for (int64_t k = pass.plan.segment_count - 1; k >= 0; --k) {
    if (is_damaged(pass.ws.segments[k], pass.segment_states[k].exp_avg_sq_sum)) damaged = k + 1;
  }
}

// Lane j of 256 adds segments j, j + 256, ... in order; then the halving fold.
void fold_record(const Pass& pass, double* record) {
  swd_norm_record lane[kLanes];
  int lanes = lanes_for(pass.plan.segment_count);
  for (int i = 0; i < lanes; ++i) lane[i] = swd_norm_record{};
  for (int64_t k = 0; k < pass.plan.segment_count; ++k) add_segment(pass, k, pass.ws.header->epoch, lane[k % kLanes]);
  for (int stride = lanes / 2; stride > 0; stride /= 2) {
    for (int i = 0; i < stride; ++i) add(lane[i], lane[i + stride]);
  }
  lane[0].bad += found_inf_of(pass);
  lane[0].invalid += count_invalid(pass);
  memset(record, 0, kRecordDoubles * sizeof(double));
  memcpy(record, lane, sizeof lane[0]);
}

void decide_step(const Pass& pass, const double* record) {
  if (pass.phase == SWD_PHASE_MAX && pass.ws.header->armed != kWaitsForMax) return;
  Decision decision = decide(pass, record, count_invalid(pass));
  double largest_d = 0.0;
  uint32_t flags = 0;
  double* lambda_eff = pending_lambda_eff(pass);
  for (uint32_t i = 0; i < pass.plan.group_count; ++i) {
    double d;
    uint32_t raised;
    pass.ws.groups[i] =
        group_scalars(pass, decision, group_of(pass, i), pass.ws.group_info[i], &lambda_eff[i], &d, &raised);
    largest_d = larger_decay(largest_d, d);
    flags |= raised;
  }
  conclude(pass, decision, largest_d, flags);
}

}  // namespace swd::cpu
