// SPDX-License-Identifier: Apache-2.0
// A history: a sequence of public calls on a few worlds, chosen by bytes, each checked against the model. The test runs
// random ones, the fuzz target those of libFuzzer.
#pragma once
#include <string>

#include "world.h"

namespace swd::histories {

// What a program can make fail besides the library's arguments.
struct Faults {
  void (*fail_allocation)(int64_t k) = nullptr;  // the library's k-th next allocation; 0: none
  bool runtime = false;                          // CUDASIM_FAIL is listened to
};

class History {
 public:
  History(Input in, swd_backend backend, const Faults& faults, std::string* log);
  // Throws a Finding at the first thing that the model does not expect.
  void run();

 private:
  // history.cpp
  void next();
  void between_steps(World& w, uint32_t choice);
  void end();
  template <class F>
  bool made(World& w, const std::string& name, const F& call);
  void note(const World& w, const std::string& what);
  void check(World& w, const std::string& after, bool workspace_written = true);
  void check_statistics(World& w, const std::string& after);
  void refuse(World& w, swd_status got, swd_status wanted, const std::string& what);

  // history_pieces.cpp
  bool tables_complete(const World& w, uint32_t buffers) const;
  void fail(World& w);
  void step(World& w);
  void reduce(World& w, swd_phase phase, size_t first, size_t count);
  void fold(World& w, swd_phase phase, int where);
  void decide(World& w, swd_phase phase);
  void update(World& w);
  void whole_in_pieces(World& w);
  void interrupt(World& w);
  void committed(World& w, const std::vector<uint8_t>& taking_part, bool complete, const std::string& what);

  // history_state.cpp
  void new_batch(World& w);
  void discard(World& w);
  void initialise(World& w);
  void set_pointers(World& w, int buffer, const std::vector<uint8_t>& set);
  void set_all_pointers(World& w);
  void withdraw(World& w);
  void move(World& w);
  void rebuild(World& w);
  void copy_params(World& w);
  void convert(World& w);
  void edit_state(World& w);
  void blobs(World& w);
  void damage(World& w);

  // history_plans.cpp
  void change_plan(World& w);
  void remake_plan(World& w);
  void starve(World& w);
  void refused(World& w);
  void foreign(World& w);
  void record_add(World& w);

  // history_graphs.cpp
  void graph(World& w);

  Input in_;
  const Faults& faults_;
  std::string* log_;
  swd_backend backend_;
  std::vector<std::unique_ptr<World>> worlds_;
};

// Compares an applied or skipped step with the oracle in long double, from what `before` and `after` hold; for plans
// whose parameters and moments are fp32.
void check_by_oracle(const World& w, const std::vector<uint8_t>& before, const std::vector<uint8_t>& after,
                     const std::vector<uint8_t>& taking_part, const Statistics& got);

// Likewise a rebuild.
void check_sums(const World& w, const std::vector<uint8_t>& image, int64_t damaged_segment);

// A state image in host memory, aligned as the calls want it.
class HostImage {
 public:
  explicit HostImage(const uint8_t* bytes, uint64_t count) : blocks_(count / 16), count_(count) {
    memcpy(blocks_.data(), bytes, count);
  }
  uint8_t* data() { return reinterpret_cast<uint8_t*>(blocks_.data()); }
  uint64_t bytes() const { return count_; }

 private:
  struct alignas(16) Block {
    uint8_t bytes[16];
  };
  std::vector<Block> blocks_;
  uint64_t count_;
};

// Runs the history that the bytes are; false: `finding` says what went wrong, after which calls.
bool run_history(const uint8_t* bytes, size_t count, swd_backend backend, const Faults& faults, std::string& finding);

}  // namespace swd::histories
