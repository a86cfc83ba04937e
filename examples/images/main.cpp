// SPDX-License-Identifier: Apache-2.0
// Trains a small image network with AdamW, SWD and L2 at several strengths and seeds, AdamW also at the same total
// decay as each SWD, and writes the results as JSON. Run by scripts/demo.sh through run.py, and by experiments/.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <map>
#include <numeric>
#include <thread>

#include "flat_optimizer.h"
#include "jobs.h"
#include "report.h"

namespace {

struct Options {
  std::string data, output = "images.json", backend = "auto";
  std::vector<std::string> runs = images::kDefaultRuns;
  images::Sizes sizes;
  images::Setting setting;
  double label_noise = 0.0;
  int seeds = 3, first_seed = 0, threads = 0;
  bool quick = false, no_norm = false;
};

void add_options(CLI::App& app, Options& o) {
  const std::map<std::string, images::Schedule> schedules{
      {"steps", images::Schedule::kSteps}, {"cosine", images::Schedule::kCosine}, {"wsd", images::Schedule::kWsd}};
  app.add_option("--data", o.data, "folder with the four idx files of MNIST or its kin; without: generated glyphs");
  app.add_option("--output", o.output, "JSON file for the results");
  app.add_option("--backend", o.backend, "auto, cpu or cuda, of libswd's part")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}));
  app.add_option("--runs", o.runs, "KIND:STRENGTH ...; see jobs.h");
  app.add_option("--seeds", o.seeds, "how many seeds")->check(CLI::Range(1, 1000));
  app.add_option("--first-seed", o.first_seed, "the first of them")->check(CLI::Range(0, 1000000));
  app.add_option("--steps", o.setting.steps, "steps of each run")->check(CLI::Range(20, 10000000));
  app.add_option("--batch", o.setting.batch, "images of a batch")->check(CLI::Range(2, 10000));
  app.add_option("--lr", o.setting.lr, "first learning rate")->check(CLI::Range(0.0, 1.0));
  app.add_option("--schedule", o.setting.schedule, "steps (divided by 10 at 40 % and 80 %), cosine or wsd")
      ->transform(CLI::CheckedTransformer(schedules));
  app.add_option("--train", o.sizes.train, "training images")->check(CLI::Range(100, 1000000));
  app.add_option("--validation", o.sizes.validation, "validation images")->check(CLI::Range(1, 1000000));
  app.add_option("--test", o.sizes.test, "test images")->check(CLI::Range(1, 1000000));
  app.add_option("--label-noise", o.label_noise, "share of training labels drawn at random")
      ->check(CLI::Range(0.0, 1.0));
  app.add_option("--threads", o.threads, "runs at a time; 0: one per core")->check(CLI::Range(0, 1024));
  app.add_flag("--weights-only", o.setting.weights_only, "no decay of gains, shifts and biases");
  app.add_flag("--no-norm", o.no_norm, "a network without normalisation");
  app.add_flag("--quick", o.quick, "two seeds of five runs of 300 steps");
}

void be_quick(const CLI::App& app, Options& o) {
  auto is_default = [&](const char* name) { return app.count(name) == 0; };
  if (is_default("--runs")) o.runs = images::kQuickRuns;
  if (is_default("--seeds")) o.seeds = 2;
  if (is_default("--steps")) o.setting.steps = 300;
  if (is_default("--train")) o.sizes.train = 3000;
  if (is_default("--validation")) o.sizes.validation = 1000;
  if (is_default("--test")) o.sizes.test = 2000;
}

void run(Options& o) {
  std::vector<images::Method> methods = images::parse_runs(o.runs);
  if (o.setting.batch > o.sizes.train) throw std::runtime_error("--batch: more than the training images");
  o.setting.cuda = example::pick_cuda(o.backend);
  o.setting.has_norm = !o.no_norm;
  images::Data data = o.data.empty() ? images::make_glyphs(o.sizes) : images::read_images(o.data, o.sizes);
  images::standardise(data);
  images::add_label_noise(data, o.label_noise);
  std::vector<int> seeds(static_cast<size_t>(o.seeds));
  std::iota(seeds.begin(), seeds.end(), o.first_seed);
  int cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  std::vector<images::Run> runs = images::run_all(data, o.setting, methods, seeds, o.threads ? o.threads : cores);
  images::write_json(o.output, data, o.setting, o.label_noise, runs);
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  CLI::App app{"Trains a small image network with several kinds and strengths of weight decay through libswd"};
  add_options(app, o);
  CLI11_PARSE(app, argc, argv);
  try {
    if (o.quick) be_quick(app, o);
    run(o);
    return 0;
  } catch (const std::exception& e) {
    std::cerr << "images: " << e.what() << "\n";
    return 1;
  }
}
