// SPDX-License-Identifier: Apache-2.0
// AdamS as a torch::optim::Optimizer, over the C ABI of libswd. Used by train.cpp; made to be copied.
//
//     AdamS optimizer(model->parameters(), AdamSOptions(1e-3).weight_decay(0.1), /*max_grad_norm=*/1.0);
//     optimizer.zero_grad(); loss.backward(); optimizer.step();
//
// fp32 parameters of one device, CPU or CUDA, dense and contiguous; everything else is refused by name. Clipping is a
// part of the step, so clip_grad_norm_ goes. torch::save and torch::load keep what a training needs to go on to the
// bit.
#pragma once
#include <torch/optim/optimizer.h>
#include <torch/optim/serialize.h>

#include <tuple>
#include <vector>

#include "swd/swd.hpp"

struct AdamSOptions : torch::optim::OptimizerCloneableOptions<AdamSOptions> {
  AdamSOptions(double lr = 1e-3) : lr_(lr) {}
  using betas_t = std::tuple<double, double>;
  TORCH_ARG(double, lr);
  TORCH_ARG(betas_t, betas) = {0.9, 0.999};
  TORCH_ARG(double, eps) = 1e-8;
  TORCH_ARG(double, weight_decay) = 0.1;                // with RELATIVE and DECOUPLED in AdamW's unit
  TORCH_ARG(int64_t, decay_mode) = SWD_DECAY_RELATIVE;  // an swd_decay

 public:
  void serialize(torch::serialize::InputArchive& archive) override;
  void serialize(torch::serialize::OutputArchive& archive) const override;
  double get_lr() const override { return lr(); }
  void set_lr(double value) override { lr(value); }
};

// What a step keeps of a parameter. step and exp_avg_sq_sum are in the optimizer's state image while it trains.
struct AdamSParamState : torch::optim::OptimizerCloneableParamState<AdamSParamState> {
  TORCH_ARG(int64_t, step) = 0;
  TORCH_ARG(double, exp_avg_sq_sum) = 0.0;
  TORCH_ARG(int64_t, model_step) = 0;  // of the model, as the next; an archive has no other place
  TORCH_ARG(double, vbar_reference) = 0.0;
  TORCH_ARG(torch::Tensor, exp_avg);
  TORCH_ARG(torch::Tensor, exp_avg_sq);

 public:
  void serialize(torch::serialize::InputArchive& archive) override;
  void serialize(torch::serialize::OutputArchive& archive) const override;
};

class AdamS : public torch::optim::Optimizer {
 public:
  AdamS(std::vector<torch::optim::OptimizerParamGroup> groups, AdamSOptions defaults = {}, double max_grad_norm = 0.0);
  AdamS(std::vector<torch::Tensor> parameters, AdamSOptions defaults = {}, double max_grad_norm = 0.0)
      : AdamS(std::vector{torch::optim::OptimizerParamGroup(std::move(parameters))}, defaults, max_grad_norm) {}

  void add_param_group(const torch::optim::OptimizerParamGroup& group);
  torch::Tensor step(LossClosure closure = nullptr) override;
  swd_stats stats();  // of the latest step; waits for the device. Before any: result NONE

  void save(torch::serialize::OutputArchive& archive) const override;
  void load(torch::serialize::InputArchive& archive) override;

 private:
  // What a plan is made for. Where it changes a new one takes over the states.
  struct Layout {
    std::vector<torch::Tensor> parameters;
    std::vector<int64_t> groups, counts;
    std::vector<swd_decay> modes;
    torch::Device device = torch::kCPU;
    bool operator==(const Layout& other) const;
  };
  Layout layout() const;
  void make_plan(const Layout& layout);
  void set_pointers();
  void write_states() const;  // from the image into the states of the parameters

  double max_grad_norm_;
  Layout layout_;
  swd::Plan plan_;
  torch::Tensor image_, workspace_;     // bytes on the device
  std::vector<torch::Tensor> moments_;  // exp_avg of all parameters, then exp_avg_sq
  std::vector<const void*> addresses_;  // that the workspace knows: of parameters, then of moments_
};
