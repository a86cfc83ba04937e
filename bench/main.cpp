// SPDX-License-Identifier: Apache-2.0
// bench_step: measures libswd on one backend against the streaming roof of the machine.
//
//   bench_step [--backend=cpu|cuda] [--quick] [--benchmark_...]       the latter are Google Benchmark's own flags
//   bench_step [--backend=cpu|cuda] --roof=POWER [--states=NAME] [--grad=f32|bf16|f16]
//                                                                     every variant of the roof at 2^POWER elements
//
// --trial   everything once: shows that it runs, under a simulated device
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fstream>

#include "measure.h"
#include "roof_cpu.h"

using namespace swd::bench;

namespace {

struct Options {
  swd_backend backend = SWD_BACKEND_CPU;
  bool quick = false;
  bool trial = false;
  int roof_power = 0;                         // 0: benchmarks
  std::string states = "fp32", grad = "f32";  // of the roof
};

// Takes our own flags out of argv.
Options parse(int& argc, char** argv) {
  Options options;
  int kept = 1;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--quick") == 0) {
      options.quick = true;
    } else if (std::strcmp(argv[i], "--trial") == 0) {
      options.trial = true;
    } else if (std::strncmp(argv[i], "--roof=", 7) == 0) {
      options.roof_power = std::atoi(argv[i] + 7);
    } else if (std::strncmp(argv[i], "--states=", 9) == 0) {
      options.states = argv[i] + 9;
    } else if (std::strncmp(argv[i], "--grad=", 7) == 0) {
      options.grad = argv[i] + 7;
    } else if (std::strcmp(argv[i], "--backend=cpu") == 0) {
      options.backend = SWD_BACKEND_CPU;
    } else if (std::strcmp(argv[i], "--backend=cuda") == 0) {
      options.backend = SWD_BACKEND_CUDA;
    } else {
      argv[kept++] = argv[i];
    }
  }
  argc = kept;
  return options;
}

Machine* machine_of(swd_backend backend) {
  if (backend == SWD_BACKEND_CPU) return &cpu_machine();
#ifdef SWD_BENCH_WITH_CUDA
  return cuda_machine();
#else
  return nullptr;
#endif
}

std::string first_line(const char* file) {
  std::string line;
  std::ifstream in(file);
  std::getline(in, line);
  return line;
}

std::string gigabytes(double bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", bytes * 1e-9);
  return text;
}

void describe(const Options& options, Machine& machine) {
  benchmark::AddCustomContext("machine", machine.name());
  benchmark::AddCustomContext("backend", options.backend == SWD_BACKEND_CPU ? "cpu" : "cuda");
  benchmark::AddCustomContext("cores", std::to_string(core_count()));
  benchmark::AddCustomContext("huge_pages", first_line("/sys/kernel/mm/transparent_hugepage/enabled"));
  benchmark::AddCustomContext("libswd", swd_version_string());
  double peak = machine.peak_bytes_per_second();
  if (peak > 0.0) benchmark::AddCustomContext("peak_GB_per_s", gigabytes(peak));
}

int roofs(const Options& options, Machine& machine) {
  if (options.roof_power < 2 || options.roof_power > 32) {
    std::fprintf(stderr, "bench_step: --roof takes a power of two from 2 to 32\n");
    return 2;
  }
  try {
    Case c;
    c.backend = options.backend;
    c.elements = int64_t{1} << options.roof_power;
    c.states = storage_named(options.states);
    c.grad = grad_named(options.grad);
    print_roofs(machine, c, options.trial);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_step: %s\n", error.what());
    return 1;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options options = parse(argc, argv);
  Machine* machine = machine_of(options.backend);
  if (!machine) {
    std::fprintf(stderr, "bench_step: no CUDA device can be used here, or this build has no CUDA\n");
    return 2;
  }
  if (options.roof_power != 0) return roofs(options, *machine);
  if (options.states != "fp32" || options.grad != "f32") {
    std::fprintf(stderr, "bench_step: --states and --grad belong to --roof; benchmarks take --benchmark_filter\n");
    return 2;
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  describe(options, *machine);
  for (const Case& c : options.quick ? quick_cases(options.backend) : all_cases(options.backend)) {
    Effort effort = options.trial ? kTrial : effort_of(c, options.quick);
    auto run = [machine, c, effort](benchmark::State& state) { measure(state, *machine, c, effort); };
    benchmark::RegisterBenchmark(name_of(c).c_str(), run)
        ->UseManualTime()
        ->Unit(benchmark::kMicrosecond)
        ->Iterations(effort.samples);
  }
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
