// SPDX-License-Identifier: Apache-2.0
// Three convolutions of 16, 32 and 32 channels, each with batch normalisation and ReLU, then a linear layer: 15,418
// parameters for ten classes of 14 x 14 pixels. All parameters lie in one flat buffer, as libswd likes them. Used by
// train.cpp.
#pragma once
#include <cstdint>
#include <vector>

#include "convolution.h"

namespace images {

struct Tensor {
  int64_t offset, rows, columns;
  bool is_weight;  // multiplied with activations; else a gain, a shift or a bias
  int64_t count() const { return rows * columns; }
};

enum class Mode {
  kTrain,      // by the batch's own means, which go into the running ones; fills grad
  kBatchLoss,  // by the batch's own means, and changes nothing
  kInfer       // by the running means
};

class Network {
 public:
  Network(int height, int width, int classes, bool has_norm, uint64_t seed);

  // The sum of the cross entropies of `batch` images, and how many are taken for something else. grad is that of the
  // mean.
  double loss(const Scalar* pixels, const int* labels, int batch, Mode mode, int* mistakes = nullptr);

  std::vector<Tensor> tensors;
  Flat param, grad;

 private:
  using View = Eigen::Map<Matrix>;
  struct Layer {
    Convolution convolution;
    size_t weight, gain, shift;  // tensors; without normalisation there is no gain
    BatchNorm norm;
    Matrix columns, out;
  };

  size_t add(int64_t rows, int64_t columns, bool is_weight);
  View view(Flat& flat, size_t tensor);
  void forward(Layer& layer, const Scalar* in, int batch, Mode mode);
  void backward(Layer& layer, Matrix& d, int batch, bool is_first);

  bool has_norm_;
  std::vector<Layer> layers_;
  size_t linear_, bias_;
};

}  // namespace images
