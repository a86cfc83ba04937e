// SPDX-License-Identifier: Apache-2.0
#include "adams.h"

#include <ATen/Context.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/utils.h>

namespace {

// libswd works in the stream that PyTorch uses now. The CPU has none.
void* stream_of(torch::Device device) {
  if (device.is_cpu()) return nullptr;
  return c10::impl::VirtualGuardImpl(device.type()).getStream(device).native_handle();
}

void wait_for(torch::Device device) {
  if (device.is_cpu()) return;
  c10::impl::VirtualGuardImpl guard(device.type());
  guard.synchronizeStream(guard.getStream(device));
}

torch::Tensor zero_bytes(uint64_t count, torch::Device device) {
  return torch::zeros({static_cast<int64_t>(count)}, torch::dtype(torch::kUInt8).device(device));
}

uint64_t bytes_of(const torch::Tensor& t) { return static_cast<uint64_t>(t.nbytes()); }

}  // namespace

AdamS::AdamS(std::vector<torch::optim::OptimizerParamGroup> groups, AdamSOptions defaults, double max_grad_norm)
    : Optimizer(std::vector<torch::optim::OptimizerParamGroup>{}, std::make_unique<AdamSOptions>(defaults)),
      max_grad_norm_(max_grad_norm) {
  for (const auto& group : groups) add_param_group(group);
  layout();  // refuses what cannot be trained now, not at the first step
}

// PyTorch 2.10 and later give a group the defaults in the place of its own options, where they do not know the options.
void AdamS::add_param_group(const torch::optim::OptimizerParamGroup& group) {
  Optimizer::add_param_group(group);
  if (!group.has_options()) return;
  auto& own = static_cast<AdamSOptions&>(param_groups().back().options());
  own = static_cast<const AdamSOptions&>(group.options());
}

bool AdamS::Layout::operator==(const Layout& other) const {
  auto same = [](const torch::Tensor& a, const torch::Tensor& b) { return a.is_same(b); };
  return std::equal(parameters.begin(), parameters.end(), other.parameters.begin(), other.parameters.end(), same) &&
         groups == other.groups && counts == other.counts && modes == other.modes && device == other.device;
}

AdamS::Layout AdamS::layout() const {
  Layout out;
  for (const auto& group : param_groups()) {
    out.modes.push_back(static_cast<swd_decay>(static_cast<const AdamSOptions&>(group.options()).decay_mode()));
    for (const torch::Tensor& p : group.params()) {
      if (out.parameters.empty()) out.device = p.device();
      size_t number = out.parameters.size();
      TORCH_CHECK(p.layout() == torch::kStrided && p.scalar_type() == torch::kFloat && p.is_contiguous(),
                  "AdamS: parameter ", number, " is not a dense, contiguous tensor of float32");
      TORCH_CHECK(p.device() == out.device && (p.is_cpu() || p.is_cuda()), "AdamS: parameter ", number, " is on ",
                  p.device(), ", the first one on ", out.device, "; they have to be on one CPU or CUDA device");
      out.parameters.push_back(p);
      out.groups.push_back(static_cast<int64_t>(out.modes.size()) - 1);
      out.counts.push_back(p.numel());
    }
  }
  return out;
}

void AdamS::make_plan(const Layout& layout) {
  write_states();
  size_t count = layout.parameters.size();
  std::vector<swd_segment> segments(count);
  for (size_t i = 0; i < count; ++i) {
    segments[i] = {0, layout.counts[i], 0, static_cast<uint32_t>(layout.groups[i]), 0};
  }
  swd_plan_args args = SWD_PLAN_ARGS_INIT;
  args.flags = SWD_PLAN_LIST;
  args.backend = layout.device.is_cpu() ? SWD_BACKEND_CPU : SWD_BACKEND_CUDA;
  args.segments = segments.data();
  args.segment_count = static_cast<int64_t>(count);
  args.decay_modes = layout.modes.data();
  args.group_count = static_cast<uint32_t>(layout.modes.size());
  swd::Plan plan(args);

  uint64_t image_bytes = 0, workspace_bytes = 0;
  swd::check(swd_state_size(plan, &image_bytes));
  swd::check(swd_workspace_size(plan, &workspace_bytes));
  torch::Tensor image = zero_bytes(image_bytes, torch::kCPU), workspace = zero_bytes(workspace_bytes, layout.device);
  std::vector<torch::Tensor> moments(2 * count);
  swd_state_header header{};
  for (size_t i = 0; i < count; ++i) {
    const torch::Tensor& p = layout.parameters[i];
    auto& state = state_[p.unsafeGetTensorImpl()];
    if (!state) state = std::make_unique<AdamSParamState>();
    auto& own = static_cast<AdamSParamState&>(*state);
    for (auto* moment : {&own.exp_avg(), &own.exp_avg_sq()}) {
      *moment = moment->defined() ? moment->to(p.options()).contiguous() : torch::zeros_like(p);
      TORCH_CHECK(moment->sizes() == p.sizes(), "AdamS: the moments of parameter ", i, " are of another shape");
    }
    moments[i] = own.exp_avg(), moments[count + i] = own.exp_avg_sq();
    swd_segment_state entry{own.step(), own.exp_avg_sq_sum(), 0.0, 0};
    swd::check(swd_state_set(plan, image.data_ptr(), image_bytes, static_cast<int64_t>(i), &entry, sizeof entry));
    header.steps_applied = std::max(header.steps_applied, static_cast<uint64_t>(own.model_step()));
    header.vbar_reference = std::max(header.vbar_reference, own.vbar_reference());
  }
  swd::check(swd_state_header_set(plan, image.data_ptr(), image_bytes, &header, sizeof header));
  swd::check(swd_workspace_init(plan, workspace.data_ptr(), workspace_bytes, stream_of(layout.device)));
  plan_ = std::move(plan), layout_ = layout, workspace_ = workspace, moments_ = std::move(moments);
  image_ = image.to(layout.device);
  addresses_.clear();
}

