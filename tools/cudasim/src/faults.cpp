// SPDX-License-Identifier: Apache-2.0
// Fault injection and call counting: every entry point that can fail passes
// through enterCall(). See CUDASIM_FAIL and cudasimCallCount in README.md.
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>

#include "runtime.h"

namespace cs {
namespace {

struct Plan {
  std::string spec, name;
  long remaining = 0;
  int code = 0;
};
Plan g_plan;
std::map<std::string, unsigned long long> g_calls;

// "NAME:K" or "NAME:K:CODE"; a new value of the variable starts a new count.
void readPlan(const char* spec) {
  if (g_plan.spec == spec) return;
  g_plan = Plan();
  g_plan.spec = spec;
  std::string s = spec;
  size_t c1 = s.find(':');
  if (c1 == std::string::npos) return;
  size_t c2 = s.find(':', c1 + 1);
  g_plan.name = s.substr(0, c1);
  g_plan.remaining = atol(s.c_str() + c1 + 1);
  g_plan.code = c2 == std::string::npos ? 0 : atoi(s.c_str() + c2 + 1);
}

}  // namespace

cudaError_t enterCall(const char* function) {
  const char* name = strcmp(function, "doLaunch") == 0 ? "cudaLaunchKernel" : function;
  g_calls[name]++;
  g_calls["any"]++;
  const char* spec = getenv("CUDASIM_FAIL");
  if (!spec || !*spec) {
    g_plan.spec.clear();
    return cudaSuccess;
  }
  readPlan(spec);
  if (g_plan.remaining <= 0 || (g_plan.name != "any" && g_plan.name != name)) return cudaSuccess;
  if (--g_plan.remaining > 0) return cudaSuccess;
  if (g_plan.code) return (cudaError_t)g_plan.code;
  return strncmp(name, "cudaMalloc", 10) == 0 ? cudaErrorMemoryAllocation : cudaErrorUnknown;
}

}  // namespace cs

// Calls of NAME (or of "any") so far; all launch functions count as cudaLaunchKernel.
extern "C" __attribute__((visibility("default"))) unsigned long long cudasimCallCount(const char* name) {
  std::lock_guard<std::recursive_mutex> lock(cs::Runtime::get().mu);
  auto it = cs::g_calls.find(name ? name : "any");
  return it == cs::g_calls.end() ? 0 : it->second;
}
