// SPDX-License-Identifier: Apache-2.0
// Trains a small network with AdamS, and says how far it is from torch::optim::AdamW where both do the same, and
// whether a training that is saved and loaded goes on to the bit. Exits with 1 where something is not as it should be.
#include <torch/torch.h>

#include <cstdio>
#include <sstream>

#include "adams.h"

namespace {

struct Task {
  explicit Task(torch::Device device) {
    torch::manual_seed(7);
    x = torch::randn({256, 20}).to(device);
    y = torch::sin(x.sum(1, true));
    model = torch::nn::Sequential(torch::nn::Linear(20, 64), torch::nn::Tanh(),
                                  torch::nn::LayerNorm(torch::nn::LayerNormOptions({64})), torch::nn::Linear(64, 1));
    model->to(device);
  }
  torch::Tensor backward() {
    model->zero_grad();
    torch::Tensor loss = torch::mse_loss(model->forward(x), y);
    loss.backward();
    return loss;
  }
  double difference(const Task& other) const {
    double most = 0.0;
    auto a = model->parameters(), b = other.model->parameters();
    for (size_t i = 0; i < a.size(); ++i) most = std::max(most, (a[i] - b[i]).abs().max().item<double>());
    return most;
  }
  torch::Tensor x, y;
  torch::nn::Sequential model;
};

// Weights decay, biases and gains do not.
template <class Options>
std::vector<torch::optim::OptimizerParamGroup> groups_of(Task& task, Options options) {
  std::vector<torch::Tensor> weights, others;
  for (const torch::Tensor& p : task.model->parameters()) (p.dim() > 1 ? weights : others).push_back(p);
  std::vector<torch::optim::OptimizerParamGroup> out;
  out.emplace_back(weights, std::make_unique<Options>(options));
  out.emplace_back(others, std::make_unique<Options>(Options(options).weight_decay(0.0)));
  return out;
}

bool good = true;
void expect(bool holds, const char* what, double number) {
  std::printf("%-62s %10.3g  %s\n", what, number, holds ? "" : "WRONG");
  good = good && holds;
}

template <class F>
bool refuses(F f, const std::string& words) {
  try {
    f();
  } catch (const std::exception& e) {
    return std::string(e.what()).find(words) != std::string::npos;
  }
  return false;
}

void compare_with_adamw(torch::Device device) {
  constexpr double kClip = 0.5;
  Task ours(device), theirs(device);
  AdamSOptions options = AdamSOptions(3e-3).weight_decay(0.1).decay_mode(SWD_DECAY_DECOUPLED);
  AdamS adams(groups_of(ours, options), options, kClip);
  torch::optim::AdamW adamw(groups_of(theirs, torch::optim::AdamWOptions(3e-3).weight_decay(0.1)));
  for (int i = 0; i < 300; ++i) {
    ours.backward();
    theirs.backward();
    torch::nn::utils::clip_grad_norm_(theirs.model->parameters(), kClip);
    adams.step();
    adamw.step();
  }
  expect(ours.difference(theirs) < 3e-5, "largest difference to AdamW after 300 steps", ours.difference(theirs));
  swd_stats stats = adams.stats();
  expect(stats.steps_applied == 300, "steps applied", static_cast<double>(stats.steps_applied));
}

double train(Task& task, AdamS& optimizer, int first, int end) {
  double loss = 0.0;
  for (int i = first; i < end; ++i) {
    loss = task.backward().item<double>();
    if (i % 3 == 1) task.model->parameters()[0].mutable_grad().reset();  // now and then one without a gradient
    optimizer.step();
  }
  return loss;
}

void resume(torch::Device device, int64_t mode, double weight_decay) {
  AdamSOptions options = AdamSOptions(3e-3).weight_decay(weight_decay).decay_mode(mode);
  Task whole(device), cut(device);
  AdamS one(groups_of(whole, options), options, 1.0);
  double first = train(whole, one, 0, 1), last = train(whole, one, 1, 200);
  expect(last < 0.5 * first, "loss, over that of the first step", last / first);

  std::stringstream file;
  {
    AdamS before(groups_of(cut, options), options, 1.0);
    train(cut, before, 0, 120);
    torch::save(before, file);
  }
  AdamS after(groups_of(cut, options), options, 1.0);
  torch::load(after, file);
  train(cut, after, 120, 200);
  expect(whole.difference(cut) == 0.0, "saved and loaded: largest difference, which must be 0", whole.difference(cut));
}

void change(torch::Device device) {
  Task task(device);
  auto parameters = task.model->parameters();
  AdamS optimizer(std::vector{parameters[0], parameters[1]}, AdamSOptions(1e-3));
  task.backward();
  optimizer.step();
  torch::Tensor before = parameters[4].detach().clone();
  optimizer.add_param_group(torch::optim::OptimizerParamGroup(std::vector{parameters[4]}));
  task.backward();
  optimizer.step();
  expect(!before.equal(parameters[4]), "a parameter that was added is trained", 1);
  expect(optimizer.stats().steps_applied == 2, "steps over both layouts", 2);
  task.backward();
  parameters[0].mutable_grad().fill_(NAN);
  before = parameters[1].detach().clone();
  optimizer.step();
  swd_stats stats = optimizer.stats();
  expect(stats.result == SWD_RESULT_SKIPPED_NONFINITE && before.equal(parameters[1]),
         "gradients that are not finite, and change nothing", stats.bad);
  torch::Tensor wide = torch::zeros({3}, torch::dtype(torch::kDouble).device(device).requires_grad(true));
  expect(refuses([&] { AdamS optimizer(std::vector{wide}); }, "parameter 0"), "a parameter in double is refused", 1);
}

}  // namespace

int main(int argc, char** argv) try {
  torch::set_num_threads(1);
  torch::Device device(argc > 1 ? argv[1] : "cpu");
  std::printf("libswd %s, %s\n", swd_version_string(), device.str().c_str());
  compare_with_adamw(device);
  resume(device, SWD_DECAY_RELATIVE, 0.1);
  resume(device, SWD_DECAY_SCHEDULED, 1e-4);
  change(device);
  return good ? 0 : 1;
} catch (const std::exception& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}
