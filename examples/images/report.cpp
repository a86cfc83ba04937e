// SPDX-License-Identifier: Apache-2.0
#include "report.h"

#include <algorithm>
#include <fstream>
#include <iomanip>
#include <sstream>
#include <stdexcept>

#include "network.h"

namespace images {
namespace {

constexpr size_t kPoints = 200;

std::string curve(const std::vector<double>& values) {
  size_t stretch = std::max<size_t>(1, values.size() / kPoints);
  std::ostringstream out;
  out << std::setprecision(6) << "[";
  for (size_t first = 0; first + stretch <= values.size(); first += stretch) {
    double sum = 0.0;
    for (size_t i = first; i < first + stretch; ++i) sum += values[i];
    out << (first ? "," : "") << sum / static_cast<double>(stretch);
  }
  out << "]";
  return out.str();
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return out + "\"";
}

void write_run(std::ostream& out, const Run& r) {
  out << "{\"kind\": " << quoted(r.method.kind) << ", \"strength\": " << r.method.strength << ", \"seed\": " << r.seed
      << ", \"mean_lambda\": " << r.mean_lambda << ", \"total_decay\": " << r.total_decay << ", \"norm\": " << r.norm
      << ", \"full_norm\": " << r.full_norm << ", \"weight_norm\": " << r.weight_norm
      << ", \"train_loss\": " << r.train_loss << ", \"validation_loss\": " << r.validation_loss
      << ", \"validation_error\": " << r.validation_error << ", \"test_loss\": " << r.test_loss
      << ", \"test_error\": " << r.test_error << ", \"step_us\": " << r.step_us << ",\n  \"norms\": " << curve(r.norms)
      << ",\n  \"lambda\": " << curve(r.lambda) << ",\n  \"decays\": " << curve(r.decays)
      << ",\n  \"losses\": " << curve(r.losses) << "}";
}

}  // namespace

void write_json(const std::string& path, const Data& data, const Setting& setting, double label_noise,
                const std::vector<Run>& runs) {
  const char* schedules[] = {"steps", "cosine", "wsd"};
  Network network(data.height, data.width, data.classes, setting.has_norm, 0);
  std::ofstream out(path);
  out << std::setprecision(9) << "{\"data\": " << quoted(data.name) << ", \"height\": " << data.height
      << ", \"width\": " << data.width << ", \"train\": " << data.train.count()
      << ", \"validation\": " << data.validation.count() << ", \"test\": " << data.test.count()
      << ", \"label_noise\": " << label_noise << ", \"parameters\": " << network.param.size()
      << ", \"steps\": " << setting.steps << ", \"batch\": " << setting.batch << ", \"lr\": " << setting.lr
      << ", \"schedule\": \"" << schedules[static_cast<int>(setting.schedule)] << "\", \"norm\": " << std::boolalpha
      << setting.has_norm << ", \"weights_only\": " << setting.weights_only << ", \"backend\": \""
      << (setting.cuda ? "cuda" : "cpu") << "\",\n \"runs\": [";
  for (size_t i = 0; i < runs.size(); ++i) {
    out << (i ? ",\n  " : "\n  ");
    write_run(out, runs[i]);
  }
  out << "]}\n";
  if (!out.flush()) throw std::runtime_error("cannot write " + path);
}

}  // namespace images
