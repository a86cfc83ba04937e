// SPDX-License-Identifier: Apache-2.0
// Trains the same character model from the same weights on the same batches with AdamS, AdamW and Adam with L2, each at
// the best of a few strengths. Prints progress as "progress DONE TOTAL" lines, and writes curves and results as JSON.
// Run through run.py.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>
#include <iostream>

#include "flat_optimizer.h"
#include "model.h"
#include "text.h"

namespace charlm {
namespace {

struct Options {
  std::vector<std::string> files;
  std::string output = "charlm.json", backend = "auto";
  int steps = 12000, trial_steps = 1500, hidden = 96, batch = 128;
  uint64_t seed = 1;
  double lr = 3e-3, max_grad_norm = 1.0;
  std::vector<double> adamw_strengths{0.01, 0.1, 1.0};  // AdamS gets these times a typical sqrt(vbar)
  std::vector<double> l2_strengths{1e-5, 1e-4, 1e-3};
  bool check_gradients = false;
};

struct Run {
  std::string name;
  double strength = 0.0, train_loss = 0.0, validation_loss = 0.0, last_norm = 0.0, lambda_eff = 0.0, step_us = 0.0;
  std::vector<double> loss, norm, lambda;
};

class Trainer {
 public:
  Trainer(const Options& options, Text text, bool cuda, int total)
      : o_(options), text_(std::move(text)), cuda_(cuda), total_(total) {}

  Run train(const char* name, swd_decay decay, double strength, int steps) {
    Model model(text_.alphabet, o_.hidden, o_.seed);
    example::FlatOptimizer optimizer(
        model, [](const Tensor& t) { return t.decays; }, decay, cuda_);
    std::mt19937_64 random(o_.seed + 1);
    Run run;
    run.name = name;
    run.strength = strength;
    for (int step = 0; step < steps; ++step) {
      double lr = o_.lr * (step < steps / 2 ? 1.0 : step < steps * 3 / 4 ? 0.1 : 0.01);  // drops by 10, twice
      run.loss.push_back(model.loss(text_.train, sample(text_.train, random), true));
      double lambda = 0.0;
      run.norm.push_back(optimizer.step(lr, strength, o_.max_grad_norm, &lambda).grad_norm);
      run.lambda.push_back(lambda);
      if (++done_ % 25 == 0) std::printf("progress %d %d\n", done_, total_), std::fflush(stdout);
    }
    size_t tenth = std::max<size_t>(1, run.norm.size() / 10);
    for (size_t i = run.norm.size() - tenth; i < run.norm.size(); ++i)
      run.last_norm += run.norm[i] / static_cast<double>(tenth);
    run.train_loss = mean_loss(model, text_.train);
    run.validation_loss = mean_loss(model, text_.validation);
    run.lambda_eff = run.lambda.back();
    run.step_us = 1e6 * optimizer.seconds / steps;
    return run;
  }

