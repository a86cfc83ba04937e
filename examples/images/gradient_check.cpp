// SPDX-License-Identifier: Apache-2.0
// Compares the network's gradients with central differences, in double: images and curves, with normalisation and
// without. A test.
#include <cmath>
#include <cstdio>
#include <random>

#include "network.h"

namespace {

using images::Mode;

// |gradient - differences| / |gradient| over all parameters. A difference that crosses the corner of a ReLU would be
// wrong; at this distance none does.
double error(int height, int width, bool has_norm) {
  constexpr int kBatch = 8, kClasses = 5;
  constexpr double kDistance = 1e-6;
  images::Network network(height, width, kClasses, has_norm, 5);
  std::mt19937_64 random(6);
  std::normal_distribution<double> normal;
  images::Matrix pixels(height * width, kBatch);
  for (double& pixel : pixels.reshaped()) pixel = normal(random);
  for (double& value : network.param) value += 0.1 * normal(random);  // no gain at 1, no shift at 0
  int labels[kBatch];
  for (int i = 0; i < kBatch; ++i) labels[i] = i % kClasses;
  auto loss = [&](Mode mode) { return network.loss(pixels.data(), labels, kBatch, mode) / kBatch; };
  loss(Mode::kTrain);
  double difference = 0.0, norm = 0.0;
  for (size_t i = 0; i < network.param.size(); i += 3) {
    double old = network.param[i];
    network.param[i] = old + kDistance;
    double up = loss(Mode::kBatchLoss);
    network.param[i] = old - kDistance;
    double down = loss(Mode::kBatchLoss);
    network.param[i] = old;
    difference += std::pow((up - down) / (2 * kDistance) - network.grad[i], 2);
    norm += std::pow(network.grad[i], 2);
  }
  return std::sqrt(difference / norm);
}

}  // namespace

int main() {
  double worst = 0.0;
  for (int width : {14, 1}) {
    for (bool has_norm : {true, false}) {
      double found = error(width == 1 ? 40 : 14, width, has_norm);
      std::printf("%s, %s: %.1e\n", width == 1 ? "curves" : "images", has_norm ? "normalised" : "not normalised",
                  found);
      worst = std::max(worst, found);
    }
  }
  return worst < 1e-6 ? 0 : 1;
}
