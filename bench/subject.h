// SPDX-License-Identifier: Apache-2.0
// libswd set up for one Case: plan, buffers, arguments. Used by measure.cpp.
#pragma once
#include <vector>

#include "cases.h"
#include "machine.h"
#include "swd/swd.hpp"

namespace swd::bench {

// The large arrays live longer than a subject: a run of cases allocates them once and grows them as needed.
class Subject {
 public:
  // Throws std::runtime_error with the reason where the case cannot run here. Two subjects that live at the same time
  // need different slots, 0 or 1.
  Subject(Machine& machine, const Case& the_case, int slot = 0);
  ~Subject();
  Subject(const Subject&) = delete;
  Subject& operator=(const Subject&) = delete;

  void prepare();  // before run(): for the update, the reduction and the decision that it needs
  void run();      // what the case measures
  RoofArrays roof_arrays() const;

  void make_gradients(bool zero);  // zero behind the first 4,096, or ordinary ones

 private:
  void allocate(int slot);
  void fill(void* target, uint64_t bytes, const std::vector<uint8_t>& with);
  uint64_t scale_bytes() const;
  Plan make_plan() const;

  Machine& machine_;
  Case case_;
  Plan plan_;
  State state_;
  Workspace workspace_;
  swd_buffers buffers_;
  swd_step_args args_ = SWD_STEP_ARGS_INIT;
  swd_group group_ = SWD_GROUP_INIT;
};

}  // namespace swd::bench
