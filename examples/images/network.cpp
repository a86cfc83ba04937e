// SPDX-License-Identifier: Apache-2.0
#include "network.h"

#include <cmath>
#include <random>

namespace images {

Network::Network(int height, int width, int classes, bool has_norm, uint64_t seed) : has_norm_(has_norm) {
  int channels = 1;
  std::vector<size_t> gains;
  for (int out : {16, 32, 32}) {
    Layer layer{{channels, height, width, out}, 0, 0, 0, {}, {}, {}};
    layer.weight = add(out, layer.convolution.column_height(), true);
    if (has_norm) gains.push_back(layer.gain = add(out, 1, false));
    layer.shift = add(out, 1, false);
    layer.norm.running_mean = Vector::Zero(out), layer.norm.running_variance = Vector::Ones(out);
    channels = out, height = layer.convolution.height_out, width = layer.convolution.width_out;
    layers_.push_back(std::move(layer));
  }
  linear_ = add(classes, int64_t{channels} * height * width, true);
  bias_ = add(classes, 1, false);
  param.resize(static_cast<size_t>(tensors.back().offset + tensors.back().count()));
  grad.resize(param.size());
  std::mt19937_64 random(seed);
  for (size_t k = 0; k < tensors.size(); ++k) {
    if (!tensors[k].is_weight) continue;
    Scalar bound = 1 / std::sqrt(static_cast<Scalar>(tensors[k].columns));
    std::uniform_real_distribution<Scalar> uniform(-bound, bound);
    for (Scalar& value : view(param, k).reshaped()) value = uniform(random);
  }
  for (size_t gain : gains) view(param, gain).setOnes();
}

size_t Network::add(int64_t rows, int64_t columns, bool is_weight) {
  tensors.push_back({tensors.empty() ? 0 : tensors.back().offset + tensors.back().count(), rows, columns, is_weight});
  return tensors.size() - 1;
}

Network::View Network::view(Flat& flat, size_t tensor) {
  const Tensor& t = tensors[tensor];
  return View(flat.data() + t.offset, t.rows, t.columns);
}

void Network::forward(Layer& layer, const Scalar* in, int batch, Mode mode) {
  layer.convolution.unfold(in, batch, layer.columns);
  Matrix& out = layer.out;
  out.noalias() = view(param, layer.weight) * layer.columns;
  if (has_norm_) {
    layer.norm.forward(out, mode != Mode::kInfer, mode == Mode::kTrain);
    out = layer.norm.normalised.array().colwise() * view(param, layer.gain).col(0).array();
  }
  out = (out.colwise() + view(param, layer.shift).col(0)).cwiseMax(Scalar(0));
}

// d: the gradient of what the layer gave; becomes that of what it was given.
void Network::backward(Layer& layer, Matrix& d, int batch, bool is_first) {
  d = (layer.out.array() > 0).select(d, Scalar(0));
  Vector shift_grad = d.rowwise().sum();
  view(grad, layer.shift) = shift_grad;
  if (has_norm_) {
    Vector gain_grad = (d.array() * layer.norm.normalised.array()).rowwise().sum();
    view(grad, layer.gain) = gain_grad;
    layer.norm.backward(d, view(param, layer.gain).col(0), gain_grad, shift_grad);
  }
  view(grad, layer.weight).noalias() = d * layer.columns.transpose();
  if (is_first) return;
  layer.columns.noalias() = view(param, layer.weight).transpose() * d;
  layer.convolution.fold(layer.columns, batch, d);
}

double Network::loss(const Scalar* pixels, const int* labels, int batch, Mode mode, int* mistakes) {
  const Scalar* in = pixels;
  for (Layer& layer : layers_) {
    forward(layer, in, batch, mode);
    in = layer.out.data();
  }
  Layer& last = layers_.back();
  Eigen::Map<const Matrix> features(in, tensors[linear_].columns, batch);
  Matrix y = (view(param, linear_) * features).colwise() + view(param, bias_).col(0);
  double sum = 0.0;
  for (Eigen::Index i = 0; i < batch; ++i) {
    Eigen::Index taken_for;
    Scalar largest = y.col(i).maxCoeff(&taken_for);
    if (mistakes) *mistakes += taken_for != labels[i];
    y.col(i) = (y.col(i).array() - largest).exp();
    y.col(i) /= y.col(i).sum();
    sum -= std::log(static_cast<double>(y(labels[i], i)) + 1e-30);
    y(labels[i], i) -= 1;
  }
  if (mode != Mode::kTrain) return sum;
  y /= static_cast<Scalar>(batch);
  view(grad, linear_).noalias() = y * features.transpose();
  view(grad, bias_) = y.rowwise().sum();
  Matrix d(last.out.rows(), last.out.cols());
  View(d.data(), features.rows(), batch).noalias() = view(param, linear_).transpose() * y;
  for (size_t i = layers_.size(); i-- > 0;) backward(layers_[i], d, batch, i == 0);
  return sum;
}

}  // namespace images
