// SPDX-License-Identifier: Apache-2.0
// Which runs a call makes, and making them, one per thread. Used by main.cpp.
#pragma once
#include <string>
#include <vector>

#include "train.h"

namespace images {

// The demo's question as a list: AdamW without decay and at two strengths; SWD at three, and to each AdamW of the same
// total decay; L2; relative decay.
extern const std::vector<std::string> kDefaultRuns, kQuickRuns;

// "swd:0.03" and so on. matched:W is AdamW at the constant that gives the total decay of swd:W of the same seed, which
// has to be in the list; replay:W is AdamW given, step by step, the lambda_eff of a run of swd:W of another seed;
// adamc:W is AdamW with a decay that follows the learning rate. Throws std::runtime_error that names what it cannot
// read.
std::vector<Method> parse_runs(const std::vector<std::string>& names);

// Prints "progress DONE TOTAL" lines, in steps.
std::vector<Run> run_all(const Data& data, const Setting& setting, const std::vector<Method>& methods,
                         const std::vector<int>& seeds, int threads);

}  // namespace images
