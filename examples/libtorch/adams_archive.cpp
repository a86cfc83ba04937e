// SPDX-License-Identifier: Apache-2.0
// AdamS to and from torch::save and torch::load.
#include <torch/serialize/archive.h>

#include "adams.h"

void AdamS::save(torch::serialize::OutputArchive& archive) const {
  write_states();
  torch::optim::serialize<AdamSParamState, AdamSOptions>(archive, *this);
}

void AdamS::load(torch::serialize::InputArchive& archive) {
  torch::optim::serialize<AdamSParamState, AdamSOptions>(archive, *this);
  image_.reset();  // what it holds is not of these states
  layout_ = Layout{};
}

void AdamSOptions::serialize(torch::serialize::OutputArchive& archive) const {
  _TORCH_OPTIM_SERIALIZE_TORCH_ARG(lr);
  _TORCH_OPTIM_SERIALIZE_TORCH_ARG(betas);
  _TORCH_OPTIM_SERIALIZE_TORCH_ARG(eps);
  _TORCH_OPTIM_SERIALIZE_TORCH_ARG(weight_decay);
  _TORCH_OPTIM_SERIALIZE_TORCH_ARG(decay_mode);
}
void AdamSOptions::serialize(torch::serialize::InputArchive& archive) {
  _TORCH_OPTIM_DESERIALIZE_TORCH_ARG(double, lr);
  _TORCH_OPTIM_DESERIALIZE_TORCH_ARG(betas_t, betas);
  _TORCH_OPTIM_DESERIALIZE_TORCH_ARG(double, eps);
  _TORCH_OPTIM_DESERIALIZE_TORCH_ARG(double, weight_decay);
  _TORCH_OPTIM_DESERIALIZE_TORCH_ARG(int64_t, decay_mode);
}

void AdamSParamState::serialize(torch::serialize::OutputArchive& archive) const {
  _TORCH_OPTIM_SERIALIZE_TORCH_ARG(step);
  _TORCH_OPTIM_SERIALIZE_TORCH_ARG(exp_avg_sq_sum);
  _TORCH_OPTIM_SERIALIZE_TORCH_ARG(model_step);
  _TORCH_OPTIM_SERIALIZE_TORCH_ARG(vbar_reference);
  _TORCH_OPTIM_SERIALIZE_TORCH_ARG(exp_avg);
  _TORCH_OPTIM_SERIALIZE_TORCH_ARG(exp_avg_sq);
}
void AdamSParamState::serialize(torch::serialize::InputArchive& archive) {
  _TORCH_OPTIM_DESERIALIZE_TORCH_ARG(int64_t, step);
  _TORCH_OPTIM_DESERIALIZE_TORCH_ARG(double, exp_avg_sq_sum);
  _TORCH_OPTIM_DESERIALIZE_TORCH_ARG(int64_t, model_step);
  _TORCH_OPTIM_DESERIALIZE_TORCH_ARG(double, vbar_reference);
  _TORCH_OPTIM_DESERIALIZE_TORCH_ARG(torch::Tensor, exp_avg);
  _TORCH_OPTIM_DESERIALIZE_TORCH_ARG(torch::Tensor, exp_avg_sq);
}
