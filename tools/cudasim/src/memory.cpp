// SPDX-License-Identifier: Apache-2.0
// Device memory and its book-keeping: see memory.h.
#include "memory.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

namespace cs {

namespace {
constexpr uint64_t kPage = 4096;
constexpr uint64_t kGuard = 256 * 1024;  // unmapped bytes between allocations
constexpr uint64_t kSkew = 512;          // start offset in the first page: pointers are
                                         // 512-byte aligned and not more

struct sigaction g_oldSegv;

// Host code touched device memory: say so, then let the fault happen again.
void onSegv(int sig, siginfo_t* si, void* uc) {
  uint64_t addr = (uint64_t)si->si_addr;
  static bool inside = false;
  if (!inside && Memory::get().inArena(addr)) {
    inside = true;
    report(strf("host code accessed device memory at 0x%llx (%s); use cudaMemcpy", (unsigned long long)addr,
                Memory::get().describe(addr).c_str()));
  }
  if (g_oldSegv.sa_flags & SA_SIGINFO) {
    if (g_oldSegv.sa_sigaction) return g_oldSegv.sa_sigaction(sig, si, uc);
  } else if (g_oldSegv.sa_handler != SIG_DFL && g_oldSegv.sa_handler != SIG_IGN) {
    return g_oldSegv.sa_handler(sig);
  }
  signal(SIGSEGV, SIG_DFL);
}
}  // namespace

const char* kindName(AllocKind k) {
  switch (k) {
    case AllocKind::Device:
      return "device memory";
    case AllocKind::Managed:
      return "managed memory";
    case AllocKind::Pinned:
      return "pinned host memory";
    case AllocKind::Symbol:
      return "__device__ variable";
    case AllocKind::ConstSymbol:
      return "__constant__ variable";
    case AllocKind::Registered:
      return "registered host memory";
    default:
      return "internal memory";
  }
}

Memory& Memory::get() {
  static Memory* m = new Memory;
  return *m;
}

Memory::Memory() {
  limit_ = config().memBytes;
  fd_ = memfd_create("cudasim", MFD_CLOEXEC);
  // Try a large arena first, settle for less where address space is limited.
  for (size_ = 4ull << 40; size_ >= (1ull << 32); size_ /= 4) {
    if (fd_ < 0 || ftruncate(fd_, (off_t)size_) != 0) continue;
    void* dev = mmap(nullptr, size_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (dev == MAP_FAILED) continue;
    void* alias = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd_, 0);
    if (alias == MAP_FAILED) {
      munmap(dev, size_);
      continue;
    }
    void* sh =
        mmap(nullptr, size_ / kPage * 4, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    void* in = nullptr;
    if (sh != MAP_FAILED && config().initcheck) {
      in = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      if (in == MAP_FAILED) {
        munmap(sh, size_ / kPage * 4);
        sh = MAP_FAILED;
      }
    }
    if (sh == MAP_FAILED) {
      munmap(dev, size_);
      munmap(alias, size_);
      continue;
    }
    base_ = (uint64_t)dev;
    aliasDelta_ = (int64_t)((uint64_t)alias - (uint64_t)dev);
    shadow_ = (uint32_t*)sh;
    init_ = (uint8_t*)in;
    break;
  }
  if (!base_) {
    report("cannot reserve address space for simulated device memory");
    abort();
  }
  next_ = kGuard;
  table_.emplace_back(nullptr);
  struct sigaction sa;
  memset(&sa, 0, sizeof sa);
  sa.sa_sigaction = onSegv;
  sa.sa_flags = SA_SIGINFO | SA_NODEFER;
  sigaction(SIGSEGV, &sa, &g_oldSegv);
}

Alloc* Memory::allocate(uint64_t size, AllocKind kind, int device, const std::string& label) {
  uint64_t want = size ? size : 1;
  bool counts = kind == AllocKind::Device || kind == AllocKind::Managed;
  if (want > totalMem() || (counts && used_ + want > limit_)) {
    if (counts && want <= totalMem())
      report(
          strf("allocation of %llu bytes refused: simulated device memory is limited to %llu MB "
               "(CUDASIM_MEM_MB)",
               (unsigned long long)size, (unsigned long long)(limit_ >> 20)));
    return nullptr;
  }
  uint64_t span = alignUp(want + kSkew, kPage);
  if (next_ + span + kGuard > size_) {
    // Arena exhausted: forget dead allocations and look for the first gap.
    for (auto it = byStart_.begin(); it != byStart_.end();) {
      Alloc* a = table_[it->second].get();
      if (!a->live) {
        uint64_t p0 = (a->start - base_) / kPage, p1 = alignUp(a->start - base_ + a->size, kPage) / kPage;
        memset(shadow_ + p0, 0, (p1 - p0) * 4);
        it = byStart_.erase(it);
      } else {
        ++it;
      }
    }
    uint64_t pos = kGuard;
    for (auto& kv : byStart_) {
      uint64_t s = alignUp(kv.first - base_ - kSkew, kPage);
      if (pos + span + kGuard <= s) break;
      pos = alignUp(kv.first - base_ + table_[kv.second]->size, kPage) + kGuard;
    }
    if (pos + span + kGuard > size_) return nullptr;
    next_ = pos;
  }
  uint64_t off = next_;
  next_ += span + kGuard;
  auto a = std::make_unique<Alloc>();
  a->start = base_ + off + kSkew;
  a->size = size;
  a->delta = aliasDelta_;
  a->kind = kind;
  a->device = device;
  a->id = ++counter_;
  a->label = label;
  if (kind == AllocKind::Managed || kind == AllocKind::Pinned) {
    void* r = mmap((void*)(base_ + off), span, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd_, (off_t)off);
    if (r == MAP_FAILED) return nullptr;
  }
  uint32_t idx = (uint32_t)table_.size();
  for (uint64_t p = 0; p < span / kPage; p++) shadow_[off / kPage + p] = idx;
  byStart_[a->start] = idx;
  if (counts) used_ += want;
  bool fresh = kind == AllocKind::Device || kind == AllocKind::Managed || kind == AllocKind::Pinned;
  if (fresh && config().poison && kind != AllocKind::Managed) memset(ptr(a->start), 0xFF, size);
  if (init_ && (kind != AllocKind::Device)) markInit(a->start, size);
  if (init_ && kind == AllocKind::Device) memset(init_ + (a->start - base_), 0, size);
  table_.push_back(std::move(a));
  return table_.back().get();
}

void Memory::release(Alloc* a) {
  if (!a || !a->live) return;
  a->live = false;
  a->race = {};
  if (a->kind == AllocKind::Registered) {
    registered_.erase(a->start);
    return;
  }
  uint64_t off = a->start - base_ - kSkew, span = alignUp(a->size + kSkew, kPage);
  if (a->kind == AllocKind::Managed || a->kind == AllocKind::Pinned)
    mmap((void*)(base_ + off), span, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)off, (off_t)span);
  if (init_) madvise(init_ + off, span, MADV_DONTNEED);
  if (a->kind == AllocKind::Device || a->kind == AllocKind::Managed) used_ -= a->size ? a->size : 1;
}

Alloc* Memory::registerHost(void* p, uint64_t size, unsigned flags) {
  auto a = std::make_unique<Alloc>();
  a->start = (uint64_t)p;
  a->size = size;
  a->delta = 0;
  a->kind = AllocKind::Registered;
  a->hostFlags = flags;
  a->id = ++counter_;
  Alloc* r = a.get();
  registered_[a->start] = std::move(a);
  return r;
}

Alloc* Memory::foreign(uint64_t addr) {
  if (registered_.empty()) return nullptr;
  auto it = registered_.upper_bound(addr);
  if (it == registered_.begin()) return nullptr;
  --it;
  Alloc* a = it->second.get();
  return addr < a->start + a->size ? a : nullptr;
}

std::string Memory::describe(uint64_t addr) {
  auto what = [](Alloc* a) {
    std::string s = strf("%s #%llu of %llu bytes at 0x%llx", kindName(a->kind), (unsigned long long)a->id,
                         (unsigned long long)a->size, (unsigned long long)a->start);
    if (!a->label.empty()) s += " '" + a->label + "'";
    if (!a->live) s += " (already freed)";
    return s;
  };
  if (addr < 65536) return "null pointer dereference";
  if (Alloc* f = foreign(addr)) return "inside " + what(f);
  if (!inArena(addr)) return "not a device address (host pointer or garbage)";
  auto it = byStart_.upper_bound(addr);
  std::string best;
  uint64_t bestDist = ~0ull;
  if (it != byStart_.begin()) {
    auto pit = std::prev(it);
    Alloc* a = table_[pit->second].get();
    if (addr < a->start + a->size)
      return strf("at offset %llu inside ", (unsigned long long)(addr - a->start)) + what(a);
    bestDist = addr - (a->start + a->size);
    best = strf("%llu bytes past the end of ", (unsigned long long)bestDist) + what(a);
  }
  if (it != byStart_.end()) {
    Alloc* a = table_[it->second].get();
    if (a->start - addr < bestDist)
      best = strf("%llu bytes before the start of ", (unsigned long long)(a->start - addr)) + what(a);
  }
  return best.empty() ? "no allocation near" : best;
}

void Memory::markInit(uint64_t addr, uint64_t len) {
  if (init_ && inArena(addr)) memset(init_ + (addr - base_), 1, len);
}

void Memory::leakReport() {
  uint64_t n = 0, bytes = 0;
  for (auto& a : table_) {
    if (!a || !a->live) continue;
    if (a->kind != AllocKind::Device && a->kind != AllocKind::Managed && a->kind != AllocKind::Pinned) continue;
    n++;
    bytes += a->size;
    if (n <= 20)
      report(strf("leak: %s #%llu, %llu bytes at 0x%llx%s", kindName(a->kind), (unsigned long long)a->id,
                  (unsigned long long)a->size, (unsigned long long)a->start, a->async ? " (cudaMallocAsync)" : ""));
  }
  if (n)
    report(
        strf("leak check: %llu allocation(s), %llu bytes not freed", (unsigned long long)n, (unsigned long long)bytes));
  else
    report("leak check: no leaks");
}

void Memory::releaseAll() {
  for (auto& a : table_)
    if (a && a->live && (a->kind == AllocKind::Device || a->kind == AllocKind::Managed || a->kind == AllocKind::Pinned))
      release(a.get());
}

}  // namespace cs
