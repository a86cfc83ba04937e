// SPDX-License-Identifier: Apache-2.0
// The network's number: float, as libswd wants it; double in the program that compares its gradients with differences,
// where float would leave only three digits. Used by every file beside it.
#pragma once
#include <Eigen/Dense>
#include <vector>

namespace images {

#ifdef IMAGES_IN_DOUBLE
using Scalar = double;
#else
using Scalar = float;
#endif
using Matrix = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic>;
// Aligned as Eigen aligns its own: the order in which it adds depends on that, and with it the bits.
using Flat = std::vector<Scalar, Eigen::aligned_allocator<Scalar>>;
using Vector = Eigen::Matrix<Scalar, Eigen::Dynamic, 1>;

}  // namespace images
