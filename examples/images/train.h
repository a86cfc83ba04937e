// SPDX-License-Identifier: Apache-2.0
// One training: what it is told, and what it tells. Used by main.cpp and report.cpp.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "data.h"

namespace images {

// How a run decays. `strength` is weight_decay in the unit of the kind.
struct Method {
  std::string kind;  // adamw, swd, relative, l2, adamc; made from a run of swd: matched, replay
  double strength = 0.0;
};

enum class Schedule { kSteps, kCosine, kWsd };

struct Setting {
  int steps = 4000, batch = 100;
  double lr = 3e-3;
  Schedule schedule = Schedule::kSteps;
  bool has_norm = true, weights_only = false, cuda = false;
};

struct Run {
  Method method;
  int seed = 0;
  double mean_lambda = 0.0, total_decay = 0.0;  // the sum of lr * lambda_eff over that of lr, and the first alone
  double norm = 0.0, full_norm = 0.0;           // mean of the last tenth of the steps; of all training images
  double weight_norm = 0.0;                     // of the weights at the end
  double train_loss = 0.0, validation_loss = 0.0, validation_error = 0.0, test_loss = 0.0, test_error = 0.0;
  double step_us = 0.0;                               // in libswd
  std::vector<double> lambda, norms, losses, decays;  // of every step; decays: the largest share of a parameter taken
};

// lr of a step as a share of the first.
double lr_factor(Schedule schedule, int step, int steps);

// weight_decay of a step, given its lr as a share of the first.
using Decay = std::function<double(int step, double lr_factor)>;

// Trains from the seed's weights on the seed's batches. The kind of `method` says what libswd does with weight_decay,
// which is `decay`'s of every step. on_step is called after each.
Run train(const Data& data, const Setting& setting, const Method& method, int seed, const Decay& decay,
          const std::function<void()>& on_step);

}  // namespace images
