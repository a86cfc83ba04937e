// SPDX-License-Identifier: Apache-2.0
// Runs two steps of one configuration under the simulator of the CUDA runtime, which writes its counters at exit
// (CUDASIM_STATS), and prints what the steps called. Called by counters.py, which holds the limits.
#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <stdexcept>
#include <string>

#include "support/runner.h"

namespace swd::test {
namespace {

constexpr int kSteps = 2;

// name=value arguments.
class Options {
 public:
  Options(int argc, char** argv) {
    for (int i = 1; i < argc; ++i) {
      std::string text = argv[i];
      size_t equals = text.find('=');
      if (equals == std::string::npos) throw std::runtime_error("expected name=value, not " + text);
      values_[text.substr(0, equals)] = text.substr(equals + 1);
    }
  }
  int64_t number(const std::string& name, int64_t otherwise) const {
    auto at = values_.find(name);
    return at == values_.end() ? otherwise : std::stoll(at->second);
  }
  swd_dtype dtype(const std::string& name, swd_dtype otherwise) const {
    static const std::map<std::string, swd_dtype> names = {
        {"none", SWD_DTYPE_NONE}, {"f32", SWD_DTYPE_F32}, {"bf16", SWD_DTYPE_BF16},    {"f16", SWD_DTYPE_F16},
        {"i16", SWD_DTYPE_I16},   {"i8", SWD_DTYPE_I8},   {"block8", SWD_DTYPE_BLOCK8}};
    auto at = values_.find(name);
    return at == values_.end() ? otherwise : names.at(at->second);
  }

 private:
  std::map<std::string, std::string> values_;
};

// Calls of a runtime function so far. The simulator offers this; a real runtime does not.
unsigned long long calls_of(const char* function) {
  static auto count = reinterpret_cast<unsigned long long (*)(const char*)>(dlsym(RTLD_DEFAULT, "cudasimCallCount"));
  if (!count) throw std::runtime_error("this is no simulated runtime: set LD_LIBRARY_PATH to the simulator");
  return count(function);
}

// `segments` of equal size, or of uneven sizes around the same mean, so that heads and tails fall anywhere.
std::vector<int64_t> counts_of(int64_t elements, int64_t segments, bool uneven) {
  std::vector<int64_t> counts(static_cast<size_t>(segments), elements / segments);
  Dice dice(3);
  for (size_t k = 0; uneven && k + 1 < counts.size(); k += 2) {
    int64_t moved = dice.below(counts[k]);
    counts[k] -= moved;
    counts[k + 1] += moved;
  }
  return counts;
}

std::vector<float> squares(std::vector<float> x) {
  for (float& each : x) each *= each;
  return x;
}

void step(Runner& r, bool pieces) {
  swd_step_args& args = r.args();
  if (!pieces) return r.ok(swd_step(r.plan(), &r.buffers, &args, r.stream()));
  int64_t segments = static_cast<int64_t>(r.setup().counts.size());
  r.ok(swd_reduce(r.plan(), &r.buffers, &args, SWD_PHASE_GRAD, 0, segments, r.stream()));
  r.ok(swd_fold(r.plan(), &r.buffers, &args, SWD_PHASE_GRAD, nullptr, 0, r.stream()));
  r.ok(swd_decide(r.plan(), &r.buffers, &args, SWD_PHASE_GRAD, nullptr, 0, r.stream()));
  r.ok(swd_update(r.plan(), &r.buffers, &args, r.stream()));
}

void run(const Options& options) {
  RunSetup setup;
  setup.backend = SWD_BACKEND_CUDA;
  setup.grad = options.dtype("grad", SWD_DTYPE_F32);
  setup.copy = options.dtype("copy", SWD_DTYPE_NONE);
  setup.param = options.dtype("param", SWD_DTYPE_F32);
  setup.remainder = options.dtype("remainder", SWD_DTYPE_NONE);
  setup.moment = options.dtype("moment", SWD_DTYPE_F32);
  setup.flags = static_cast<uint32_t>(options.number("flags", 0));
  setup.counts =
      counts_of(options.number("elements", 4096), options.number("segments", 1), options.number("uneven", 0) != 0);
  setup.shift = static_cast<uint64_t>(options.number("shift", 0));
  setup.gap = static_cast<uint32_t>(options.number("gap", 0));
  setup.groups[0].weight_decay = 1e-2;
  Runner runner(setup);
  runner.args().max_grad_norm = 1.0;
  int64_t elements = 0;
  for (size_t k = 0; k < setup.counts.size(); ++k) {
    runner.set(SWD_BUFFER_PARAM, k, uniform(1, k, setup.counts[k]));
    runner.set(SWD_BUFFER_GRAD, k, uniform(2, k, setup.counts[k]));
    if (options.number("untouched", 0) == 0) {
      runner.set(SWD_BUFFER_EXP_AVG, k, uniform(3, k, setup.counts[k]));
      runner.set(SWD_BUFFER_EXP_AVG_SQ, k, squares(uniform(4, k, setup.counts[k])));
    }
    elements += setup.counts[k];
  }
  const char* names[] = {"any", "cudaLaunchKernel", "cudaGetDevice", "cudaDeviceGetAttribute", "cudaFuncGetAttributes"};
  std::map<std::string, unsigned long long> before, after;
  for (const char* name : names) before[name] = calls_of(name);
  bool pieces = options.number("pieces", 0) != 0;
  for (int t = 0; t < kSteps; ++t) step(runner, pieces);
  for (const char* name : names) after[name] = calls_of(name);
  if (runner.stats().result != SWD_RESULT_APPLIED) throw std::runtime_error("the step was not applied");
  printf("{\"steps\": %d, \"elements\": %lld", kSteps, static_cast<long long>(elements));
  for (const char* name : names) printf(", \"%s\": %llu", name, after[name] - before[name]);
  printf("}\n");
}

}  // namespace
}  // namespace swd::test

int main(int argc, char** argv) {
  try {
    swd::test::run(swd::test::Options(argc, argv));
  } catch (const std::exception& error) {
    fprintf(stderr, "cuda_counters: %s\n", error.what());
    return 1;
  }
  return ::testing::Test::HasFailure() ? 1 : 0;
}
