// SPDX-License-Identifier: Apache-2.0
// Writes what the runs found as JSON, for run.py and experiments/. Used by main.cpp.
#pragma once
#include <string>
#include <vector>

#include "train.h"

namespace images {

// Curves are written as means over 200 stretches of equal length. Throws std::runtime_error if it cannot write.
void write_json(const std::string& path, const Data& data, const Setting& setting, double label_noise,
                const std::vector<Run>& runs);

}  // namespace images
