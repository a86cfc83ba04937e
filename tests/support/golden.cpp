// SPDX-License-Identifier: Apache-2.0
// A reader of the golden files that accepts nothing it does not know.
#include "golden.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace swd::test {
namespace {

const std::string kFolder = SWD_TEST_DATA_DIR;

const std::map<std::string, int> kTensors = {{"param", SWD_BUFFER_PARAM},
                                             {"exp_avg", SWD_BUFFER_EXP_AVG},
                                             {"exp_avg_sq", SWD_BUFFER_EXP_AVG_SQ},
                                             {"max_exp_avg_sq", SWD_BUFFER_MAX_EXP_AVG_SQ}};

double number(const std::string& text) {
  char* end = nullptr;
  double x = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0') throw std::runtime_error("golden: not a number: " + text);
  return x;
}

// The words of one line; word() checks that a keyword stands where it should.
class Line {
 public:
  explicit Line(const std::string& text) : in_(text) {}
  std::string next() {
    std::string word;
    in_ >> word;
    return word;
  }
  double value(const char* keyword) {
    if (next() != keyword) throw std::runtime_error(std::string("golden: expected ") + keyword);
    return number(next());
  }
  std::vector<std::string> rest() {
    std::vector<std::string> out;
    for (std::string word; in_ >> word;) out.push_back(word);
    return out;
  }
  std::vector<double> numbers() {
    std::vector<double> out;
    for (const std::string& word : rest()) out.push_back(number(word));
    return out;
  }

 private:
  std::istringstream in_;
};

void read_group(Line& line, Golden& out) {
  swd_group g = SWD_GROUP_INIT;
  g.lr = line.value("lr");
  g.beta1 = line.value("beta1");
  g.beta2 = line.value("beta2");
  g.eps = line.value("eps");
  g.weight_decay = line.value("weight_decay");
  if (line.next() != "segments") throw std::runtime_error("golden: expected segments");
  for (const std::string& k : line.rest())
    out.setup.group_of.at(std::stoul(k)) = static_cast<uint32_t>(out.setup.groups.size());
  out.setup.groups.push_back(g);
}

void read_snapshot(Line& line, Golden& out) {
  GoldenSnapshot s;
  s.step = std::stoull(line.next());
  s.grad_norm = line.value("grad_norm");
  s.vbar = line.value("vbar");
  if (line.next() != "segment_steps") throw std::runtime_error("golden: expected segment_steps");
  for (const std::string& steps : line.rest()) s.segment_steps.push_back(std::stoll(steps));
  out.snapshots.push_back(std::move(s));
}

// False at the end.
bool read_line(const std::string& text, Golden& out) {
  Line line(text);
  std::string key = line.next();
  if (key == "end") return false;
  if (key == "case") {
    out.name = line.next();
  } else if (key == "seed") {
    out.seed = std::stoull(line.next());
  } else if (key == "amsgrad") {
    out.amsgrad = line.next() == "1";
  } else if (key == "closed_loop") {
    out.closed_loop = line.next() == "1";
  } else if (key == "max_grad_norm") {
    out.max_grad_norm = number(line.next());
  } else if (key == "sizes") {
    for (double n : line.numbers()) out.setup.counts.push_back(static_cast<int64_t>(n));
    out.setup.group_of.resize(out.setup.counts.size());
    out.grad_exp.resize(out.setup.counts.size());
  } else if (key == "group") {
    read_group(line, out);
  } else if (key == "lr_factor") {
    out.lr_factor = line.numbers();
  } else if (key == "grad_exp") {
    size_t k = std::stoul(line.next());
    out.grad_exp.at(k) = line.rest();
  } else if (key == "snapshot") {
    read_snapshot(line, out);
  } else if (kTensors.count(key)) {
    auto& tensors = out.snapshots.back().values[kTensors.at(key)];
    tensors.resize(out.setup.counts.size());
    size_t k = std::stoul(line.next());
    tensors.at(k) = line.numbers();
    if (static_cast<int64_t>(tensors[k].size()) != out.setup.counts[k])
      throw std::runtime_error("golden: values are missing");
  } else if (!key.empty() && key[0] != '#' && key != "steps") {
    throw std::runtime_error("golden: unknown record " + key);
  }
  return true;
}

// fp32_deviation.json is three levels of objects: file, step, tensor. Keys and numbers are all that matters.
void read_deviation(Golden& out) {
  std::ifstream file(kFolder + "/fp32_deviation.json");
  std::vector<std::string> path;
  std::string key;
  for (char c; file.get(c);) {
    if (c == '"') {
      std::getline(file, key, '"');
    } else if (c == '{') {
      path.push_back(key);
    } else if (c == '}') {
      path.pop_back();
    } else if (std::isdigit(static_cast<unsigned char>(c))) {
      file.unget();
      double x = 0.0;
      file >> x;
      if (path.size() != 3) throw std::runtime_error("golden: fp32_deviation.json has another shape");
      for (GoldenSnapshot& s : out.snapshots) {
        if (path[1] == out.name && path[2] == std::to_string(s.step)) s.fp32_deviation[key] = x;
      }
    }
  }
  for (const GoldenSnapshot& s : out.snapshots) {
    if (s.fp32_deviation.size() != 4) throw std::runtime_error("golden: no fp32 deviation for " + out.name);
  }
}

}  // namespace

std::vector<float> Golden::gradient(uint64_t t, size_t segment, const std::vector<float>& param) const {
  const std::string& exponent = grad_exp[segment].at(t - 1);
  if (exponent == "x") return {};
  std::vector<float> g = uniform(seed, 7919 * t + segment, setup.counts[segment]);
  for (size_t i = 0; i < g.size(); ++i) {
    double looped =
        closed_loop ? std::ldexp(static_cast<double>(param[i]), -static_cast<int>(i % 4)) + 0.125 * g[i] : 0.0;
    g[i] = closed_loop ? static_cast<float>(looped) : std::ldexp(g[i], std::stoi(exponent));
  }
  return g;
}

std::vector<std::string> golden_names() {
  std::vector<std::string> out;
  for (const auto& entry : std::filesystem::directory_iterator(kFolder)) {
    if (entry.path().extension() == ".txt" && entry.path().stem() != "hashes") out.push_back(entry.path().stem());
  }
  std::sort(out.begin(), out.end());
  return out;
}

Golden read_golden(const std::string& name) {
  std::ifstream file(kFolder + "/" + name + ".txt");
  Golden out;
  out.setup.groups.clear();
  std::string line;
  bool more = true;
  while (more && std::getline(file, line)) more = read_line(line, out);
  if (more || out.name != name) throw std::runtime_error("golden: " + name + " is not whole");
  out.setup.decay.assign(out.setup.groups.size(), SWD_DECAY_SCHEDULED);
  read_deviation(out);
  return out;
}

}  // namespace swd::test
