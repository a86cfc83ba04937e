// SPDX-License-Identifier: Apache-2.0
// bench_step: measures libswd on one backend against the streaming roof of the machine.
//
//   bench_step [--backend=cpu|cuda] [--quick] [--benchmark_...]       the latter are Google Benchmark's own flags
#include <cstdio>
#include <cstring>
#include <fstream>

#include "measure.h"
#include "roof_cpu.h"

using namespace swd::bench;

namespace {

struct Options {
  swd_backend backend = SWD_BACKEND_CPU;
  bool quick = false;
};

// Takes our own flags out of argv.
Options parse(int& argc, char** argv) {
  Options options;
  int kept = 1;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--quick") == 0) {
      options.quick = true;
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

void describe(const Options& options, Machine& machine) {
  benchmark::AddCustomContext("machine", machine.name());
  benchmark::AddCustomContext("backend", options.backend == SWD_BACKEND_CPU ? "cpu" : "cuda");
  benchmark::AddCustomContext("cores", std::to_string(core_count()));
  benchmark::AddCustomContext("huge_pages", first_line("/sys/kernel/mm/transparent_hugepage/enabled"));
  benchmark::AddCustomContext("libswd", swd_version_string());
}

}  // namespace

int main(int argc, char** argv) {
  Options options = parse(argc, argv);
  Machine* machine = machine_of(options.backend);
  if (!machine) {
    std::fprintf(stderr, "bench_step: no CUDA device can be used here, or this build has no CUDA\n");
    return 2;
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  describe(options, *machine);
  for (const Case& c : options.quick ? quick_cases(options.backend) : all_cases(options.backend)) {
    auto run = [machine, c](benchmark::State& state) { measure(state, *machine, c); };
    benchmark::RegisterBenchmark(name_of(c).c_str(), run)
        ->UseManualTime()
        ->Unit(benchmark::kMicrosecond)
        ->Iterations(samples_of(c, options.quick));
  }
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
