// SPDX-License-Identifier: Apache-2.0
// Configuration from the environment, diagnostics, names. Used everywhere.
#include "common.h"

#include <cxxabi.h>
#include <unistd.h>

namespace cs {

static long envLong(const char* name, long dflt) {
  const char* v = getenv(name);
  return v && *v ? strtol(v, nullptr, 0) : dflt;
}
static std::string envStr(const char* name) {
  const char* v = getenv(name);
  return v ? v : "";
}

const Config& config() {
  static const Config* cfg = [] {
    auto* c = new Config;
    c->arch = (int)envLong("CUDASIM_ARCH", 90);
    c->devices = (int)envLong("CUDASIM_DEVICES", 1);
    c->sms = (int)envLong("CUDASIM_SMS", 132);
    long mb = envLong("CUDASIM_MEM_MB", 0);
    if (mb > 0) {
      c->memBytes = (uint64_t)mb << 20;
    } else {  // default: half of the host's physical memory
      c->memBytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) / 2;
    }
    c->poison = envLong("CUDASIM_POISON", 1) != 0;
    c->leakcheck = envLong("CUDASIM_LEAKCHECK", 0) != 0;
    c->initcheck = envLong("CUDASIM_INITCHECK", 0) != 0;
    c->prefetchcheck = envLong("CUDASIM_PREFETCHCHECK", 1) != 0;
    c->lateOverlap = envStr("CUDASIM_OVERLAP") == "late";
    c->strict = envStr("CUDASIM_RACECHECK") == "strict";
    c->racecheck = c->strict || envLong("CUDASIM_RACECHECK", 0) != 0;
    c->randomStreams = envStr("CUDASIM_ORDER") == "random";
    std::string bo = envStr("CUDASIM_BLOCK_ORDER");
    c->blockOrder = bo == "reverse" ? 1 : bo == "random" ? 2 : 0;
    c->seed = (uint64_t)envLong("CUDASIM_SEED", 1);
    c->statsPath = envStr("CUDASIM_STATS");
    c->resident = (int)envLong("CUDASIM_RESIDENT", 8);
    if (c->resident < 1) c->resident = 1;
    c->ends = (uint64_t)envLong("CUDASIM_ENDS", 0);
    c->timeoutSec = (double)envLong("CUDASIM_TIMEOUT", 0);
    return c;
  }();
  return *cfg;
}

std::string strf(const char* fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  va_list ap2;
  va_copy(ap2, ap);
  int n = vsnprintf(nullptr, 0, fmt, ap);
  va_end(ap);
  std::string s((size_t)(n > 0 ? n : 0), '\0');
  if (n > 0) vsnprintf(&s[0], (size_t)n + 1, fmt, ap2);
  va_end(ap2);
  return s;
}

void report(const std::string& msg) {
  std::string out = "cudasim: ";
  for (size_t i = 0; i < msg.size(); i++) {
    out += msg[i];
    if (msg[i] == '\n' && i + 1 < msg.size()) out += "cudasim:   ";
  }
  if (out.empty() || out.back() != '\n') out += '\n';
  fflush(stdout);
  fwrite(out.data(), 1, out.size(), stderr);
  fflush(stderr);
}

std::string demangle(const std::string& name) {
  int st = 0;
  char* d = abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &st);
  std::string r = d && st == 0 ? d : name;
  free(d);
  return r;
}

}  // namespace cs
