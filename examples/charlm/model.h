// SPDX-License-Identifier: Apache-2.0
// A character-level language model: the last kContext bytes are embedded, one hidden layer, softmax over the alphabet.
// All parameters lie in one flat buffer, as libswd likes them. Used by main.cpp.
#pragma once
#include <Eigen/Dense>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

namespace charlm {

constexpr int kContext = 16, kEmbedding = 16;

struct Tensor {
  int64_t offset, rows, columns;
  bool decays;  // weights decay, biases do not
  int64_t count() const { return rows * columns; }
};

class Model {
 public:
  using Matrix = Eigen::MatrixXf;
  using View = Eigen::Map<Matrix>;

  Model(int alphabet, int hidden, uint64_t seed) {
    add(kEmbedding, alphabet, true);
    add(hidden, kContext * kEmbedding, true);
    add(hidden, 1, false);
    add(alphabet, hidden, true);
    add(alphabet, 1, false);
    param.resize(static_cast<size_t>(tensors.back().offset + tensors.back().count()));
    grad.resize(param.size());
    std::mt19937_64 random(seed);
    for (const Tensor& t : tensors) {
      std::normal_distribution<float> normal(0.0f,
                                             t.offset == 0 ? 0.1f : 1.0f / std::sqrt(static_cast<float>(t.columns)));
      for (int64_t i = 0; t.decays && i < t.count(); ++i) param[static_cast<size_t>(t.offset + i)] = normal(random);
    }
  }

  // Mean cross entropy (nats per byte) of predicting text[at + kContext] from the kContext bytes before it.
  // with_gradient: also fills grad.
  double loss(const std::vector<uint8_t>& text, const std::vector<int64_t>& at, bool with_gradient) {
    Eigen::Index batch = static_cast<Eigen::Index>(at.size());
    View embedding = view(param, 0), w1 = view(param, 1), b1 = view(param, 2), w2 = view(param, 3), b2 = view(param, 4);
    Matrix x(kContext * kEmbedding, batch);
    for (Eigen::Index j = 0; j < batch; ++j) {
      for (int c = 0; c < kContext; ++c)
        x.block(c * kEmbedding, j, kEmbedding, 1) = embedding.col(byte(text, at, j, c));
    }
    Matrix h = ((w1 * x).colwise() + b1.col(0)).array().tanh().matrix();
    Matrix y = (w2 * h).colwise() + b2.col(0);
    double sum = 0.0;
    for (Eigen::Index j = 0; j < batch; ++j) {
      float largest = y.col(j).maxCoeff();
      y.col(j) = (y.col(j).array() - largest).exp();
      y.col(j) /= y.col(j).sum();
      float& right = y(byte(text, at, j, kContext), j);
      sum -= std::log(static_cast<double>(right) + 1e-30);
      right -= 1.0f;
    }
    if (!with_gradient) return sum / static_cast<double>(batch);
    y /= static_cast<float>(batch);
    Matrix dh = ((w2.transpose() * y).array() * (1.0f - h.array().square())).matrix();
    Matrix dx = w1.transpose() * dh;
    view(grad, 1) = dh * x.transpose();
    view(grad, 2) = dh.rowwise().sum();
    view(grad, 3) = y * h.transpose();
    view(grad, 4) = y.rowwise().sum();
    View de = view(grad, 0);
    de.setZero();
    for (Eigen::Index j = 0; j < batch; ++j) {
      for (int c = 0; c < kContext; ++c) de.col(byte(text, at, j, c)) += dx.block(c * kEmbedding, j, kEmbedding, 1);
    }
    return sum / static_cast<double>(batch);
  }

  std::vector<Tensor> tensors;
  std::vector<float> param, grad;

 private:
  void add(int64_t rows, int64_t columns, bool decays) {
    int64_t offset = tensors.empty() ? 0 : tensors.back().offset + tensors.back().count();
    tensors.push_back({offset, rows, columns, decays});
  }
  View view(std::vector<float>& flat, size_t k) {
    const Tensor& t = tensors[k];
    return View(flat.data() + t.offset, t.rows, t.columns);
  }
  static Eigen::Index byte(const std::vector<uint8_t>& text, const std::vector<int64_t>& at, Eigen::Index j, int c) {
    return text[static_cast<size_t>(at[static_cast<size_t>(j)] + c)];
  }
};

}  // namespace charlm
