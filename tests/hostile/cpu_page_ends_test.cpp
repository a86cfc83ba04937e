// SPDX-License-Identifier: Apache-2.0
// Arrays that end right before a page which cannot be read, or begin right behind one: no call touches a byte beyond
// them, whatever the dtype and instruction set. Address sanitizers do not see what a wide load reads beyond an array.
// Each instruction set runs in a child, because the library picks one for the whole process.
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "support/buffer_bases.h"
#include "support/narrow.h"

namespace swd::test {
namespace {

const size_t kPage = static_cast<size_t>(sysconf(_SC_PAGESIZE));

// Memory between two pages without access, at the end of its pages or at their beginning.
class Fenced {
 public:
  Fenced(const void* from, size_t bytes, bool at_end) : bytes_(bytes), span_((bytes + kPage - 1) / kPage * kPage) {
    void* memory = mmap(nullptr, span_ + 2 * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) _exit(3);
    base_ = static_cast<uint8_t*>(memory);
    if (mprotect(base_ + kPage, span_, PROT_READ | PROT_WRITE) != 0) _exit(3);
    data_ = base_ + kPage + (at_end ? span_ - bytes : 0);
    memcpy(data_, from, bytes);
  }
  ~Fenced() { munmap(base_, span_ + 2 * kPage); }
  Fenced(const Fenced&) = delete;
  Fenced& operator=(const Fenced&) = delete;
  uint8_t* data() const { return data_; }
  bool begins_with(const std::vector<uint8_t>& bytes) const {
    return bytes.size() <= bytes_ && memcmp(data_, bytes.data(), bytes.size()) == 0;
  }

 private:
  size_t bytes_, span_;
  uint8_t *base_, *data_;
};

// Every call that touches the arrays, in an order in which each finds what it needs.
void calls(Runner& r, const swd_buffers& b, const swd_fp32_arrays& fp32) {
  r.ok(swd_state_load(r.plan(), &b, &fp32, nullptr));
  r.ok(swd_state_rebuild(r.plan(), &b, nullptr));
  r.ok(swd_step(r.plan(), &b, &r.args(), nullptr));
  r.ok(swd_state_store(r.plan(), &b, &fp32, nullptr));
  if (r.setup().copy != SWD_DTYPE_NONE) r.ok(swd_copy_params(r.plan(), &b, nullptr));
}

std::unique_ptr<Runner> filled(const RunSetup& s) {
  auto r = std::make_unique<Runner>(s);
  r->set(SWD_BUFFER_GRAD, 0, uniform(2, 0, s.counts[0]));
  return r;
}

bool runs(const RunSetup& s, bool at_end) {
  std::unique_ptr<Runner> r = filled(s), usual = filled(s);
  std::vector<std::unique_ptr<Fenced>> arrays;
  swd_buffers b = r->buffers;
  const void* given[] = {b.param,      b.grad,      b.exp_avg,       b.exp_avg_sq,      b.max_exp_avg_sq,
                         b.param_copy, b.remainder, b.exp_avg_scale, b.exp_avg_sq_scale};
  for (int buffer = 0; buffer < kBuffers; ++buffer) {
    if (!given[buffer]) continue;
    arrays.push_back(std::make_unique<Fenced>(given[buffer], r->array_bytes(buffer), at_end));
    set_base(b, buffer, arrays.back()->data());
  }
  std::vector<float> p = uniform(3, 0, s.counts[0]), m = uniform(4, 0, s.counts[0]), v = uniform(5, 0, s.counts[0]);
  for (float& x : v) x = x * x;
  Fenced fp32[] = {
      {p.data(), 4 * p.size(), at_end}, {m.data(), 4 * m.size(), at_end}, {v.data(), 4 * v.size(), at_end}};
  swd_fp32_arrays here = SWD_FP32_ARRAYS_INIT, there = SWD_FP32_ARRAYS_INIT;
  here.param = fp32[0].data(), here.exp_avg = fp32[1].data(), here.exp_avg_sq = fp32[2].data();
  there.param = p.data(), there.exp_avg = m.data(), there.exp_avg_sq = v.data();
  calls(*r, b, here);
  calls(*usual, usual->buffers, there);
  size_t next = 0;
  bool same = true;
  for (int buffer = 0; buffer < kBuffers; ++buffer) {
    if (given[buffer]) same = arrays[next++]->begins_with(usual->stored(buffer, 0)) && same;
  }
  return same && memcmp(fp32[2].data(), v.data(), 4 * v.size()) == 0;
}

std::vector<RunSetup> setups() {
  std::vector<RunSetup> out;
  for (swd_dtype grad : {SWD_DTYPE_F16, SWD_DTYPE_BF16, SWD_DTYPE_F32}) {
    for (uint32_t flags : {0u, uint32_t{SWD_PLAN_AMSGRAD} | SWD_PLAN_UPDATE_NORMS}) {
      RunSetup s;
      s.grad = grad;
      s.copy = flags != 0 ? SWD_DTYPE_F16 : SWD_DTYPE_BF16;
      s.flags = flags;
      out.push_back(s);
    }
  }
  for (const NarrowFormat& format : narrow_formats()) out.push_back(format.in(RunSetup{}));
  for (RunSetup& s : out) s.threads = 1;
  return out;
}

// In a child: 0 is success, 2 a machine without this instruction set, 1 a wrong result; a fault ends it by a signal.
int run_all(const char* isa) {
  setenv("SWD_CPU_ISA", isa, 1);
  if (std::string(swd_cpu_isa()) != isa) return 2;
  for (RunSetup s : setups()) {
    for (int64_t count : {1,   2,   3,   7,   8,    9,    15,   17,   31,   33,    64,           65,
                          127, 129, 255, 257, 1001, 1024, 4095, 4096, 4097, 16384, 5 * 4096 + 19}) {
      s.counts = {count};
      if (!runs(s, true) || !runs(s, false)) return 1;
    }
  }
  return ::testing::Test::HasFailure() ? 1 : 0;
}

TEST(CpuPageEnds, NothingBeyondAnArrayIsTouched) {
  std::string seen;
  for (const char* isa : {"base", "v3", "v4"}) {
    pid_t child = fork();
    if (child == 0) _exit(run_all(isa));
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status)) << isa << ": ended by signal " << WTERMSIG(status);
    EXPECT_NE(WEXITSTATUS(status), 1) << isa << ": other values than elsewhere";
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) seen += std::string(" ") + isa;
  }
  printf("instruction sets:%s\n", seen.c_str());
  EXPECT_NE(seen.find(" base"), std::string::npos);
}

}  // namespace
}  // namespace swd::test
