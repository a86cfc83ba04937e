// SPDX-License-Identifier: Apache-2.0
// A 3 x 3 convolution of stride 2 as a matrix product, and the normalisation behind it. Used by network.h.
#pragma once
#include <algorithm>

#include "scalar.h"

namespace images {

// Activations are matrices of channels x places, a place being a pixel of an image of the batch: image by image, row by
// row. unfold() puts what each output place sees into a column, so that the convolution is a product with a matrix of
// channels_out x columns; fold() is its transpose and adds what a column holds back to where it came from.
struct Convolution {
  static constexpr int kStride = 2;
  int channels_in, height_in, width_in, channels_out;
  int height_out = (height_in + kStride - 1) / kStride, width_out = (width_in + kStride - 1) / kStride;
  int taps_down = 3, taps_across = width_in > 1 ? 3 : 1;  // a curve is an image of width 1

  int column_height() const { return channels_in * taps_down * taps_across; }
  int places_in() const { return height_in * width_in; }
  int places_out() const { return height_out * width_out; }

  void unfold(const Scalar* in, int batch, Matrix& columns) const {
    columns.setZero(column_height(), Eigen::Index{places_out()} * batch);
    runs(batch, [&](Eigen::Index column, Eigen::Index row, Eigen::Index place, Eigen::Index count) {
      std::copy_n(in + place * channels_in, count, columns.data() + column * column_height() + row);
    });
  }

  void fold(const Matrix& columns, int batch, Matrix& in) const {
    in.setZero(channels_in, Eigen::Index{places_in()} * batch);
    runs(batch, [&](Eigen::Index column, Eigen::Index row, Eigen::Index place, Eigen::Index count) {
      Scalar* to = in.data() + place * channels_in;
      const Scalar* from = columns.data() + column * column_height() + row;
      for (Eigen::Index i = 0; i < count; ++i) to[i] += from[i];
    });
  }

 private:
  // Neighbours in a row are neighbours in memory: visit(column, row in it, first place, numbers) once for each row of
  // the window that lies in the image.
  template <class Visit>
  void runs(int batch, Visit visit) const {
    Eigen::Index column = 0;
    for (int image = 0; image < batch; ++image) {
      for (int y = 0; y < height_out; ++y) {
        for (int x = 0; x < width_out; ++x, ++column) {
          int left = x * kStride - taps_across / 2, first = std::max(0, -left);
          int last = std::min(taps_across, width_in - left);
          for (int tap = 0; tap < taps_down; ++tap) {
            int source = y * kStride + tap - taps_down / 2;
            if (source < 0 || source >= height_in) continue;
            visit(column, (tap * taps_across + first) * channels_in,
                  (Eigen::Index{image} * height_in + source) * width_in + left + first, (last - first) * channels_in);
          }
        }
      }
    }
  }
};

// Batch normalisation over the places of a batch, or by running means at inference.
struct BatchNorm {
  Vector running_mean, running_variance, inverse_deviation;
  Matrix normalised;

  void forward(Matrix& z, bool by_batch, bool update) {
    Vector variance = running_variance;
    if (by_batch) {
      Vector mean = z.rowwise().mean();
      z.colwise() -= mean;
      variance = z.array().square().rowwise().mean();
      if (update) {
        running_mean += Scalar(0.1) * (mean - running_mean);
        running_variance += Scalar(0.1) * (variance - running_variance);
      }
    } else {
      z.colwise() -= running_mean;
    }
    inverse_deviation = (variance.array() + Scalar(1e-5)).rsqrt();
    normalised = z.array().colwise() * inverse_deviation.array();
  }

  // d: the gradient of gain * normalised + shift; becomes that of what forward() was given.
  void backward(Matrix& d, const Vector& gain, const Vector& gain_grad, const Vector& shift_grad) const {
    Scalar places = static_cast<Scalar>(d.cols());
    d.colwise() -= shift_grad / places;
    d.array() -= normalised.array().colwise() * (gain_grad / places).array();
    d.array().colwise() *= inverse_deviation.array() * gain.array();
  }
};

}  // namespace images
