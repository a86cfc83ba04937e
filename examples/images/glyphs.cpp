// SPDX-License-Identifier: Apache-2.0
// Makes a task where no images are: MNIST-1D (Greydanus and Kobak, 2020) written anew. And what both kinds of data get.
#include <algorithm>
#include <array>
#include <cmath>
#include <random>
#include <stdexcept>

#include "data.h"

namespace images {
namespace {

using Curve = std::vector<double>;
constexpr int kClasses = 10, kPoints = 40, kFine = 72;

// Digits drawn with one stroke: how far to the right it is on its way down.
constexpr std::array<std::array<double, 12>, kClasses> kStrokes{{{5, 6, 6.5, 6.75, 7, 7, 7, 7, 6.75, 6.5, 6, 5},
                                                                 {5, 3, 3, 3.4, 3.8, 4.2, 4.6, 5, 5.4, 5.8, 5, 5},
                                                                 {5, 6, 6.5, 6.5, 6, 5.25, 4.75, 4, 3.5, 3.5, 4, 5},
                                                                 {5, 6, 6.5, 6.5, 6, 5, 5, 6, 6.5, 6.5, 6, 5},
                                                                 {5, 4.4, 3.8, 3.2, 2.6, 2.6, 5, 5, 5, 5, 5, 5},
                                                                 {5, 3, 3, 3, 3, 5, 6, 6.5, 6.5, 6, 4.5, 5},
                                                                 {5, 4, 3.5, 3.25, 3, 3, 3, 3, 3.25, 3.5, 4, 5},
                                                                 {5, 7, 7, 6.6, 6.2, 5.8, 5.4, 5, 4.6, 4.2, 5, 5},
                                                                 {5, 4, 3.5, 3.5, 4, 5, 5, 4, 3.5, 3.5, 4, 5},
                                                                 {5, 4, 3.5, 3.5, 4, 5, 5, 5, 5, 4.7, 4.3, 5}}};

// Linear interpolation at `points` places.
Curve resample(const Curve& curve, int points) {
  Curve out;
  for (int i = 0; i < points; ++i) {
    double place = i * static_cast<double>(curve.size() - 1) / (points - 1);
    size_t left = std::min(static_cast<size_t>(place), curve.size() - 2);
    out.push_back(curve[left] + (place - static_cast<double>(left)) * (curve[left + 1] - curve[left]));
  }
  return out;
}

// Independent normal numbers under a bell of width 2, mirrored at the ends.
Curve smooth_noise(std::mt19937_64& random) {
  std::normal_distribution<double> normal(0.0, 0.25);
  Curve raw(kFine), out(kFine);
  for (double& value : raw) value = normal(random);
  for (int i = 0; i < kFine; ++i) {
    double sum = 0.0, weights = 0.0;
    for (int j = -8; j <= 8; ++j) {
      int k = i + j < 0 ? -(i + j) - 1 : i + j >= kFine ? 2 * kFine - 1 - (i + j) : i + j;
      double weight = std::exp(-j * j / 8.0);
      sum += weight * raw[static_cast<size_t>(k)];
      weights += weight;
    }
    out[static_cast<size_t>(i)] = sum / weights;
  }
  return out;
}

Curve glyph(int digit, std::mt19937_64& random) {
  std::uniform_real_distribution<double> uniform(0.0, 1.0);
  std::normal_distribution<double> normal(0.0, 0.02);
  const auto& stroke = kStrokes[static_cast<size_t>(digit)];
  Eigen::Map<const Eigen::ArrayXd> points(stroke.data(), static_cast<Eigen::Index>(stroke.size()));
  double spread = std::sqrt((points - points.mean()).square().mean());
  Curve curve;
  for (double x : stroke) curve.push_back((x - stroke[0]) / spread / 6 + 1e-8);
  curve.resize(stroke.size() + 36 + static_cast<size_t>(uniform(random) * 25), 0.0);
  curve = resample(curve, kFine);
  double scale = 1 + 0.4 * (uniform(random) - 0.5), tilt = 0.75 * (uniform(random) - 0.5);
  std::rotate(curve.begin(), curve.end() - static_cast<int>(uniform(random) * 48), curve.end());
  Curve noise = smooth_noise(random);
  for (int i = 0; i < kFine; ++i) {
    double& value = curve[static_cast<size_t>(i)];
    value = (value != 0.0 ? scale * value : noise[static_cast<size_t>(i)]) + normal(random) - tilt * (i / 71.0 - 0.5);
  }
  return resample(curve, kPoints);
}

Set make(int count, uint64_t seed) {
  std::mt19937_64 random(seed);
  Set set;
  set.pixels.resize(kPoints, count);
  for (int i = 0; i < count; ++i) {
    set.labels.push_back(static_cast<int>(random() % kClasses));
    Curve curve = glyph(set.labels.back(), random);
    set.pixels.col(i) = Eigen::Map<Eigen::VectorXd>(curve.data(), kPoints).cast<Scalar>();
  }
  return set;
}

}  // namespace

Data make_glyphs(const Sizes& sizes) {
  Data data;
  data.name = "generated glyphs";
  data.height = kPoints, data.width = 1, data.classes = kClasses;
  data.train = make(sizes.train, 1), data.validation = make(sizes.validation, 2), data.test = make(sizes.test, 3);
  return data;
}

void add_label_noise(Data& data, double share) {
  std::mt19937_64 random(2);
  std::uniform_real_distribution<double> uniform(0.0, 1.0);
  std::uniform_int_distribution<int> any(0, data.classes - 1);
  for (int& label : data.train.labels) {
    if (uniform(random) < share) label = any(random);
  }
}

void standardise(Data& data) {
  Scalar mean = data.train.pixels.mean();
  Scalar deviation = std::sqrt((data.train.pixels.array() - mean).square().mean());
  if (!(deviation > 0)) throw std::runtime_error(data.name + ": all training pixels are the same");
  for (Set* set : {&data.train, &data.validation, &data.test}) {
    set->pixels = ((set->pixels.array() - mean) / deviation).matrix();
  }
}

}  // namespace images
