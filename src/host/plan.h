// SPDX-License-Identifier: Apache-2.0
// The immutable plan: facts, tables and where everything lies in workspace and state. Built by swd_plan_create.
#pragma once
#include <memory>
#include <vector>

#include "failed_pieces.h"
#include "kernels/formats.h"
#include "kernels/layout.h"

namespace swd {

namespace cpu {
class Team;
}

struct Plan {
  PlanFacts facts{};
  swd_backend backend = 0;
  Dtypes dtypes{};  // a row of kDtypeRows
  std::vector<SegmentInfo> segments;
  std::vector<int64_t> index;      // of each segment in the unsharded model
  std::vector<uint32_t> by_index;  // segment numbers: with elements, ascending by index; then the empty ones
  std::vector<GroupInfo> groups;
  std::vector<uint32_t> fold_arrivals;  // CUDA: segments with elements in each group of the record's lanes
  uint64_t model_key = 0;
  uint64_t workspace_bytes = 0;
  uint64_t state_bytes = 0;
  int64_t extent = 0;               // flat layout: one past the last element of any segment
  std::unique_ptr<cpu::Team> team;  // CPU backend
  mutable FailedPieces failed_pieces;
  Plan();
  ~Plan();
};

// The dtypes that arguments ask for, defaults resolved.
Dtypes dtypes_of(const swd_plan_args& args);

// Fills a fresh plan from arguments that check_plan accepted. The only function of the library that allocates.
void build_plan(const swd_plan_args& args, Plan& plan);

// The pointers of a workspace of this plan. With base NULL they are offsets.
Workspace workspace_at(const Plan& plan, void* base);

// Writes what a fresh workspace of this plan holds, to host memory.
void write_workspace(const Plan& plan, void* base);

}  // namespace swd

struct swd_plan : swd::Plan {};
