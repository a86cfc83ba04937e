// SPDX-License-Identifier: Apache-2.0
#include "jobs.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <exception>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>
#include <tuple>

namespace images {
namespace {

const std::set<std::string> kKinds{"adamw", "swd", "relative", "l2", "adamc", "matched", "replay"};
constexpr int kOtherSeed = 100;  // away from the seed that a replay is compared with

// What one thread does at a stretch: a run, and those that are made from it.
struct Job {
  Method method;
  int seed;
  bool has_match = false;
};

class Workers {
 public:
  Workers(const Data& data, const Setting& setting, std::vector<Job> jobs)
      : data_(data), setting_(setting), jobs_(std::move(jobs)) {
    for (const Job& job : jobs_) total_ += setting.steps * (job.has_match || job.method.kind == "replay" ? 2 : 1);
  }

  std::vector<Run> all(int threads) {
    std::vector<std::thread> team;
    for (int i = 0; i < threads; ++i) team.emplace_back([this] { work(); });
    for (std::thread& thread : team) thread.join();
    if (failure_) std::rethrow_exception(failure_);
    return std::move(runs_);
  }

 private:
  void work() {
    for (size_t i; (i = next_++) < jobs_.size();) {
      try {
        finish(jobs_[i]);
      } catch (...) {
        std::lock_guard<std::mutex> lock(mutex_);
        failure_ = std::current_exception();
        next_ = jobs_.size();
      }
    }
  }

  void finish(const Job& job) {
    const Method& m = job.method;
    Run run;
    if (m.kind == "replay") {
      std::vector<double> lambda = constant({"swd", m.strength}, job.seed + kOtherSeed, m.strength).lambda;
      run = one(m, job.seed, [&](int step, double) { return lambda[static_cast<size_t>(step)]; });
    } else if (m.kind == "adamc") {
      run = one(m, job.seed, [&](int, double factor) { return m.strength * factor; });
    } else {
      run = constant(m, job.seed, m.strength);
    }
    if (job.has_match) keep(constant({"matched", m.strength}, job.seed, run.mean_lambda));
    keep(std::move(run));
  }

  Run constant(const Method& method, int seed, double weight_decay) {
    return one(method, seed, [=](int, double) { return weight_decay; });
  }

  Run one(const Method& method, int seed, const Decay& decay) {
    return train(data_, setting_, method, seed, decay, [this] {
      int done = ++done_;
      if (done % 100 != 0 && done != total_) return;
      std::lock_guard<std::mutex> lock(mutex_);
      std::printf("progress %d %d\n", done, total_);
      std::fflush(stdout);
    });
  }

  void keep(Run run) {
    std::lock_guard<std::mutex> lock(mutex_);
    runs_.push_back(std::move(run));
  }

  const Data& data_;
  const Setting& setting_;
  std::vector<Job> jobs_;
  int total_ = 0;
  std::atomic<size_t> next_{0};
  std::atomic<int> done_{0};
  std::mutex mutex_;
  std::vector<Run> runs_;
  std::exception_ptr failure_;
};

}  // namespace

const std::vector<std::string> kDefaultRuns{"adamw:0",      "adamw:0.3",  "adamw:1",      "swd:0.01",
                                            "swd:0.03",     "swd:0.06",   "matched:0.01", "matched:0.03",
                                            "matched:0.06", "relative:1", "l2:0.01"};
const std::vector<std::string> kQuickRuns{"adamw:0", "adamw:1", "swd:0.03", "matched:0.03", "l2:0.01"};

std::vector<Method> parse_runs(const std::vector<std::string>& names) {
  std::vector<Method> methods;
  for (const std::string& name : names) {
    size_t colon = name.find(':'), used = 0;
    Method method{name.substr(0, colon), -1.0};
    try {
      if (colon != std::string::npos) method.strength = std::stod(name.substr(colon + 1), &used);
    } catch (const std::exception&) {
      used = 0;
    }
    if (kKinds.count(method.kind) == 0 || used == 0 || colon + 1 + used != name.size() || !(method.strength >= 0) ||
        method.strength > 1e6) {
      throw std::runtime_error("--runs: " + name +
                               " is not KIND:STRENGTH with one of the kinds adamw, swd, relative, l2, "
                               "adamc, matched, replay and a strength of 0 to 1e6");
    }
    methods.push_back(method);
  }
  for (const Method& method : methods) {
    auto same = [&](const char* kind) {
      return std::count_if(methods.begin(), methods.end(), [&](const Method& other) {
        return other.kind == kind && other.strength == method.strength;
      });
    };
    if (same(method.kind.c_str()) > 1)
      throw std::runtime_error("--runs: " + method.kind + " is there twice at one strength");
    if (method.kind == "matched" && same("swd") == 0) {
      throw std::runtime_error("--runs: a matched run without its swd run, at one strength");
    }
  }
  return methods;
}

std::vector<Run> run_all(const Data& data, const Setting& setting, const std::vector<Method>& methods,
                         const std::vector<int>& seeds, int threads) {
  std::vector<Job> jobs;
  for (int seed : seeds) {
    for (const Method& m : methods) {
      if (m.kind == "matched") continue;
      jobs.push_back({m, seed, m.kind == "swd" && std::any_of(methods.begin(), methods.end(), [&](const Method& other) {
                                 return other.kind == "matched" && other.strength == m.strength;
                               })});
    }
  }
  std::stable_sort(jobs.begin(), jobs.end(), [](const Job& a, const Job& b) { return a.has_match > b.has_match; });
  std::vector<Run> runs = Workers(data, setting, jobs).all(threads);
  std::sort(runs.begin(), runs.end(), [](const Run& a, const Run& b) {
    return std::tie(a.method.kind, a.method.strength, a.seed) < std::tie(b.method.kind, b.method.strength, b.seed);
  });
  return runs;
}

}  // namespace images
