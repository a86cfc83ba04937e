// SPDX-License-Identifier: Apache-2.0
// The lab of roofs: which plain loop is the fastest on this machine. Called by main.cpp for --roof.
#include <cmath>
#include <cstdio>

#include "sampler.h"
#include "subject.h"

namespace swd::bench {
namespace {

const char* name_of(RoofKind kind) {
  return kind == RoofKind::kRead ? "read" : kind == RoofKind::kMix ? "mix" : "memcpy";
}

// Those that the loop moves.
double bytes_per_element(RoofKind kind, const Case& c) {
  double moment = dtype_bytes(c.states.moment);
  if (kind == RoofKind::kRead) return norm_bytes(c);
  return kind == RoofKind::kMemcpy ? 2 * moment : std::floor(update_bytes(c));
}

}  // namespace

void print_roofs(Machine& machine, const Case& c, bool trial) {
  Subject subject(machine, c);  // for its arrays
  const double peak = machine.peak_bytes_per_second();
  std::printf("%s, %lld elements, states %s, peak %.1f GB/s\n", machine.name().c_str(),
              static_cast<long long>(c.elements), c.states.name, peak * 1e-9);
  Sampler sample{machine, false, 1};
  for (RoofKind kind : {RoofKind::kMemcpy, RoofKind::kRead, RoofKind::kMix}) {
    int best = -1;
    double most = 0.0;
    auto print = [&](const char* what, int variant, double rate) {
      std::printf("%-6s %-44s %8.1f GB/s", what, machine.variant_name(kind, variant).c_str(), rate * 1e-9);
      if (peak > 0.0) std::printf("  %5.1f %%", 100 * rate / peak);
      std::printf("\n");
    };
    for (int variant = 0; variant < machine.variants(kind); ++variant) {
      double seconds = seconds_of_variant(sample, kind, variant, subject.roof_arrays(), trial ? 1 : 25);
      if (seconds == 0.0) continue;
      double rate = bytes_per_element(kind, c) * static_cast<double>(c.elements) / seconds;
      print(name_of(kind), variant, rate);
      if (rate > most) most = rate, best = variant;
    }
    if (best >= 0) print("best", best, most);
  }
}

}  // namespace swd::bench
