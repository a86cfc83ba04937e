// SPDX-License-Identifier: Apache-2.0
// Shared helpers: configuration from the environment, diagnostics, errors.
#pragma once
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace cs {

// Everything that can be tuned by environment variables (see README.md).
struct Config {
  int arch = 90;              // CUDASIM_ARCH: simulated compute capability * 10
  int devices = 1;            // CUDASIM_DEVICES
  int sms = 132;              // CUDASIM_SMS
  uint64_t memBytes = 0;      // CUDASIM_MEM_MB: limit for live device memory
  bool poison = true;         // CUDASIM_POISON: fill fresh allocations with 0xFF
  bool leakcheck = false;     // CUDASIM_LEAKCHECK
  bool initcheck = false;     // CUDASIM_INITCHECK
  bool prefetchcheck = true;  // CUDASIM_PREFETCHCHECK
  bool lateOverlap = false;   // CUDASIM_OVERLAP=early|late
  bool racecheck = false;     // CUDASIM_RACECHECK, also with 'strict'
  bool strict = false;        // CUDASIM_RACECHECK=strict
  int randomStreams = 0;      // CUDASIM_ORDER=fifo|random
  int blockOrder = 0;         // CUDASIM_BLOCK_ORDER=fifo|reverse|random (0,1,2)
  uint64_t seed = 1;          // CUDASIM_SEED
  std::string statsPath;      // CUDASIM_STATS
  int resident = 8;           // CUDASIM_RESIDENT: blocks interleaved per launch
  uint64_t ends = 0;          // CUDASIM_ENDS: of a large grid, only the first and last so many blocks run
  double timeoutSec = 0;      // CUDASIM_TIMEOUT: seconds of one launch before "launch timed out"
};
const Config& config();

// printf-style std::string
std::string strf(const char* fmt, ...) __attribute__((format(printf, 1, 2)));
// Diagnostic line(s) on stderr, each prefixed with "cudasim: ".
void report(const std::string& msg);
std::string demangle(const std::string& name);

// Thrown by the interpreter (and PTX front end) when a launch must fail.
struct SimError {
  int code;  // cudaError_t
  std::string msg;
};

// Small deterministic generator (splitmix64) for the random orders.
struct Rng {
  uint64_t s;
  explicit Rng(uint64_t seed = 1) : s(seed) {}
  uint64_t next() {
    uint64_t z = (s += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
  }
  uint32_t below(uint32_t n) { return n ? (uint32_t)(next() % n) : 0; }
};

inline uint64_t alignUp(uint64_t v, uint64_t a) { return a ? (v + a - 1) / a * a : v; }

}  // namespace cs
