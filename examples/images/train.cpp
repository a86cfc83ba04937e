// SPDX-License-Identifier: Apache-2.0
#include "train.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "flat_optimizer.h"
#include "network.h"

namespace images {
namespace {

// Batches of images in an order drawn anew for every pass.
class Batches {
 public:
  Batches(const Set& set, int batch, uint64_t seed)
      : pixels(set.pixels.rows(), batch), labels(static_cast<size_t>(batch)), set_(set), random_(seed) {
    order_.resize(set.labels.size());
    std::iota(order_.begin(), order_.end(), 0);
    at_ = order_.size();
  }
  void next() {
    if (at_ + labels.size() > order_.size()) {
      std::shuffle(order_.begin(), order_.end(), random_);
      at_ = 0;
    }
    for (size_t i = 0; i < labels.size(); ++i, ++at_) {
      pixels.col(static_cast<Eigen::Index>(i)) = set_.pixels.col(order_[at_]);
      labels[i] = set_.labels[static_cast<size_t>(order_[at_])];
    }
  }
  Matrix pixels;
  std::vector<int> labels;

 private:
  const Set& set_;
  std::mt19937_64 random_;
  std::vector<int> order_;
  size_t at_;
};

swd_decay decay_mode(const std::string& kind) {
  if (kind == "swd") return SWD_DECAY_SCHEDULED;
  if (kind == "relative") return SWD_DECAY_RELATIVE;
  if (kind == "l2") return SWD_DECAY_L2;
  return SWD_DECAY_DECOUPLED;
}

// Mean loss of a set at inference, and the share of mistakes.
double evaluate(Network& network, const Set& set, double* error) {
  constexpr int kAtOnce = 250;
  double sum = 0.0;
  int mistakes = 0;
  for (int first = 0; first < set.count(); first += kAtOnce) {
    sum += network.loss(set.pixels.col(first).data(), &set.labels[static_cast<size_t>(first)],
                        std::min(kAtOnce, set.count() - first), Mode::kInfer, &mistakes);
  }
  if (error) *error = static_cast<double>(mistakes) / set.count();
  return sum / set.count();
}

// The norm of the mean gradient over all training images, each batch normalised by its own means as in training. Last,
// because the running means move.
double full_norm(Network& network, const Set& set, int batch) {
  Vector sum = Vector::Zero(static_cast<Eigen::Index>(network.grad.size()));
  int batches = set.count() / batch;
  for (int i = 0; i < batches; ++i) {
    network.loss(set.pixels.col(i * batch).data(), &set.labels[static_cast<size_t>(i * batch)], batch, Mode::kTrain);
    sum += Eigen::Map<Vector>(network.grad.data(), sum.size());
  }
  return static_cast<double>(sum.norm()) / batches;
}

double weight_norm(Network& network) {
  double squares = 0.0;
  for (const Tensor& t : network.tensors) {
    if (t.is_weight)
      squares += Eigen::Map<Vector>(&network.param[static_cast<size_t>(t.offset)], t.count()).squaredNorm();
  }
  return std::sqrt(squares);
}

}  // namespace

double lr_factor(Schedule schedule, int step, int steps) {
  double at = static_cast<double>(step) / steps;
  switch (schedule) {
    case Schedule::kSteps:
      return at < 0.4 ? 1.0 : at < 0.8 ? 0.1 : 0.01;
    case Schedule::kCosine:
      return 0.5 * (1.0 + std::cos(3.14159265358979 * at));
    case Schedule::kWsd:
      return at < 0.05 ? (step + 1) / (0.05 * steps) : at < 0.8 ? 1.0 : (1.0 - at) / 0.2;
  }
  return 1.0;
}

Run train(const Data& data, const Setting& setting, const Method& method, int seed, const Decay& decay,
          const std::function<void()>& on_step) {
  uint64_t number = static_cast<uint64_t>(seed);
  Network network(data.height, data.width, data.classes, setting.has_norm, 1000 * number + 7);
  example::FlatOptimizer optimizer(
      network, [&](const Tensor& t) { return t.is_weight || !setting.weights_only; }, decay_mode(method.kind),
      setting.cuda, 1);
  Batches batches(data.train, setting.batch, number + 1);
  Run run;
  run.method = method, run.seed = seed;
  double sum_lr = 0.0;
  for (int step = 0; step < setting.steps; ++step) {
    batches.next();
    run.losses.push_back(network.loss(batches.pixels.data(), batches.labels.data(), setting.batch, Mode::kTrain) /
                         setting.batch);
    double factor = lr_factor(setting.schedule, step, setting.steps), lr = setting.lr * factor, lambda = 0.0;
    swd_stats stats = optimizer.step(lr, decay(step, factor), 0.0, &lambda);
    if (stats.result != SWD_RESULT_APPLIED) {
      throw std::runtime_error(method.kind + ": step " + std::to_string(step) +
                               " was not applied: " + swd_result_name(stats.result));
    }
    run.norms.push_back(stats.grad_norm);
    run.lambda.push_back(lambda);
    run.decays.push_back(stats.largest_decay);
    run.total_decay += lr * lambda;
    sum_lr += lr;
    on_step();
  }
  run.mean_lambda = run.total_decay / sum_lr;
  auto tenth = run.norms.end() - std::max(1, setting.steps / 10);
  run.norm = std::accumulate(tenth, run.norms.end(), 0.0) / static_cast<double>(run.norms.end() - tenth);
  run.train_loss = evaluate(network, data.train, nullptr);
  run.validation_loss = evaluate(network, data.validation, &run.validation_error);
  run.test_loss = evaluate(network, data.test, &run.test_error);
  run.weight_norm = weight_norm(network);
  run.full_norm = full_norm(network, data.train, setting.batch);
  run.step_us = 1e6 * optimizer.seconds / setting.steps;
  return run;
}

}  // namespace images
