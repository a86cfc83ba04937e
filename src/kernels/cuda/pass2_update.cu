// SPDX-License-Identifier: Apache-2.0
// Launches pass 2, and holds its kernels for fp32 parameters and moments. Called by backend_cuda.cu.
#include <atomic>

#include "pass2_kernel.cuh"

namespace swd::cuda {
namespace {

// The kernel of a plan, and for how many blocks of it a multiprocessor has room.
struct Chosen {
  UpdateKernel kernel;
  int blocks_per_sm;
};

Chosen choose(const Plan& plan) {
  bool amsgrad = (plan.facts.flags & SWD_PLAN_AMSGRAD) != 0, norms = (plan.facts.flags & SWD_PLAN_UPDATE_NORMS) != 0;
  Chosen out{};
  visit_dtypes(plan.dtypes, [&](auto types) {
    using Types = decltype(types);
    out.blocks_per_sm = update_blocks_per_sm(Types::kPlain, amsgrad, norms);
    if constexpr (Types::kPlain) {
      out.kernel =
          amsgrad
              ? (norms ? update_kernel<WideItem, Types, true, true> : update_kernel<WideItem, Types, true, false>)
              : (norms ? update_kernel<WideItem, Types, false, true> : update_kernel<WideItem, Types, false, false>);
    } else {
      out.kernel = narrow_kernel_of(plan);
    }
  });
  return out;
}

// Whether pass 2, in the version that a device runs, waits for its predecessor. Asked of the runtime: which version a
// device takes depends on what of the binary is machine code and what is PTX, so a list of architectures cannot tell.
// Kept per device, since every step needs it; all instances of the kernel are compiled alike. Threads that ask at once
// find the same answer, and no answer is about anything but itself, so relaxed accesses do.
enum Waits : uint8_t { kNotAsked, kWaits, kDoesNotWait };
constexpr int kDevicesKept = 64;  // others are asked at every step
std::atomic<uint8_t> waits_on[kDevicesKept];

swd_status ask_whether_it_waits(UpdateKernel kernel, int device, bool& waits) {
  cudaFuncAttributes attributes{};
  swd_status status = load(kernel, &attributes);
  if (status != SWD_OK) return status;
  waits = attributes.ptxVersion >= 90;
  if (device < kDevicesKept) waits_on[device].store(waits ? kWaits : kDoesNotWait, std::memory_order_relaxed);
  return SWD_OK;
}

swd_status waits_for_predecessor(UpdateKernel kernel, int device, bool& waits) {
  uint8_t kept = device < kDevicesKept ? waits_on[device].load(std::memory_order_relaxed) : uint8_t{kNotAsked};
  waits = kept == kWaits;
  return kept == kNotAsked ? ask_whether_it_waits(kernel, device, waits) : SWD_OK;
}

}  // namespace

swd_status load_update(const Plan& plan) {
  Device device{};
  swd_status status = query_device(device);
  if (status != SWD_OK) return status;
  bool waits = false;
  return ask_whether_it_waits(choose(plan).kernel, device.number, waits);
}

swd_status launch_update(const Plan& plan, const Launch& args, bool overlaps, void* stream) {
  Device device{};
  swd_status status = query_device(device);
  if (status != SWD_OK) return status;
  Chosen chosen = choose(plan);
  bool waits = false;
  if (overlaps) status = waits_for_predecessor(chosen.kernel, device.number, waits);
  if (status != SWD_OK) return status;
  Launch with_overlap = args;
  with_overlap.may_prefetch = waits ? 1 : 0;
  int64_t items = plan.facts.chunk_count * kItemsPerChunk;
  unsigned int blocks = grid_size(device, plan.facts, items, kUpdateWarps, chosen.blocks_per_sm);
  return launch("launch of the update kernel", chosen.kernel, blocks, kUpdateThreads, stream, waits, with_overlap);
}

}  // namespace swd::cuda
