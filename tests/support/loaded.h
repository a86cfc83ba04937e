// SPDX-License-Identifier: Apache-2.0
// The shared library opened by hand, and a training through its functions. Used by the tests of loading and unloading.
#pragma once
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <vector>

#include "swd/swd.h"

namespace swd::test {

constexpr int64_t kElements = 70000;  // two ranges of the pool, so that a step starts threads

class Library {
 public:
  Library() : handle_(dlopen(SWD_TEST_LIBRARY, RTLD_NOW | RTLD_LOCAL)) {
    if (!handle_) ADD_FAILURE() << dlerror();
  }
  ~Library() {
    if (handle_) EXPECT_EQ(dlclose(handle_), 0);
  }
  template <class F>
  F* function(const char* name) const {
    return reinterpret_cast<F*>(dlsym(handle_, name));
  }

 private:
  void* handle_;
};

// A plan and its buffers, through the functions of one loaded library.
class Training {
 public:
  explicit Training(const Library& l)
      : library_(l), p_(kElements, 1.0f), g_(kElements, 0.5f), m_(kElements), v_(kElements) {
    swd_segment segment{0, kElements, 0, 0, 0};
    const swd_decay decay = SWD_DECAY_SCHEDULED;
    swd_plan_args args = SWD_PLAN_ARGS_INIT;
    args.segments = &segment;
    args.segment_count = 1;
    args.decay_modes = &decay;
    args.group_count = 1;
    args.threads = 3;
    good_ = l.function<decltype(swd_plan_create)>("swd_plan_create")(&args, &plan_) == SWD_OK;
    uint64_t bytes = 0;
    good_ = good_ && l.function<decltype(swd_workspace_size)>("swd_workspace_size")(plan_, &bytes) == SWD_OK;
    workspace_.resize(bytes / 16);
    good_ = good_ && l.function<decltype(swd_workspace_init)>("swd_workspace_init")(plan_, workspace_.data(), bytes,
                                                                                    nullptr) == SWD_OK;
    step_ = l.function<decltype(swd_step)>("swd_step");
  }
  ~Training() { library_.function<decltype(swd_plan_destroy)>("swd_plan_destroy")(plan_); }

  bool step() {
    swd_buffers b = SWD_BUFFERS_INIT;
    b.param = p_.data();
    b.grad = g_.data();
    b.exp_avg = m_.data();
    b.exp_avg_sq = v_.data();
    b.state = state_;
    b.state_bytes = sizeof state_;
    b.workspace = workspace_.data();
    b.workspace_bytes = 16 * workspace_.size();
    swd_group group = SWD_GROUP_INIT;
    swd_step_args a = SWD_STEP_ARGS_INIT;
    a.groups = &group;
    a.group_count = 1;
    float before = p_.back();
    return good_ && step_(plan_, &b, &a, nullptr) == SWD_OK && p_.back() < before;
  }

 private:
  struct alignas(16) Block {
    uint8_t bytes[16];
  };
  const Library& library_;
  std::vector<float> p_, g_, m_, v_;
  std::vector<Block> workspace_;
  Block state_[6] = {};
  swd_plan* plan_ = nullptr;
  decltype(swd_step)* step_ = nullptr;
  bool good_ = false;
};

}  // namespace swd::test
