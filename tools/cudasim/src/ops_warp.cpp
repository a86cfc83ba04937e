// SPDX-License-Identifier: Apache-2.0
// Warp-synchronous operations, special registers, register packing.
#include <time.h>

#include <algorithm>
#include <cmath>

#include "fpbits.h"
#include "lanes.h"

namespace cs {

namespace {

void putPred(Ctx& c, uint32_t ref, uint32_t m, uint32_t v) {
  if (ref == kNoRef) return;
  uint32_t* d = R<uint32_t>(c, ref);
  *d = (*d & ~m) | (v & m);
}

// imm: 0 up 1 down 2 bfly 3 idx
void hShfl(Ctx& c, const Op& op, uint32_t m) {
  const uint32_t* a = R<uint32_t>(c, op.a);
  const uint32_t* b = R<uint32_t>(c, op.b);
  const uint32_t* cl = R<uint32_t>(c, op.c);
  uint32_t src[32], p = 0;
  memcpy(src, a, sizeof src);
  uint32_t* d = op.d != kNoRef ? R<uint32_t>(c, op.d) : nullptr;
  for (uint32_t q = m; q; q &= q - 1) {
    int lane = firstLane(q);
    int bv = (int)(b[lane] & 31), cv = (int)(cl[lane] & 31), seg = (int)((cl[lane] >> 8) & 31);
    int maxLane = (lane & seg) | (cv & ~seg & 31), minLane = lane & seg, j = lane;
    bool ok = false;
    switch (op.imm) {
      case 0:
        j = lane - bv;
        ok = j >= maxLane;
        break;
      case 1:
        j = lane + bv;
        ok = j <= maxLane;
        break;
      case 2:
        j = lane ^ bv;
        ok = j <= maxLane;
        break;
      default:
        j = minLane | (bv & ~seg & 31);
        ok = j <= maxLane;
        break;
    }
    if (!ok) j = lane;
    if (d) d[lane] = src[j & 31];
    p |= (uint32_t)ok << lane;
  }
  putPred(c, op.d2, m, p);
  if (c.race) raceWarpSync(c, m, false);
}

// imm: 0 all 1 any 2 uni 3 ballot; a: predicate (F_NEG negated); e: member mask
void hVote(Ctx& c, const Op& op, uint32_t m) {
  uint32_t p = *R<uint32_t>(c, op.a);
  if (op.flags & F_NEG) p = ~p;
  const uint32_t* mm = op.e != kNoRef ? R<uint32_t>(c, op.e) : nullptr;
  uint32_t res = 0;
  for (uint32_t q = m; q; q &= q - 1) {
    int i = firstLane(q);
    uint32_t grp = (mm ? mm[i] : kFull) & m, v = p & grp;
    switch (op.imm) {
      case 0:
        res |= (uint32_t)(v == grp) << i;
        break;
      case 1:
        res |= (uint32_t)(v != 0) << i;
        break;
      case 2:
        res |= (uint32_t)(v == 0 || v == grp) << i;
        break;
      default:
        R<uint32_t>(c, op.d)[i] = v;
        break;
    }
  }
  if (op.imm != 3) putPred(c, op.d, m, res);
  if (c.race) raceWarpSync(c, m, false);
}

// imm: 0 any 1 all; esize 4/8
void hMatch(Ctx& c, const Op& op, uint32_t m) {
  const uint32_t* mm = R<uint32_t>(c, op.e);
  auto val = [&](int i) -> uint64_t { return op.esize == 8 ? R<uint64_t>(c, op.a)[i] : R<uint32_t>(c, op.a)[i]; };
  uint32_t p = 0, out[32];
  for (uint32_t q = m; q; q &= q - 1) {
    int i = firstLane(q);
    uint32_t grp = mm[i] & m, same = 0;
    for (uint32_t k = grp; k; k &= k - 1)
      if (val(firstLane(k)) == val(i)) same |= 1u << firstLane(k);
    if (op.imm == 0)
      out[i] = same;
    else {
      out[i] = same == grp ? grp : 0;
      p |= (uint32_t)(same == grp) << i;
    }
  }
  if (op.d != kNoRef)
    for (uint32_t q = m; q; q &= q - 1) R<uint32_t>(c, op.d)[firstLane(q)] = out[firstLane(q)];
  if (op.imm == 1) putPred(c, op.d2, m, p);
  if (c.race) raceWarpSync(c, m, false);
}

// imm: 0 add 1 min.u 2 max.u 3 min.s 4 max.s 5 and 6 or 7 xor 8 fmin 9 fmax (+16 abs, +32 NaN)
void hRedux(Ctx& c, const Op& op, uint32_t m) {
  const uint32_t* a = R<uint32_t>(c, op.a);
  const uint32_t* mm = R<uint32_t>(c, op.e);
  uint32_t in[32];
  memcpy(in, a, sizeof in);
  for (uint32_t q = m; q; q &= q - 1) {
    int i = firstLane(q);
    uint32_t grp = mm[i] & m;
    uint32_t r = in[firstLane(grp)];
    bool sawNan = false;
    auto fl = [&](uint32_t u) {
      float f = bitsf(u);
      return op.imm & 16 ? std::fabs(f) : f;
    };
    if ((op.imm & 15) >= 8) {
      r = fbits(fl(r));
      sawNan = fl(r) != fl(r);
    }
    for (uint32_t k = grp & (grp - 1); k; k &= k - 1) {
      uint32_t v = in[firstLane(k)];
      switch (op.imm & 15) {
        case 0:
          r += v;
          break;
        case 1:
          r = std::min(r, v);
          break;
        case 2:
          r = std::max(r, v);
          break;
        case 3:
          r = (uint32_t)std::min((int32_t)r, (int32_t)v);
          break;
        case 4:
          r = (uint32_t)std::max((int32_t)r, (int32_t)v);
          break;
        case 5:
          r &= v;
          break;
        case 6:
          r |= v;
          break;
        case 7:
          r ^= v;
          break;
        case 8:
        case 9: {
          float x = bitsf(r), y = fl(v);
          if (y != y) sawNan = true;
          if (x != x)
            r = fbits(y);
          else if (y == y)
            r = fbits((op.imm & 15) == 8 ? std::min(x, y) : std::max(x, y));
          break;
        }
      }
    }
    if ((op.imm & 15) >= 8 && ((op.imm & 32 && sawNan) || bitsf(r) != bitsf(r))) r = 0x7fffffff;
    R<uint32_t>(c, op.d)[i] = r;
  }
  if (c.race) raceWarpSync(c, m, false);
}
void hElect(Ctx& c, const Op& op, uint32_t m) {
  const uint32_t* mm = R<uint32_t>(c, op.e);
  uint32_t p = 0;
  for (uint32_t q = m; q; q &= q - 1) {
    int i = firstLane(q);
    int lead = firstLane(mm[i] & m);
    if (op.d != kNoRef) R<uint32_t>(c, op.d)[i] = (uint32_t)lead;
    p |= (uint32_t)(lead == i) << i;
  }
  putPred(c, op.d2, m, p);
  if (c.race) raceWarpSync(c, m, false);
}
void hActive(Ctx& c, const Op& op, uint32_t m) {
  for (uint32_t q = m; q; q &= q - 1) R<uint32_t>(c, op.d)[firstLane(q)] = m;
}
void hBarWarp(Ctx& c, const Op&, uint32_t m) {
  if (c.race) raceWarpSync(c, m, true);
}
void hLaunchDep(Ctx& c, const Op&, uint32_t) {
  if (!c.blk->triggered) {
    c.blk->triggered = true;
    c.g->triggeredBlocks++;
    c.g->progress++;
  }
}

// ---- special registers
enum SR { S_TIDX, S_TIDY, S_TIDZ, S_UNIFORM32, S_LANE, S_LMEQ, S_LMLE, S_LMLT, S_LMGE, S_LMGT };
struct SrDef {
  const char* name;
  int id;
};
enum Uni {
  U_NTIDX,
  U_NTIDY,
  U_NTIDZ,
  U_CTAX,
  U_CTAY,
  U_CTAZ,
  U_NCTAX,
  U_NCTAY,
  U_NCTAZ,
  U_WARP,
  U_NWARP,
  U_SM,
  U_NSM,
  U_GRID,
  U_CLOCK,
  U_CLOCKHI,
  U_CLOCK64,
  U_GT,
  U_GTLO,
  U_GTHI,
  U_DYN,
  U_TOT,
  U_ENV,
  U_CLID,
  U_CLIDY,
  U_CLIDZ,
  U_NCLX,
  U_NCLY,
  U_NCLZ,
  U_CCX,
  U_CCY,
  U_CCZ,
  U_NCCX,
  U_NCCY,
  U_NCCZ,
  U_CRANK,
  U_NCRANK,
  U_EXPL,
  U_RSV,
  U_ZERO
};

void hSregLane(Ctx& c, const Op& op, uint32_t m) {
  for (uint32_t q = m; q; q &= q - 1) {
    int i = firstLane(q);
    uint32_t v = 0;
    switch (op.imm) {
      case S_TIDX:
        v = c.w->tid[0][i];
        break;
      case S_TIDY:
        v = c.w->tid[1][i];
        break;
      case S_TIDZ:
        v = c.w->tid[2][i];
        break;
      case S_LANE:
        v = (uint32_t)i;
        break;
      case S_LMEQ:
        v = 1u << i;
        break;
      case S_LMLT:
        v = (1u << i) - 1;
        break;
      case S_LMLE:
        v = ((1u << i) - 1) | 1u << i;
        break;
      case S_LMGT:
        v = ~(((1u << i) - 1) | 1u << i);
        break;
      case S_LMGE:
        v = ~((1u << i) - 1);
        break;
    }
    if (op.esize == 8)
      R<uint64_t>(c, op.d)[i] = v;
    else if (op.esize == 2)
      R<uint16_t>(c, op.d)[i] = (uint16_t)v;
    else
      R<uint32_t>(c, op.d)[i] = v;
  }
}
uint64_t nowNs() {
  struct timespec ts;
  clock_gettime(CLOCK_REALTIME, &ts);
  return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}
void hSregUni(Ctx& c, const Op& op, uint32_t m) {
  uint64_t v = 0;
  GridRun& g = *c.g;
  Block& b = *c.blk;
  auto& lp = g.lp;
  switch (op.imm & 255) {
    case U_NTIDX:
      v = lp.block[0];
      break;
    case U_NTIDY:
      v = lp.block[1];
      break;
    case U_NTIDZ:
      v = lp.block[2];
      break;
    case U_CTAX:
      v = b.ctaid[0];
      break;
    case U_CTAY:
      v = b.ctaid[1];
      break;
    case U_CTAZ:
      v = b.ctaid[2];
      break;
    case U_NCTAX:
      v = lp.grid[0];
      break;
    case U_NCTAY:
      v = lp.grid[1];
      break;
    case U_NCTAZ:
      v = lp.grid[2];
      break;
    case U_WARP:
      v = (uint64_t)c.w->id;
      break;
    case U_NWARP:
      v = b.warps.size();
      break;
    case U_SM:
      v = b.smid;
      break;
    case U_NSM:
      v = (uint64_t)config().sms;
      break;
    case U_GRID:
      v = g.gridId;
      break;
    case U_CLOCK:
    case U_CLOCK64:
      v = g.warpInstrs + c.w->instrs;
      break;
    case U_CLOCKHI:
      v = (g.warpInstrs + c.w->instrs) >> 32;
      break;
    case U_GT:
      v = nowNs();
      break;
    case U_GTLO:
      v = nowNs() & 0xffffffffu;
      break;
    case U_GTHI:
      v = nowNs() >> 32;
      break;
    case U_DYN:
      v = lp.dynShared;
      break;
    case U_TOT:
      v = b.sharedSize;
      break;
    case U_ENV: {
      int n = (int)(op.imm >> 8);
      uint64_t ws = g.workspace ? g.workspace->start : 0;
      v = n == 1 ? ws >> 32 : n == 2 ? ws & 0xffffffffu : 0;
      break;
    }
    case U_CLID:
      v = b.ctaid[0] / lp.cluster[0];
      break;
    case U_CLIDY:
      v = b.ctaid[1] / lp.cluster[1];
      break;
    case U_CLIDZ:
      v = b.ctaid[2] / lp.cluster[2];
      break;
    case U_NCLX:
      v = lp.grid[0] / lp.cluster[0];
      break;
    case U_NCLY:
      v = lp.grid[1] / lp.cluster[1];
      break;
    case U_NCLZ:
      v = lp.grid[2] / lp.cluster[2];
      break;
    case U_CCX:
      v = b.ctaid[0] % lp.cluster[0];
      break;
    case U_CCY:
      v = b.ctaid[1] % lp.cluster[1];
      break;
    case U_CCZ:
      v = b.ctaid[2] % lp.cluster[2];
      break;
    case U_NCCX:
      v = lp.cluster[0];
      break;
    case U_NCCY:
      v = lp.cluster[1];
      break;
    case U_NCCZ:
      v = lp.cluster[2];
      break;
    case U_CRANK:
      v = b.clusterRank;
      break;
    case U_NCRANK:
      v = (uint64_t)lp.cluster[0] * lp.cluster[1] * lp.cluster[2];
      break;
    case U_EXPL:
      v = lp.cluster[0] * lp.cluster[1] * lp.cluster[2] > 1;
      break;
    case U_RSV:
      v = kSharedBase;
      break;
    default:
      v = 0;
  }
  if ((op.imm & 255) == U_EXPL && op.esize == 1) {
    putPred(c, op.d, m, v ? kFull : 0);
    return;
  }
  for (uint32_t q = m; q; q &= q - 1) {
    int i = firstLane(q);
    if (op.esize == 8)
      R<uint64_t>(c, op.d)[i] = v;
    else if (op.esize == 2)
      R<uint16_t>(c, op.d)[i] = (uint16_t)v;
    else
      R<uint32_t>(c, op.d)[i] = (uint32_t)v;
  }
}
const SrDef kUni[] = {{"%ntid.x", U_NTIDX},
                      {"%ntid.y", U_NTIDY},
                      {"%ntid.z", U_NTIDZ},
                      {"%ctaid.x", U_CTAX},
                      {"%ctaid.y", U_CTAY},
                      {"%ctaid.z", U_CTAZ},
                      {"%nctaid.x", U_NCTAX},
                      {"%nctaid.y", U_NCTAY},
                      {"%nctaid.z", U_NCTAZ},
                      {"%warpid", U_WARP},
                      {"%nwarpid", U_NWARP},
                      {"%smid", U_SM},
                      {"%nsmid", U_NSM},
                      {"%gridid", U_GRID},
                      {"%clock", U_CLOCK},
                      {"%clock_hi", U_CLOCKHI},
                      {"%clock64", U_CLOCK64},
                      {"%globaltimer", U_GT},
                      {"%globaltimer_lo", U_GTLO},
                      {"%globaltimer_hi", U_GTHI},
                      {"%dynamic_smem_size", U_DYN},
                      {"%total_smem_size", U_TOT},
                      {"%aggr_smem_size", U_TOT},
                      {"%clusterid.x", U_CLID},
                      {"%clusterid.y", U_CLIDY},
                      {"%clusterid.z", U_CLIDZ},
                      {"%nclusterid.x", U_NCLX},
                      {"%nclusterid.y", U_NCLY},
                      {"%nclusterid.z", U_NCLZ},
                      {"%cluster_ctaid.x", U_CCX},
                      {"%cluster_ctaid.y", U_CCY},
                      {"%cluster_ctaid.z", U_CCZ},
                      {"%cluster_nctaid.x", U_NCCX},
                      {"%cluster_nctaid.y", U_NCCY},
                      {"%cluster_nctaid.z", U_NCCZ},
                      {"%cluster_ctarank", U_CRANK},
                      {"%cluster_nctarank", U_NCRANK},
                      {"%is_explicit_cluster", U_EXPL},
                      {"%reserved_smem_offset_begin", U_ZERO},
                      {"%reserved_smem_offset_end", U_RSV},
                      {"%reserved_smem_offset_cap", U_RSV},
                      {"%reserved_smem_offset_1", U_RSV},
                      {"%current_graph_exec", U_ZERO}};
const SrDef kLane[] = {{"%tid.x", S_TIDX},       {"%tid.y", S_TIDY},       {"%tid.z", S_TIDZ},
                       {"%laneid", S_LANE},      {"%lanemask_eq", S_LMEQ}, {"%lanemask_le", S_LMLE},
                       {"%lanemask_lt", S_LMLT}, {"%lanemask_ge", S_LMGE}, {"%lanemask_gt", S_LMGT}};

// pack: d = {ext[0..n)} of esize bytes each; unpack: the reverse
template <bool PACK>
void hPack(Ctx& c, const Op& op, uint32_t m) {
  int total = op.esize * op.n;
  for (uint32_t q = m; q; q &= q - 1) {
    int i = firstLane(q);
    char buf[16];
    char* whole = c.base[(PACK ? op.d : op.a) & 1] + ((PACK ? op.d : op.a) & ~1u) + (size_t)i * total;
    if (!PACK) memcpy(buf, whole, (size_t)total);
    for (int j = 0; j < op.n; j++) {
      if (op.ext[j] == kNoRef) continue;
      char* e = c.base[op.ext[j] & 1] + (op.ext[j] & ~1u) + (size_t)i * op.esize;
      if (PACK)
        memcpy(buf + j * op.esize, e, op.esize);
      else
        memcpy(e, buf + j * op.esize, op.esize);
    }
    if (PACK) memcpy(whole, buf, (size_t)total);
  }
}

}  // namespace

// Special register by name: handler and immediate. Null if unknown.
Handler sregHandler(std::string_view name, int64_t& imm) {
  for (auto& s : kLane)
    if (name == s.name) {
      imm = s.id;
      return hSregLane;
    }
  for (auto& s : kUni)
    if (name == s.name) {
      imm = s.id;
      return hSregUni;
    }
  if (name.substr(0, 7) == "%envreg") {
    imm = U_ENV | (int64_t)atoi(std::string(name.substr(7)).c_str()) << 8;
    return hSregUni;
  }
  if (name.substr(0, 3) == "%pm") {
    imm = U_ZERO;
    return hSregUni;
  }
  return nullptr;
}

Handler warpHandler(const std::string& n) {
  static const std::unordered_map<std::string, Handler> t = {
      {"shfl", hShfl},       {"vote", hVote},         {"match", hMatch},      {"redux", hRedux},
      {"elect", hElect},     {"activemask", hActive}, {"bar.warp", hBarWarp}, {"launchdep", hLaunchDep},
      {"pack", hPack<true>}, {"unpack", hPack<false>}};
  auto it = t.find(n);
  return it == t.end() ? nullptr : it->second;
}

}  // namespace cs
