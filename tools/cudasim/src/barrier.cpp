// SPDX-License-Identifier: Apache-2.0
// Barriers of a block: when one is complete, and what happens then. Called by the interpreter.
#include "exec.h"

namespace cs {

bool barrierComplete(const Block& b, const Barrier& bar) {
  if (bar.expected > 0) return bar.arrivedRounded >= bar.expected;
  return bar.arrivedLanes > 0 && bar.arrivedLanes >= b.aliveThreads;
}

void releaseBarrier(Block& b, int id) {
  Barrier& bar = b.bars[id];
  std::vector<int> warps;
  for (auto& wp : b.warps) {
    bool any = false;
    for (auto& g : wp->groups) {
      if (g.state != G_BAR || g.bar != id) continue;
      any = true;
      const Op& op = b.grid->k->code[(size_t)g.pc];
      const BarInfo& bi = *(const BarInfo*)op.info;
      if (bi.mode >= 2) {
        bool v = bi.mode == 3 ? bar.andAll : bar.orAny;
        if (bi.mode == 2) {
          uint32_t* d = (uint32_t*)(wp->regs + op.d);
          for (uint32_t q = g.mask; q; q &= q - 1) d[firstLane(q)] = (uint32_t)bar.popc;
        } else {
          uint32_t* d = (uint32_t*)(wp->regs + op.d);
          *d = (*d & ~g.mask) | (v ? g.mask : 0);
        }
      }
      g.pc++;
      g.state = G_RUN;
      acquireTake(*wp, g.mask, bar.known);
    }
    if (any) warps.push_back(wp->id);
  }
  if (config().racecheck) raceBarrier(b, bar, warps);
  bar.arrivedLanes = bar.arrivedRounded = bar.expected = bar.popc = 0;
  bar.andAll = true;
  bar.orAny = false;
  bar.known = nullptr;
  bar.phase++;
  b.grid->progress++;
}

void checkBarriers(Block& b) {
  for (int i = 0; i < 16; i++)
    if (b.bars[i].arrivedLanes > 0 && barrierComplete(b, b.bars[i])) releaseBarrier(b, i);
}

}  // namespace cs
