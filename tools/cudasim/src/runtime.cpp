// SPDX-License-Identifier: Apache-2.0
// Core of the simulated runtime: module loading, deferred stream execution,
// kernel launches.
#include "runtime.h"

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "fatbin.h"

namespace cs {

double wallSeconds() {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

Runtime& Runtime::get() {
  static Runtime* r = [] {
    auto* x = new Runtime;
    x->legacy.legacy = true;
    x->legacy.id = 1;
    x->perThread.id = 2;
    x->nextId = 3;
    x->rng = Rng(config().seed);
    x->limits[cudaLimitStackSize] = 1024;
    x->limits[cudaLimitPrintfFifoSize] = 1 << 20;
    x->limits[cudaLimitMallocHeapSize] = 8 << 20;
    x->limits[cudaLimitDevRuntimeSyncDepth] = 2;
    x->limits[cudaLimitDevRuntimePendingLaunchCount] = 2048;
    x->limits[cudaLimitMaxL2FetchGranularity] = 64;
    x->limits[cudaLimitPersistingL2CacheSize] = 0;
    atexit([] {
      Runtime& rt = Runtime::get();
      if (!rt.pending.empty() && rt.sticky == cudaSuccess)
        report(strf("%zu operation(s) were still queued at exit and did not run (missing synchronization?)",
                    rt.pending.size()));
      statsWrite();
      if (config().leakcheck) Memory::get().leakReport();
    });
    return x;
  }();
  return *r;
}

// ---------------------------------------------------------------- errors

static thread_local cudaError_t t_last = cudaSuccess;
static thread_local int t_device = 0;
int& currentDevice() { return t_device; }

cudaError_t setLast(cudaError_t e) {
  if (e != cudaSuccess && e != cudaErrorNotReady) t_last = e;
  return e;
}
cudaError_t takeLast(bool reset) {
  Runtime& rt = Runtime::get();
  if (rt.sticky != cudaSuccess) return rt.sticky;
  cudaError_t e = t_last;
  if (reset) t_last = cudaSuccess;
  return e;
}
void Runtime::fail(int code, const std::string& msg) {
  report(msg);
  if (sticky == cudaSuccess) {
    sticky = (cudaError_t)code;
    stickyMsg = msg;
  }
}

// ---------------------------------------------------------------- modules

Module* FatBin::get() {
  if (loaded) return module.get();
  loaded = true;
  std::vector<const void*> blobs = linked;
  if (blobs.empty()) blobs.push_back(data);
  auto m = std::make_unique<Module>();
  int lowest = 0;
  for (const void* b : blobs) {
    bool so = false;
    auto images = extractPtx(b, &so);
    int i = pickPtx(images, config().arch);
    if (i < 0) {
      sassOnly |= so;
      for (auto& im : images) lowest = std::max(lowest, im.arch);
      continue;
    }
    try {
      m->addUnit(std::move(images[(size_t)i].text), "fatbin");
    } catch (SimError& e) {
      loadError = e.msg;
      report("cannot parse the embedded PTX: " + e.msg);
      return nullptr;
    }
  }
  if (m->units.empty()) {
    if (sassOnly)
      loadError =
          "the fat binary holds machine code only; embed PTX (for example -gencode arch=compute_90,code=compute_90)";
    else if (lowest)
      loadError =
          strf("the embedded PTX needs compute_%d or newer, simulated is sm_%d (CUDASIM_ARCH)", lowest, config().arch);
    else
      loadError = "the fat binary holds no PTX";
    return nullptr;
  }
  try {
    m->link();
  } catch (SimError& e) {
    loadError = e.msg;
    return nullptr;
  }
  module = std::move(m);
  return module.get();
}

cudaError_t FuncReg::load(std::shared_ptr<Kernel>& k) {
  if (!kernel) {
    Module* m = fb->get();
    if (!m) {
      static std::set<std::string> said;
      if (said.insert(fb->loadError).second) report("kernel " + demangle(name) + ": " + fb->loadError);
      return cudaErrorNoKernelImageForDevice;
    }
    kernel = m->kernel(name);
    if (!kernel) {
      report("kernel " + demangle(name) + " is not in the embedded PTX");
      return cudaErrorInvalidDeviceFunction;
    }
    if (!kernel->error.empty()) report(kernel->error);
  }
  k = kernel;
  return kernel->error.empty() ? cudaSuccess : cudaErrorInvalidPtx;
}

FuncReg* findFunc(const void* p) {
  Runtime& rt = Runtime::get();
  auto it = rt.funcs.find(p);
  if (it != rt.funcs.end()) return it->second;
  if (rt.funcSet.count((FuncReg*)p)) return (FuncReg*)p;
  return nullptr;
}
VarReg* findVar(const void* p) {
  Runtime& rt = Runtime::get();
  auto it = rt.vars.find(p);
  return it == rt.vars.end() ? nullptr : it->second;
}
cudaError_t varAddress(const void* sym, Alloc*& a) {
  VarReg* v = findVar(sym);
  if (!v) return cudaErrorInvalidSymbol;
  Module* m = v->fb->get();
  if (!m) {
    report("variable " + v->name + ": " + v->fb->loadError);
    return cudaErrorNoKernelImageForDevice;
  }
  a = m->symbol(nullptr, v->name);
  if (!a) return cudaErrorInvalidSymbol;
  return cudaSuccess;
}

// ---------------------------------------------------------------- streams

Stream* Runtime::stream(cudaStream_t s, bool ptds) {
  if (s == nullptr) return ptds ? &perThread : &legacy;
  if (s == cudaStreamLegacy) return &legacy;
  if (s == cudaStreamPerThread) return &perThread;
  Stream* p = (Stream*)s;
  return streams.count(p) ? p : nullptr;
}

OpPtr Runtime::enqueue(std::vector<OpPtr> deps, Work w, OpPtr primary) {
  auto op = std::make_shared<OpNode>();
  op->seq = nextSeq++;
  op->work = std::move(w);
  for (auto& d : deps)
    if (d && !d->done) op->deps.push_back(d);
  if (primary && !primary->done) op->primary = primary;
  pending[op->seq] = op;
  return op;
}

cudaError_t Runtime::submit(Stream* s, Work w, bool pdl, OpPtr* out) {
  if (s->capture) {
    if (s->capture->invalid) return cudaErrorStreamCaptureInvalidated;
    return addCaptureNode(s, std::move(w), pdl);
  }
  if (s->legacy && activeCaptures) {
    // The legacy stream synchronizes with blocking streams that are capturing.
    for (Stream* o : streams)
      if (o->capture && !(o->flags & cudaStreamNonBlocking)) {
        o->capture->invalid = true;
        return cudaErrorStreamCaptureImplicit;
      }
  }
  std::vector<OpPtr> deps;
  OpPtr primary;
  if (s->last) deps.push_back(s->last);
  if (pdl && s->last && s->last->work.kind == Work::Kernel) primary = s->last;
  if (s->legacy) {
    for (Stream* o : streams)
      if (!(o->flags & cudaStreamNonBlocking) && o->last) deps.push_back(o->last);
    if (perThread.last) deps.push_back(perThread.last);
  } else if (!(s->flags & cudaStreamNonBlocking) && legacy.last) {
    deps.push_back(legacy.last);
  }
  OpPtr op = enqueue(std::move(deps), std::move(w), primary);
  s->last = op;
  if (out) *out = op;
  // like a real launch queue, the host blocks when too much work is pending
  while (pending.size() > 4096) {
    OpPtr first = pending.begin()->second;
    runUntil(first);
  }
  return cudaSuccess;
}

static bool ready(const OpPtr& op) {
  for (auto& d : op->deps)
    if (!d->done) return false;
  return true;
}

void Runtime::complete(const OpPtr& op) {
  op->done = true;
  op->doneTime = wallSeconds();
  op->deps.clear();
  op->work.fn = nullptr;
  op->work.launch.reset();
  pending.erase(op->seq);
}

void Runtime::execute(const OpPtr& op) {
  if (op->done) return;
  if (sticky != cudaSuccess) {
    complete(op);
    return;
  }
  if (op->work.kind == Work::Kernel) {
    runKernels(op);
    return;
  }
  try {
    if (op->work.fn) op->work.fn();
  } catch (SimError& e) {
    fail(e.code, e.msg);
  }
  complete(op);
}

// A dependent that ends before its primary has not executed griddepcontrol.wait (racecheck).
static void reportNoWait(GridRun& second, GridRun& first) {
  static std::set<std::string> seen;
  if (!seen.insert(second.k->name + "\n" + first.k->name).second) return;
  report(
      strf("warning: kernel %s (grid %u,%u,%u block %u,%u,%u) finished while kernel %s, its programmatic dependency, "
           "still runs\n"
           "no thread of it executed griddepcontrol.wait (cudaGridDependencySynchronize), so a kernel after it may "
           "start before %s has finished",
           second.k->pretty.c_str(), second.lp.grid[0], second.lp.grid[1], second.lp.grid[2], second.lp.block[0],
           second.lp.block[1], second.lp.block[2], first.k->pretty.c_str(), first.k->pretty.c_str()));
}

// A kernel that is launched as a dependent and never waits (racecheck): with an implicit trigger, at the end of the
// primary's blocks, it may start before their writes are visible; and what follows it may start before the primary
// ends.
static void reportNeverWaits(GridRun& run) {
  static std::set<std::string> seen;
  if (!run.lp.pdl || run.waited || !seen.insert(run.k->name).second) return;
  report(strf(
      "warning: kernel %s (grid %u,%u,%u block %u,%u,%u) was launched with programmatic stream serialization, and no "
      "thread of it executed griddepcontrol.wait (cudaGridDependencySynchronize) in the version that ran, PTX for "
      "sm_%d",
      run.k->pretty.c_str(), run.lp.grid[0], run.lp.grid[1], run.lp.grid[2], run.lp.block[0], run.lp.block[1],
      run.lp.block[2], run.k->module ? run.k->module->target : 0));
}

// Runs a kernel together with the programmatic dependents that may start
// before it has finished.
void Runtime::runKernels(const OpPtr& first) {
  struct Active {
    OpPtr op;
    std::unique_ptr<GridRun> run;
  };
  std::vector<Active> act;
  act.push_back({first, std::make_unique<GridRun>(*first->work.launch)});
  first->started = true;
  // Late overlap: each primary ends before its dependent starts.
  auto dependents = [&](const OpPtr& op) {
    if (config().lateOverlap) return false;
    for (auto& kv : pending)
      if (!kv.second->started && kv.second->primary.lock() == op) return true;
    return false;
  };
  act.back().run->pauseOnTrigger = dependents(first);
  try {
    while (!act.empty()) {
      Active& last = act.back();
      if (!config().lateOverlap && (last.run->allTriggered() || last.run->done())) {
        for (auto& kv : pending) {
          OpPtr o = kv.second;
          if (o->started || o->done || o->primary.lock() != last.op) continue;
          bool ok = true;
          for (auto& d : o->deps)
            if (!d->done && d != last.op) ok = false;
          // a finished primary leaves nothing to overlap with
          if (!ok || (last.run->done() && act.size() == 1)) continue;
          o->started = true;
          act.push_back({o, std::make_unique<GridRun>(*o->work.launch)});
          act.back().run->pauseOnTrigger = dependents(o);
          break;
        }
      }
      bool progressed = false;
      for (size_t i = act.size(); i-- > 0;) {
        GridRun& r = *act[i].run;
        if (r.done()) continue;
        r.prior = i == 0;
        if (r.step()) {
          progressed = true;
          if (i && r.done() && config().racecheck) reportNoWait(r, *act.front().run);
          break;
        }
      }
      while (!act.empty() && act.front().run->done()) {
        if (config().racecheck) reportNeverWaits(*act.front().run);
        statsRecord(*act.front().run);
        OpPtr op = act.front().op;
        act.erase(act.begin());
        complete(op);
        progressed = true;
      }
      if (!progressed) throw SimError{702, "no launched kernel can make progress\n" + act.front().run->blockedReport()};
    }
  } catch (SimError& e) {
    fail(e.code, e.msg);
    std::vector<OpPtr> ops;
    for (auto& a : act) ops.push_back(a.op);
    act.clear();
    for (auto& o : ops) complete(o);
  }
}

void Runtime::runUntil(const OpPtr& target) {
  if (!target || target->done) return;
  if (config().randomStreams) {
    while (!target->done) {
      std::vector<OpPtr> r;
      for (auto& kv : pending)
        if (!kv.second->started && ready(kv.second)) r.push_back(kv.second);
      if (r.empty()) break;
      execute(r[rng.below((uint32_t)r.size())]);
    }
    return;
  }
  // only what the target needs, in submission order
  std::map<uint64_t, OpPtr> need;
  std::vector<OpPtr> todo{target};
  while (!todo.empty()) {
    OpPtr o = todo.back();
    todo.pop_back();
    if (o->done || !need.emplace(o->seq, o).second) continue;
    for (auto& d : o->deps) todo.push_back(d);
  }
  for (auto& kv : need) execute(kv.second);
}

void Runtime::runAll() {
  while (!pending.empty()) {
    if (config().randomStreams) {
      if (!runOne()) break;
    } else {
      OpPtr o = pending.begin()->second;
      runUntil(o);
    }
  }
}
bool Runtime::runOne() {
  std::vector<OpPtr> r;
  for (auto& kv : pending)
    if (!kv.second->started && ready(kv.second)) r.push_back(kv.second);
  if (r.empty()) return false;
  execute(config().randomStreams ? r[rng.below((uint32_t)r.size())] : r[0]);
  return true;
}

void Runtime::syncStream(Stream* s) {
  if (s->legacy) {
    std::vector<OpPtr> all;
    if (s->last) all.push_back(s->last);
    for (Stream* o : streams)
      if (!(o->flags & cudaStreamNonBlocking) && o->last) all.push_back(o->last);
    if (perThread.last) all.push_back(perThread.last);
    for (auto& o : all) runUntil(o);
  } else {
    OpPtr l = s->last;
    runUntil(l);
  }
}

cudaError_t captureUnsafe() {
  Runtime& rt = Runtime::get();
  if (!rt.activeCaptures) return cudaSuccess;
  for (Stream* s : rt.streams)
    if (s->capture && s->capture->mode == cudaStreamCaptureModeGlobal) {
      s->capture->invalid = true;
      return cudaErrorStreamCaptureUnsupported;
    }
  return cudaSuccess;
}

// ---------------------------------------------------------------- launches

int occupancyBlocks(FuncReg* f, int blockSize, size_t dyn) {
  std::shared_ptr<Kernel> k;
  if (f->load(k) != cudaSuccess || blockSize <= 0) return 0;
  if (blockSize > (int)k->maxThreads || blockSize > 1024) return 0;
  int warps = (blockSize + 31) / 32;
  int byThreads = 64 / warps;
  int regsPerWarp = (int)alignUp((uint64_t)k->numRegs * 32, 256);
  int byRegs = 65536 / (regsPerWarp * warps);
  size_t sh = alignUp(k->staticShared + dyn + 1024, 128);
  if (k->staticShared + dyn > 227 * 1024) return 0;
  int byShared = (int)(228 * 1024 / sh);
  return std::max(0, std::min(std::min(byThreads, byRegs), std::min(byShared, 32)));
}

cudaError_t Runtime::prepare(FuncReg* f, dim3 grid, dim3 block, void** args, size_t shmem,
                             const cudaLaunchAttribute* attrs, unsigned nattrs, bool coop,
                             std::shared_ptr<LaunchParams>& out, bool& pdl) {
  std::shared_ptr<cs::Kernel> k;
  cudaError_t e = f->load(k);
  if (e != cudaSuccess) return e;
  auto lp = std::make_shared<LaunchParams>();
  lp->kernel = k;
  lp->device = currentDevice();
  pdl = false;
  for (int i = 0; i < 3; i++)
    if (k->clusterDim[i]) lp->cluster[i] = k->clusterDim[i];
  for (unsigned i = 0; i < nattrs; i++) {
    const auto& a = attrs[i];
    switch (a.id) {
      case cudaLaunchAttributeCooperative:
        coop |= a.val.cooperative != 0;
        break;
      case cudaLaunchAttributeProgrammaticStreamSerialization:
        pdl = a.val.programmaticStreamSerializationAllowed != 0;
        break;
      case cudaLaunchAttributeClusterDimension:
        lp->cluster[0] = std::max(1u, a.val.clusterDim.x);
        lp->cluster[1] = std::max(1u, a.val.clusterDim.y);
        lp->cluster[2] = std::max(1u, a.val.clusterDim.z);
        break;
      default:
        break;
    }
  }
  uint64_t threads = (uint64_t)block.x * block.y * block.z;
  if (!grid.x || !grid.y || !grid.z || !threads) return cudaErrorInvalidConfiguration;
  if (threads > 1024 || block.x > 1024 || block.y > 1024 || block.z > 64) return cudaErrorInvalidConfiguration;
  if (grid.x > 2147483647u || grid.y > 65535 || grid.z > 65535) return cudaErrorInvalidConfiguration;
  if (threads > k->maxThreads) {
    report(strf("kernel %s: %llu threads per block exceed the launch bound of %u", k->pretty.c_str(),
                (unsigned long long)threads, k->maxThreads));
    return cudaErrorInvalidValue;
  }
  if (k->reqThreads && (block.x != k->reqDim[0] || block.y != k->reqDim[1] || block.z != k->reqDim[2]))
    return cudaErrorInvalidValue;
  if (k->staticShared > 48 * 1024) return cudaErrorInvalidValue;
  size_t limit = f->optIn ? (size_t)f->maxDynShared : 48 * 1024 - (k->staticShared < 48 * 1024 ? k->staticShared : 0);
  if (shmem > limit || shmem + k->staticShared > 227 * 1024) {
    report(
        strf("kernel %s: %zu bytes of dynamic shared memory exceed the limit of %zu "
             "(cudaFuncAttributeMaxDynamicSharedMemorySize)",
             k->pretty.c_str(), shmem, limit));
    return cudaErrorInvalidValue;
  }
  if ((uint64_t)k->numRegs * alignUp(threads, 32) > 65536) return cudaErrorLaunchOutOfResources;
  uint32_t cs_ = lp->cluster[0] * lp->cluster[1] * lp->cluster[2];
  if (cs_ > 1 && (cs_ > (f->nonPortableCluster ? 16u : 8u) || grid.x % lp->cluster[0] || grid.y % lp->cluster[1] ||
                  grid.z % lp->cluster[2]))
    return cudaErrorInvalidClusterSize;
  if (coop) {
    uint64_t maxBlocks = (uint64_t)occupancyBlocks(f, (int)threads, shmem) * (uint64_t)config().sms;
    if ((uint64_t)grid.x * grid.y * grid.z > maxBlocks) return cudaErrorCooperativeLaunchTooLarge;
  }
  lp->grid[0] = grid.x;
  lp->grid[1] = grid.y;
  lp->grid[2] = grid.z;
  lp->block[0] = block.x;
  lp->block[1] = block.y;
  lp->block[2] = block.z;
  lp->dynShared = (uint32_t)shmem;
  lp->cooperative = coop;
  lp->pdl = pdl;
  lp->params.assign(alignUp(k->paramBytes, 8) + 8, 0);
  for (size_t i = 0; i < k->params.size(); i++)
    memcpy(lp->params.data() + k->params[i].offset, args[i], k->params[i].size);
  out = lp;
  return cudaSuccess;
}

cudaError_t Runtime::launch(FuncReg* f, dim3 grid, dim3 block, void** args, size_t shmem, Stream* s,
                            const cudaLaunchConfig_t* cfg, bool coop) {
  if (!s) return cudaErrorInvalidResourceHandle;
  std::shared_ptr<LaunchParams> lp;
  bool pdl;
  cudaError_t e =
      prepare(f, grid, block, args, shmem, cfg ? cfg->attrs : nullptr, cfg ? cfg->numAttrs : 0, coop, lp, pdl);
  if (e != cudaSuccess) return e;
  Work w;
  w.kind = Work::Kernel;
  w.launch = lp;
  w.func = f;
  // programmatic event attribute: record after the kernel (conservative)
  Event* ev = nullptr;
  char port = cudaGraphKernelNodePortLaunchCompletion;
  for (unsigned i = 0; cfg && i < cfg->numAttrs; i++)
    if (cfg->attrs[i].id == cudaLaunchAttributeProgrammaticEvent) {
      ev = (Event*)cfg->attrs[i].val.programmaticEvent.event;
      if (!cfg->attrs[i].val.programmaticEvent.triggerAtBlockStart) port = cudaGraphKernelNodePortProgrammatic;
    } else if (cfg->attrs[i].id == cudaLaunchAttributeLaunchCompletionEvent) {
      ev = (Event*)cfg->attrs[i].val.launchCompletionEvent.event;
    }
  OpPtr op;
  e = submit(s, std::move(w), pdl, &op);
  if (ev && events.count(ev) && op) {
    ev->recorded = true;
    ev->op = op;
  }
  if (ev && events.count(ev) && s->capture && e == cudaSuccess) {  // captured: waiting on it makes a programmatic edge
    ev->capture = s->capture;
    ev->capDeps = s->capDeps;
    ev->capPorts = {{s->capDeps[0], port}};
  }
  return e;
}

}  // namespace cs