void AdamS::set_pointers() {
  std::vector<const void*> now;
  for (const auto* tensors : {&layout_.parameters, &moments_}) {
    for (const torch::Tensor& t : *tensors) now.push_back(t.data_ptr());
  }
  if (now == addresses_) return;
  int64_t count = static_cast<int64_t>(layout_.parameters.size());
  for (int i = 0; i < 3; ++i) {
    constexpr swd_buffer_kind kKinds[] = {SWD_BUFFER_PARAM, SWD_BUFFER_EXP_AVG, SWD_BUFFER_EXP_AVG_SQ};
    swd::check(swd_set_pointers(plan_, workspace_.data_ptr(), kKinds[i], 0, count, now.data() + i * count,
                                stream_of(layout_.device)));
  }
  addresses_ = std::move(now);
}

torch::Tensor AdamS::step(LossClosure closure) {
  torch::Tensor loss;
  if (closure) {
    at::AutoGradMode enabled(true);
    loss = closure();
  }
  torch::NoGradGuard no_grad;
  Layout now = layout();
  if (now.parameters.empty()) return loss;
  if (!(now == layout_)) make_plan(now);
  set_pointers();

  std::vector<torch::Tensor> gradients;  // keeps those that had to be copied
  std::vector<const void*> addresses;
  for (const torch::Tensor& p : layout_.parameters) {
    const torch::Tensor& g = p.grad();
    TORCH_CHECK(!g.defined() || (g.layout() == torch::kStrided && g.scalar_type() == torch::kFloat &&
                                 g.device() == p.device() && g.sizes() == p.sizes()),
                "AdamS: the gradient of parameter ", addresses.size(), " is not a dense float32 tensor like it");
    gradients.push_back(g.defined() ? g.contiguous() : g);
    addresses.push_back(g.defined() ? gradients.back().data_ptr() : nullptr);
  }
  std::vector<swd_group> groups;
  for (auto& group : param_groups()) {
    const auto& options = static_cast<const AdamSOptions&>(group.options());
    swd_group& to = groups.emplace_back(swd_group SWD_GROUP_INIT);
    to.lr = options.lr(), to.eps = options.eps(), to.weight_decay = options.weight_decay();
    std::tie(to.beta1, to.beta2) = options.betas();
  }
  void* stream = stream_of(layout_.device);
  swd::check(swd_set_pointers(plan_, workspace_.data_ptr(), SWD_BUFFER_GRAD, 0, static_cast<int64_t>(addresses.size()),
                              addresses.data(), stream));
  swd_buffers buffers = SWD_BUFFERS_INIT;
  buffers.state = image_.data_ptr(), buffers.state_bytes = bytes_of(image_);
  buffers.workspace = workspace_.data_ptr(), buffers.workspace_bytes = bytes_of(workspace_);
  swd_step_args args = SWD_STEP_ARGS_INIT;
  args.groups = groups.data();
  args.group_count = static_cast<uint32_t>(groups.size());
  args.max_grad_norm = max_grad_norm_;
  swd::check(swd_step(plan_, &buffers, &args, stream));
  return loss;
}

swd_stats AdamS::stats() {
  swd_stats out{};
  if (!workspace_.defined()) return out;
  swd::check(swd_stats_fetch(plan_, workspace_.data_ptr(), &out, sizeof out, nullptr, stream_of(layout_.device)));
  wait_for(layout_.device);
  return out;
}

void AdamS::write_states() const {
  if (!image_.defined()) return;
  torch::Tensor image = image_.cpu();
  swd_state_header header{};
  swd::check(swd_state_header_get(plan_, image.data_ptr(), bytes_of(image), &header, sizeof header));
  for (size_t i = 0; i < layout_.parameters.size(); ++i) {
    auto found = state_.find(layout_.parameters[i].unsafeGetTensorImpl());
    if (found == state_.end()) continue;  // taken out by the caller
    swd_segment_state entry{};
    swd::check(swd_state_get(plan_, image.data_ptr(), bytes_of(image), static_cast<int64_t>(i), &entry, sizeof entry));
    static_cast<AdamSParamState&>(*found->second)
        .step(entry.step)
        .exp_avg_sq_sum(entry.exp_avg_sq_sum)
        .model_step(static_cast<int64_t>(header.steps_applied))
        .vbar_reference(header.vbar_reference);
  }
}
