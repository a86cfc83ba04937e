// SPDX-License-Identifier: Apache-2.0
// Spoils arguments as spoil.h says.
#include "spoil.h"

namespace swd::fuzz {
namespace {

struct BufferMember {
  void* swd_buffers::*pointer;
  PieceName piece;
};
constexpr BufferMember kMembers[] = {{&swd_buffers::param, kParam},
                                     {&swd_buffers::exp_avg, kExpAvg},
                                     {&swd_buffers::exp_avg_sq, kExpAvgSq},
                                     {&swd_buffers::max_exp_avg_sq, kMaxExpAvgSq},
                                     {&swd_buffers::param_copy, kParamCopy},
                                     {&swd_buffers::remainder, kRemainder},
                                     {&swd_buffers::exp_avg_scale, kExpAvgScale},
                                     {&swd_buffers::exp_avg_sq_scale, kExpAvgSqScale},
                                     {&swd_buffers::state, kState},
                                     {&swd_buffers::workspace, kWorkspace}};

void spoil_buffers(Input& in, const World& w, uint32_t used, swd_buffers& b) {
  switch (in.below(8)) {
    case 0:
      b.struct_size = static_cast<uint32_t>(in.integer()) % sizeof b;
      break;
    case 1:
      b.flags = static_cast<uint32_t>(in.integer());
      break;
    case 2:
      b.grad = spoiled_pointer(in, w, b.grad, w.pieces[kGrad].bytes, used);
      break;
    case 3:
    case 4:
      (in.below(2) == 0 ? b.state_bytes : b.workspace_bytes) = static_cast<uint64_t>(in.integer());
      break;
    default: {
      const BufferMember& member = kMembers[in.below(sizeof kMembers / sizeof kMembers[0])];
      bool of_bytes = false;  // of which no address is odd
      for (int i = 0; i < kBuffers; ++i) of_bytes = of_bytes || (piece_of(i) == member.piece && w.bytes_of(i, 1) == 1);
      b.*member.pointer = spoiled_pointer(in, w, b.*member.pointer, w.pieces[member.piece].bytes, used, of_bytes);
    }
  }
}

void spoil_group(Input& in, const World& w, swd_group& g) {
  switch (in.below(6)) {
    case 0:
      g.lr = in.real();
      break;
    case 1:
      g.beta1 = in.real();
      break;
    case 2:
      g.beta2 = in.real();
      break;
    case 3:
      g.eps = in.real();
      break;
    case 4:
      g.weight_decay = in.real();
      break;
    case 5:
      g.lr_factor = in.real();
      break;
    default:
      g.lr_pointer = spoiled_scalar<const float>(in, w.scalar(0));
      break;
  }
}

void spoil_args(Input& in, const World& w, swd_step_args& a) {
  auto device_groups = reinterpret_cast<const swd_group*>(w.at(kGroupsDevice));
  switch (in.below(13)) {
    case 0:
      a.struct_size = static_cast<uint32_t>(in.integer()) % sizeof a;
      break;
    case 1:
      a.flags = static_cast<uint32_t>(in.integer());
      break;
    case 2:
      a.groups = nullptr;
      break;
    case 3:
      a.groups_device = spoiled_scalar(in, device_groups);
      break;
    case 4:
      a.group_count = static_cast<uint32_t>(in.integer());
      break;
    case 5:
      a.group_stride = static_cast<uint32_t>(in.integer()) % offsetof(swd_group, lr_factor);  // a lie none can check
      break;
    case 6:
      a.loss_scale = in.real();
      break;
    case 7:
      a.loss_scale_pointer = spoiled_scalar<const float>(in, w.scalar(1));
      break;
    case 8:
      a.found_inf = spoiled_scalar<const float>(in, w.scalar(2));
      break;
    case 9:
      a.has_grad = in.below(2) != 0 ? w.at(kHasGrad) : nullptr;
      break;
    case 10:
      a.max_grad_norm = in.real();
      break;
    case 11:
      a.reference_step = in.bits(8);
      break;
    default:
      a.max_decay = in.real();
      break;
  }
}

// What lies in memory and is read where the step is decided.
void spoil_contents(Input& in, World& w, Call& call) {
  w.touch(0xFu | 1u << kScalars | 1u << kHasGrad | 1u << kRecord);
  switch (in.below(5)) {
    case 0:
      *w.scalar(static_cast<int>(in.below(3))) = static_cast<float>(in.real());
      break;
    case 1:
      if (w.pieces[kHasGrad].bytes != 0) w.at(kHasGrad)[in.below(static_cast<uint32_t>(w.pieces[kHasGrad].bytes))] = 0;
      break;
    case 2:
      spoil_group(in, w, call.groups[in.below(2)]);
      break;
    case 3: {
      double value = in.real();
      memcpy(w.at(kRecord) + 8 * in.below(8), &value, sizeof value);
      break;
    }
    default: {
      uint64_t elements = w.elements();
      if (elements == 0) break;
      float value = static_cast<float>(in.real());
      PieceName array = static_cast<PieceName>(in.below(4));
      uint64_t width = w.pieces[array].bytes / elements;
      memcpy(w.at(array) + width * (in.byte() % elements), reinterpret_cast<uint8_t*>(&value) + 4 - width, width);
    }
  }
}

void spoil(Input& in, uint32_t used, Call& call) {
  World& w = *call.world;
  switch (in.below(10)) {
    case 0:
      spoil_buffers(in, w, used, call.buffers);
      break;
    case 1:
      spoil_args(in, w, call.args);
      break;
    case 2:
      spoil_contents(in, w, call);
      break;
    case 3:
      call.plan = nullptr;
      break;
    case 4:
      (in.below(2) != 0 ? call.has_buffers : call.has_args) = false;
      break;
    case 5:
      call.stream = reinterpret_cast<void*>(static_cast<uintptr_t>(in.bits(2)) + 1);
      break;
    case 6:
      call.workspace = spoiled_pointer(in, w, call.workspace, 0, 0);
      break;
    case 7:
      call.workspace_bytes = static_cast<uint64_t>(in.integer());
      break;
    case 8:
      (in.below(2) != 0 ? call.first : call.count) = in.integer();
      break;
    default:
      if (in.below(2) != 0) {
        call.phase = static_cast<swd_phase>(in.integer());
      } else {
        call.record = spoiled_scalar(in, reinterpret_cast<double*>(w.at(kRecord)));
        call.record_doubles = in.below(4) == 1 ? static_cast<uint64_t>(in.integer()) : call.record ? 16 : 0;
      }
  }
}

}  // namespace

void* spoiled_pointer(Input& in, const World& w, const void* now, uint64_t bytes, uint32_t used, bool of_bytes) {
  uint32_t kind = in.below(3);
  if (kind < 2) return kind == 0 || of_bytes ? nullptr : odd_address(const_cast<void*>(now), in.below(8));
  uint32_t other = in.below(11);
  if (other > kWorkspace) other += kRemainder - kWorkspace - 1;
  bool tensor = other < kState || other > kWorkspace;
  bool in_use = (used >> other & 1u) != 0 && w.pieces[other].bytes != 0 && !(w.list() && tensor);
  return in_use && w.pieces[other].bytes >= bytes ? w.pieces[other].data : nullptr;
}

void make_call(Input& in, World& world, uint32_t used, Call& call) {
  call.world = &world;
  call.plan = world.plan;
  call.buffers = world.buffers();
  call.args = world.step_args();
  for (size_t i = 0; i < world.groups.size(); ++i) call.groups[i] = world.groups[i];
  call.args.groups = call.groups;
  call.has_buffers = call.has_args = true;
  call.workspace = world.at(kWorkspace);
  call.workspace_bytes = world.pieces[kWorkspace].bytes;
  call.first = 0, call.count = world.args.segment_count;
  call.stream = nullptr;
  call.phase = SWD_PHASE_GRAD;
  call.record = nullptr;
  call.record_doubles = 0;
  const uint32_t spoils = in.below(4);
  call.spoiled = spoils != 0;
  for (uint32_t i = 0; i < spoils; ++i) spoil(in, used, call);
}

}  // namespace swd::fuzz