 private:
  std::vector<int64_t> sample(const std::vector<uint8_t>& text, std::mt19937_64& random) const {
    std::vector<int64_t> at(static_cast<size_t>(o_.batch));
    for (int64_t& i : at) i = static_cast<int64_t>(random() % (text.size() - kContext));
    return at;
  }
  double mean_loss(Model& model, const std::vector<uint8_t>& text) const {
    std::mt19937_64 random(99);  // the same places for every run
    double sum = 0.0;
    for (int i = 0; i < 40; ++i) sum += model.loss(text, sample(text, random), false) / 40;
    return sum;
  }
  const Options& o_;
  Text text_;
  bool cuda_;
  int total_, done_ = 0;
};

// Largest relative difference between the backpropagated gradient and central differences.
double gradient_error() {
  Model model(11, 7, 5);
  std::vector<uint8_t> text;
  for (int i = 0; i < 60; ++i) text.push_back(static_cast<uint8_t>(i * i % 11));
  std::vector<int64_t> at{0, 3, 9, 20, 31};
  model.loss(text, at, true);
  std::vector<float> grad = model.grad;
  double worst = 0.0;
  for (size_t i = 0; i < grad.size(); i += 3) {
    float old = model.param[i];
    model.param[i] = old + 1e-2f;
    double up = model.loss(text, at, false);
    model.param[i] = old - 1e-2f;
    double down = model.loss(text, at, false);
    model.param[i] = old;
    worst = std::max(worst, std::fabs((up - down) / 2e-2 - static_cast<double>(grad[i])));
  }
  return worst;
}

void write_curve(std::ostream& out, const char* key, const std::vector<double>& values) {
  out << ", \"" << key << "\": [";
  for (size_t i = 0; i < values.size(); ++i) out << (i ? "," : "") << values[i];
  out << "]";
}

void write(const Options& o, bool cuda, size_t bytes, const std::vector<Run>& tried, const std::vector<Run>& runs) {
  std::ofstream out(o.output);
  out << "{\"backend\": \"" << (cuda ? "cuda" : "cpu") << "\", \"text_bytes\": " << bytes << ", \"tried\": [";
  for (size_t i = 0; i < tried.size(); ++i) {
    out << (i ? ", " : "") << "{\"name\": \"" << tried[i].name << "\", \"strength\": " << tried[i].strength
        << ", \"validation_loss\": " << tried[i].validation_loss << "}";
  }
  out << "], \"runs\": [";
  for (size_t i = 0; i < runs.size(); ++i) {
    const Run& r = runs[i];
    out << (i ? ", " : "") << "{\"name\": \"" << r.name << "\", \"strength\": " << r.strength
        << ", \"train_loss\": " << r.train_loss << ", \"validation_loss\": " << r.validation_loss
        << ", \"last_norm\": " << r.last_norm << ", \"lambda_eff\": " << r.lambda_eff << ", \"step_us\": " << r.step_us;
    write_curve(out, "loss", r.loss);
    write_curve(out, "norm", r.norm);
    write_curve(out, "lambda", r.lambda);
    out << "}";
  }
  out << "]}\n";
  if (!out.flush()) throw std::runtime_error("cannot write " + o.output);
}

int run(const Options& o) {
  Text text = read_text(o.files);
  bool cuda = example::pick_cuda(o.backend);
  size_t bytes = text.train.size() + text.validation.size();
  // vbar of this model, clipped, is near max_grad_norm^2 / n: scheduled strengths in gradient units from AdamW's.
  Model sized(text.alphabet, o.hidden, o.seed);
  double vbar = o.max_grad_norm * o.max_grad_norm / static_cast<double>(sized.param.size());
  std::vector<double> scheduled;
  for (double w : o.adamw_strengths) scheduled.push_back(swd_weight_decay_from_adamw(w, vbar));
  struct Kind {
    const char* name;
    swd_decay decay;
    const std::vector<double>& strengths;
  } kinds[] = {{"AdamS", SWD_DECAY_SCHEDULED, scheduled},
               {"AdamW", SWD_DECAY_DECOUPLED, o.adamw_strengths},
               {"Adam + L2", SWD_DECAY_L2, o.l2_strengths}};
  int total = 3 * o.steps;
  for (const Kind& kind : kinds) total += static_cast<int>(kind.strengths.size()) * o.trial_steps;
  Trainer trainer(o, std::move(text), cuda, total);
  std::vector<Run> tried, runs;
  for (const Kind& kind : kinds) {
    size_t first = tried.size(), best = first;
    for (double strength : kind.strengths) {
      tried.push_back(trainer.train(kind.name, kind.decay, strength, o.trial_steps));
      if (tried.back().validation_loss < tried[best].validation_loss) best = tried.size() - 1;
    }
    runs.push_back(trainer.train(kind.name, kind.decay, tried[best].strength, o.steps));
  }
  write(o, cuda, bytes, tried, runs);
  return 0;
}

}  // namespace
}  // namespace charlm

int main(int argc, char** argv) {
  charlm::Options o;
  CLI::App app{"Trains a character-level language model with AdamS, AdamW and Adam with L2 through libswd"};
  app.add_option("files", o.files, "text files");
  app.add_option("--output", o.output, "JSON file for curves and results");
  app.add_option("--backend", o.backend, "auto, cpu or cuda")->check(CLI::IsMember({"auto", "cpu", "cuda"}));
  app.add_option("--steps", o.steps, "steps of each run")->check(CLI::Range(10, 1000000));
  app.add_option("--trial-steps", o.trial_steps, "steps of each trial of a strength")->check(CLI::Range(10, 1000000));
  app.add_option("--hidden", o.hidden, "hidden units")->check(CLI::Range(1, 8192));
  app.add_option("--seed", o.seed, "seed of weights and batches");
  app.add_option("--strengths", o.adamw_strengths, "weight decays to try, in AdamW's units");
  app.add_flag("--check-gradients", o.check_gradients, "compare backpropagation with finite differences and exit");
  CLI11_PARSE(app, argc, argv);
  try {
    if (!o.check_gradients) return charlm::run(o);
    double error = charlm::gradient_error();
    std::printf("largest difference from central differences: %.2e\n", error);
    return error < 1e-3 ? 0 : 1;
  } catch (const std::exception& e) {
    std::cerr << "charlm: " << e.what() << "\n";
    return 1;
  }
}
