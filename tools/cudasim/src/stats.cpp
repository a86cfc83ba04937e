// SPDX-License-Identifier: Apache-2.0
// Performance counters: memory coalescing, instruction classes, JSON output.
#include <algorithm>
#include <cmath>
#include <map>

#include "exec.h"

namespace cs {

const char* clsName(int c) {
  static const char* n[] = {"integer", "f32",       "f64",     "half", "conversion",
                            "special", "loadstore", "control", "sync", "move"};
  return c >= 0 && c < C_COUNT ? n[c] : "?";
}

bool statsEnabled() {
  static bool e = !config().statsPath.empty();
  return e;
}

static void markSectors(Ctx& c, uint64_t addr, uint32_t bytes, bool write) {
  Alloc* a = c.alloc;
  if (!a || addr < a->start || addr >= a->start + a->size) a = Memory::get().page(addr);
  if (!a) return;
  if (a->statGrid != c.g->gridId) {  // launches may overlap: each has its own sets
    a->statGrid = c.g->gridId;
    a->stat = &c.g->touched[a];
  }
  auto& v = write ? a->stat->write : a->stat->read;
  uint64_t base = a->start & ~31ull;
  uint64_t s0 = (addr - base) >> 5, s1 = (addr + bytes - 1 - base) >> 5;
  if (s1 / 64 >= v.size()) v.resize(std::max(s1, (a->start + a->size - base + 31) >> 5) / 64 + 1, 0);
  for (uint64_t s = s0; s <= s1; s++) v[s / 64] |= 1ull << (s & 63);
}

void statGlobal(Ctx& c, uint32_t m, const uint64_t* addr, uint32_t bytes, bool write, bool atomic) {
  LaunchStats& st = c.g->st;
  uint32_t n = (uint32_t)__builtin_popcount(m);
  // distinct sectors and lines of the request
  uint64_t sec[96];
  int k = 0;
  for (uint32_t q = m; q; q &= q - 1) {
    uint64_t a = addr[firstLane(q)];
    for (uint64_t s = a >> 5; s <= (a + bytes - 1) >> 5; s++)
      if (!k || sec[k - 1] != s) sec[k++] = s;
  }
  if (!std::is_sorted(sec, sec + k)) std::sort(sec, sec + k);
  int distinct = 0, lines = 0;
  for (int i = 0; i < k; i++) {
    if (i == 0 || sec[i] != sec[i - 1]) distinct++;
    if (i == 0 || (sec[i] >> 2) != (sec[i - 1] >> 2)) lines++;
  }
  if (atomic) {
    st.gAtomicReq++;
    st.gAtomics += n;
  } else if (write) {
    st.gStoreReq++;
    st.gStoreBytes += (uint64_t)n * bytes;
    st.gStoreSectors += (uint64_t)distinct;
    st.gStoreLines += (uint64_t)lines;
  } else {
    st.gLoadReq++;
    st.gLoadBytes += (uint64_t)n * bytes;
    st.gLoadSectors += (uint64_t)distinct;
    st.gLoadLines += (uint64_t)lines;
  }
  for (uint32_t q = m; q; q &= q - 1) {
    uint64_t a = addr[firstLane(q)];
    if (!write || atomic) markSectors(c, a, bytes, false);
    if (write) markSectors(c, a, bytes, true);
  }
}

// Bank conflicts: extra passes needed because several distinct 4-byte words of
// one bank are requested. Wide accesses are processed per half/quarter warp.
void statShared(Ctx& c, uint32_t m, const uint64_t* addr, uint32_t bytes, bool write) {
  LaunchStats& st = c.g->st;
  if (write)
    st.sStoreReq++;
  else
    st.sLoadReq++;
  st.sBytes += (uint64_t)__builtin_popcount(m) * bytes;
  int group = bytes >= 16 ? 8 : bytes == 8 ? 16 : 32;
  for (int g0 = 0; g0 < 32; g0 += group) {
    uint64_t words[64];
    int n = 0;
    for (int i = g0; i < g0 + group; i++) {
      if (!((m >> i) & 1)) continue;
      for (uint64_t w = addr[i] >> 2; w <= (addr[i] + bytes - 1) >> 2 && n < 64; w++) words[n++] = w;
    }
    if (n <= 1) continue;
    std::sort(words, words + n);
    int u = (int)(std::unique(words, words + n) - words);
    int bank[32] = {0}, worst = 0;
    for (int i = 0; i < u; i++) worst = std::max(worst, ++bank[words[i] & 31]);
    if (worst > 1) st.sConflicts += (uint64_t)(worst - 1);
  }
}

namespace {

struct Agg {
  uint64_t launches = 0, blocks = 0, threads = 0;
  std::map<std::string, uint64_t> shapes;
  LaunchStats st;
  uint64_t cls[C_COUNT] = {0};
  uint64_t threadInstr = 0, warpInstr = 0;
  int regs = 0;
  uint32_t staticShared = 0, localBytes = 0;
  std::shared_ptr<Kernel> k;
  std::vector<uint64_t> opThreads;
};
std::map<std::string, Agg>& table() {
  static auto* t = new std::map<std::string, Agg>;
  return *t;
}

std::string esc(const std::string& s) {
  std::string o;
  for (char c : s) {
    if (c == '"' || c == '\\') o += '\\';
    if ((unsigned char)c < 32)
      o += ' ';
    else
      o += c;
  }
  return o;
}

}  // namespace

void statsRecord(GridRun& g) {
  if (!statsEnabled()) return;
  for (auto& kv : g.touched) {
    for (uint64_t x : kv.second.read) g.st.uniqueRead += (uint64_t)__builtin_popcountll(x);
    for (uint64_t x : kv.second.write) g.st.uniqueWritten += (uint64_t)__builtin_popcountll(x);
  }
  g.touched.clear();
  Agg& a = table()[g.k->name];
  a.k = g.lp.kernel;
  a.launches++;
  a.blocks += g.totalBlocks;
  a.threads += g.totalBlocks * g.lp.block[0] * g.lp.block[1] * g.lp.block[2];
  a.shapes[strf("%ux%ux%u / %ux%ux%u / %u", g.lp.grid[0], g.lp.grid[1], g.lp.grid[2], g.lp.block[0], g.lp.block[1],
                g.lp.block[2], g.lp.dynShared)]++;
  a.regs = g.k->numRegs;
  a.staticShared = g.k->staticShared;
  a.localBytes = g.k->localBytes;
  a.opThreads.resize(g.k->code.size(), 0);
  for (size_t i = 0; i < g.k->code.size(); i++) {
    a.cls[g.k->code[i].cls] += g.st.opThreads[i];
    a.threadInstr += g.st.opThreads[i];
    a.warpInstr += g.st.opWarps[i];
    a.opThreads[i] += g.st.opThreads[i];
  }
#define ACC(f) a.st.f += g.st.f
  ACC(gLoadReq);
  ACC(gLoadBytes);
  ACC(gLoadSectors);
  ACC(gLoadLines);
  ACC(gStoreReq);
  ACC(gStoreBytes);
  ACC(gStoreSectors);
  ACC(gStoreLines);
  ACC(gAtomicReq);
  ACC(gAtomics);
  ACC(sLoadReq);
  ACC(sStoreReq);
  ACC(sConflicts);
  ACC(sBytes);
  ACC(localReq);
  ACC(localBytes);
  ACC(uniqueRead);
  ACC(uniqueWritten);
#undef ACC
}

void statsWrite() {
  if (!statsEnabled()) return;
  FILE* f = fopen(config().statsPath.c_str(), "w");
  if (!f) {
    report("cannot write " + config().statsPath);
    return;
  }
  typedef unsigned long long ull;
  fprintf(f, "{\n  \"arch\": %d,\n  \"note\": \"instruction counts are PTX instructions, not SASS\",\n  \"kernels\": [",
          config().arch);
  bool first = true;
  for (auto& kv : table()) {
    Agg& a = kv.second;
    LaunchStats& s = a.st;
    fprintf(f, "%s\n    {\n      \"name\": \"%s\",\n      \"mangled\": \"%s\",\n", first ? "" : ",",
            esc(demangle(kv.first)).c_str(), esc(kv.first).c_str());
    first = false;
    fprintf(f, "      \"launches\": %llu, \"blocks\": %llu, \"threads\": %llu,\n", (ull)a.launches, (ull)a.blocks,
            (ull)a.threads);
    fprintf(f, "      \"shapes\": {");
    bool f2 = true;
    for (auto& sh : a.shapes) {
      fprintf(f, "%s\"%s\": %llu", f2 ? "" : ", ", sh.first.c_str(), (ull)sh.second);
      f2 = false;
    }
    fprintf(f, "},\n      \"registers_estimate\": %d, \"static_shared\": %u, \"local_bytes_per_thread\": %u,\n", a.regs,
            a.staticShared, a.localBytes);
    fprintf(f, "      \"thread_instructions\": %llu, \"warp_instructions\": %llu,\n      \"by_class\": {",
            (ull)a.threadInstr, (ull)a.warpInstr);
    for (int i = 0; i < C_COUNT; i++) fprintf(f, "%s\"%s\": %llu", i ? ", " : "", clsName(i), (ull)a.cls[i]);
    fprintf(f,
            "},\n      \"global_load\": {\"requests\": %llu, \"bytes\": %llu, \"sectors\": %llu, \"lines\": %llu},\n",
            (ull)s.gLoadReq, (ull)s.gLoadBytes, (ull)s.gLoadSectors, (ull)s.gLoadLines);
    fprintf(f, "      \"global_store\": {\"requests\": %llu, \"bytes\": %llu, \"sectors\": %llu, \"lines\": %llu},\n",
            (ull)s.gStoreReq, (ull)s.gStoreBytes, (ull)s.gStoreSectors, (ull)s.gStoreLines);
    fprintf(f, "      \"global_atomic\": {\"requests\": %llu, \"operations\": %llu},\n", (ull)s.gAtomicReq,
            (ull)s.gAtomics);
    fprintf(f, "      \"unique_bytes\": {\"read\": %llu, \"written\": %llu},\n", (ull)s.uniqueRead * 32,
            (ull)s.uniqueWritten * 32);
    fprintf(f,
            "      \"shared\": {\"load_requests\": %llu, \"store_requests\": %llu, \"bytes\": %llu, "
            "\"bank_conflicts\": %llu},\n",
            (ull)s.sLoadReq, (ull)s.sStoreReq, (ull)s.sBytes, (ull)s.sConflicts);
    fprintf(f, "      \"local\": {\"requests\": %llu, \"bytes\": %llu},\n", (ull)s.localReq, (ull)s.localBytes);
    // hottest instructions
    std::vector<size_t> idx(a.opThreads.size());
    for (size_t i = 0; i < idx.size(); i++) idx[i] = i;
    size_t top = std::min<size_t>(8, idx.size());
    std::partial_sort(idx.begin(), idx.begin() + (long)top, idx.end(),
                      [&](size_t x, size_t y) { return a.opThreads[x] > a.opThreads[y]; });
    fprintf(f, "      \"hot\": [");
    for (size_t i = 0; i < top; i++)
      fprintf(f, "%s{\"threads\": %llu, \"where\": \"%s\"}", i ? ", " : "", (ull)a.opThreads[idx[i]],
              esc(a.k->where((int)idx[i])).c_str());
    fprintf(f, "]\n    }");
  }
  fprintf(f, "\n  ]\n}\n");
  fclose(f);
}

}  // namespace cs
