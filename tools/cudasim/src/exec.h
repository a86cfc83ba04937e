// SPDX-License-Identifier: Apache-2.0
// Execution model: decoded operations, warps, blocks, grids.
//
// A kernel is lowered to a flat array of `Op`. Registers of a warp live in one
// byte buffer; each register is an array of 32 lanes (2, 4, 8 or 16 bytes per
// lane) and a predicate is one 32-bit lane mask, so an operation is a short
// loop over lanes that the host compiler vectorizes. Constants are broadcast
// into a per-kernel pool with the same layout; bit 0 of an operand reference
// selects register file (0) or pool (1).
#pragma once
#include <array>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "common.h"
#include "memory.h"
#include "ptx.h"

namespace cs {

struct Ctx;
struct Op;
struct Kernel;
struct GridRun;
struct Block;
struct Warp;
class Module;

using Handler = void (*)(Ctx&, const Op&, uint32_t mask);

constexpr uint32_t kFull = 0xffffffffu;
constexpr uint32_t kNoRef = 0xffffffffu;

// Windows of the generic address space (real device addresses have a zero top byte).
constexpr uint64_t kSharedWin = 1ull << 56, kLocalWin = 2ull << 56, kParamWin = 3ull << 56, kFuncWin = 4ull << 56;
constexpr uint32_t kSharedBase = 1024;  // first valid shared address (system reserved below)
constexpr uint32_t kClusterShift = 20;  // shared::cluster address = (rank + 1) << 20 | address

enum Kind : uint8_t {
  K_SIMPLE,  // handler only
  K_BRA,
  K_BRX,
  K_CALL,
  K_CALLI,
  K_RET,
  K_EXIT,
  K_BAR,    // barrier.sync / arrive / red
  K_WSYNC,  // warp-synchronous (shfl, vote, match, redux, elect, bar.warp)
  K_SPIN,   // handler, and a hint that a loop around it may be a spin wait
  K_NANOSLEEP,
  K_GDWAIT,
  K_CLARRIVE,
  K_CLWAIT,
  K_TRIGGER,  // griddepcontrol.launch_dependents
};

enum Cls : uint8_t { C_INT, C_F32, C_F64, C_HALF, C_CVT, C_SFU, C_LDST, C_CTRL, C_SYNC, C_MOVE, C_COUNT };
const char* clsName(int c);

struct BarInfo {     // K_BAR details
  uint8_t mode = 0;  // 0 sync, 1 arrive, 2 red.popc, 3 red.and, 4 red.or
  bool aligned = true, hasCount = false, predNeg = false;
};

struct CallInfo {
  struct Copy {
    uint32_t src, dst, srcStride, dstStride, bytes;
    bool reg;  // copy of a register array instead of per-lane bytes
  };
  std::vector<Copy> args, rets;
  uint32_t frameLocal = 0;                                // local bytes of the calling function
  bool save = false;                                      // recursive edge: save register frames
  std::vector<std::pair<uint32_t, uint32_t>> saveRanges;  // (offset, bytes)
  uint32_t target = 0;                                    // register with the function address (indirect)
  std::string name;
};

struct Op {
  Handler fn = nullptr;
  uint32_t d = kNoRef, a = kNoRef, b = kNoRef, c = kNoRef;
  uint32_t d2 = kNoRef, e = kNoRef;
  int64_t imm = 0;
  uint32_t guard = kNoRef;
  int32_t target = -1;
  uint8_t kind = K_SIMPLE, guardNeg = 0, cls = C_INT, n = 1;
  uint8_t esize = 4;  // memory element bytes
  Space space = Space::Global;
  uint8_t addr32 = 0;             // address register is 32 bits wide
  uint8_t flags = 0;              // see F_* below
  const uint32_t* ext = nullptr;  // vector operands
  void* info = nullptr;           // BarInfo / CallInfo / branch table
  const Instr* src = nullptr;
};
// F_STRONG: relaxed/acquire/release access (not merely volatile)
enum : uint8_t {
  F_WRITE = 1,
  F_ATOMIC = 2,
  F_VOLATILE = 4,
  F_ACQUIRE = 8,
  F_RELEASE = 16,
  F_BARWARP = 32,
  F_STRONG = 64,
  F_NEG = 128,
};

struct Frame {  // call stack entry shared by the lanes of a group
  std::shared_ptr<Frame> parent;
  const Op* call;
  int32_t retPc;
  std::vector<char> saved;          // register frames of a recursive call
  std::shared_ptr<CallInfo> bound;  // indirect call: argument copies bound to the target
  uint32_t mask;
  const CallInfo* info() const { return bound ? bound.get() : (const CallInfo*)call->info; }
};

enum GState : uint8_t { G_RUN, G_WSYNC, G_BAR, G_GDWAIT, G_CLUSTER };

struct Group {  // lanes of a warp that share a program counter
  uint32_t mask = 0;
  int32_t pc = 0;
  int32_t depth = 0;
  GState state = G_RUN;
  int16_t bar = 0;
  uint32_t skipped = 0;  // fairness stamp
  std::shared_ptr<Frame> frame;
};

// Clocks of other blocks that a thread has acquired (acquire.cpp); most threads share one. nullptr: none.
using Known = std::shared_ptr<const std::unordered_map<uint32_t, uint32_t>>;

struct Warp {
  char* regs = nullptr;
  char* local = nullptr;
  uint32_t alive = 0, exists = 0;
  int id = 0;
  std::vector<Group> groups;
  uint32_t tid[3][32];
  uint32_t cc = 0;  // carry flags
  uint32_t stamp = 0;
  uint64_t spinCount = 0;
  uint64_t instrs = 0;
  // shared-memory race detector: vector clock of this warp and its warp-sync epoch
  std::vector<uint32_t> vc;
  std::vector<uint32_t> fenced;   // what a relaxed access publishes (clock at the last fence)
  std::vector<uint32_t> pending;  // observed by relaxed accesses, takes effect at the next fence
  uint32_t wepoch = 1;
  // strict race detector, per lane: what it acquired, and what it observed but has no fence behind (else empty)
  std::vector<Known> known, observed;
  uint64_t sleepUntil = 0;
  // cp.async: copies not yet performed, by commit group
  struct AsyncCopy {
    uint32_t lane;
    uint64_t dst, src;  // shared offset, global address
    uint32_t bytes, srcBytes;
    uint32_t group;
  };
  std::vector<AsyncCopy> async;
  uint32_t asyncGroup[32];  // groups committed so far, per lane
  uint32_t clTarget[32];    // cluster barrier phase each lane waits for
  uint64_t lastProgress = 0;
  bool finished() const { return alive == 0; }
};

struct Barrier {
  int arrivedLanes = 0, arrivedRounded = 0, expected = 0;
  int popc = 0;
  bool andAll = true, orAny = false;
  uint32_t phase = 0;
  std::vector<uint32_t> vc;
  Known known;  // of the threads that arrived
};

struct SharedRace {                    // shared-memory race detector state of one byte
  uint8_t wWarp, wLane, rWarp, rLane;  // warp + 1 (0 = none)
  uint8_t rAtomic, wAtomic;
  uint16_t pad;
  uint32_t wClock, wEpoch, rClock, rEpoch;
  int32_t wPc, rPc;
};

struct BulkCopy {  // cp.async.bulk not yet performed
  uint64_t dst, src;
  uint32_t bytes;
  bool toShared;  // global -> shared, else shared -> global
  uint64_t mbar;  // shared offset of the mbarrier (toShared)
  int warp, lane;
  uint32_t group;  // bulk_group number (shared -> global)
  Block* dstBlock;
  uint8_t reduce;  // 0 plain copy
};

struct Block {
  GridRun* grid = nullptr;
  uint32_t ctaid[3] = {0, 0, 0};
  uint64_t linear = 0;
  std::vector<std::unique_ptr<Warp>> warps;
  std::vector<char> shared;
  uint32_t sharedSize = 0;
  int threads = 0, aliveThreads = 0;
  Barrier bars[16];
  bool triggered = false;  // a thread issued launch_dependents
  bool parked = false;     // held back until every block has triggered
  int cluster = -1;
  uint32_t clusterRank = 0;
  std::vector<BulkCopy> bulk;
  std::unordered_map<uint32_t, uint32_t> bulkCommit;  // thread -> committed groups
  std::vector<SharedRace> race;
  std::unordered_map<uint32_t, std::vector<uint32_t>> mbarVc;
  std::unordered_map<uint32_t, Known> sharedKnown;  // what a location in shared memory hands on
  // global race detector: vector clock over blocks (sparse) and fence state
  std::unordered_map<uint32_t, uint32_t> gvc;      // block -> clock observed
  std::unordered_map<uint32_t, uint32_t> gfenced;  // what a release publishes
  std::unordered_map<uint32_t, uint32_t> grvc;     // like gvc, for ordering writes after reads
  uint32_t gclock = 1;
  uint32_t smid = 0;
  bool finished() const { return aliveThreads == 0; }
};

struct Cluster {
  std::vector<Block*> blocks;
  int arrived = 0, expected = 0;
  uint32_t phase = 0;
  int finished = 0;
  Known arriving, known;  // of the threads in the current and in the completed phase
};

struct LaunchStats {
  std::vector<uint64_t> opThreads, opWarps;
  uint64_t gLoadReq = 0, gLoadBytes = 0, gLoadSectors = 0, gLoadLines = 0;
  uint64_t gStoreReq = 0, gStoreBytes = 0, gStoreSectors = 0, gStoreLines = 0;
  uint64_t gAtomicReq = 0, gAtomics = 0, sAtomics = 0;
  uint64_t sLoadReq = 0, sStoreReq = 0, sConflicts = 0, sBytes = 0;
  uint64_t localReq = 0, localBytes = 0;
  uint64_t uniqueRead = 0, uniqueWritten = 0;
};

// One kernel launch in progress.
struct LaunchParams {
  std::shared_ptr<Kernel> kernel;
  uint32_t grid[3] = {1, 1, 1}, block[3] = {1, 1, 1}, cluster[3] = {1, 1, 1};
  uint32_t dynShared = 0;
  std::vector<char> params;
  bool cooperative = false, pdl = false;
  int device = 0;
};

struct GridRun {
  LaunchParams lp;
  Kernel* k = nullptr;
  uint64_t totalBlocks = 0, nextBlock = 0, finishedBlocks = 0, triggeredBlocks = 0;  // of those that run
  uint64_t leftOut = 0;  // blocks in the middle that never run (CUDASIM_ENDS)
  uint64_t gridId = 0;
  std::vector<uint64_t> order;  // empty: natural order
  std::vector<std::unique_ptr<Block>> resident;
  std::vector<std::unique_ptr<Cluster>> clusters;
  std::vector<char*> freeRegs;
  std::vector<char*> freeLocal;
  uint64_t progress = 0;  // bumped by every visible state change
  uint64_t idleRounds = 0;
  bool prior = true;            // all grids this one depends on are complete
  bool waited = false;          // a thread executed griddepcontrol.wait
  bool stalled = false;         // nothing can run before `prior` becomes true
  bool pauseOnTrigger = false;  // a programmatic dependent is waiting for the trigger
  uint32_t maxParked = 512;
  uint32_t maxEarly = 512;     // resident blocks admitted because all wait for the prior grids
  Alloc* workspace = nullptr;  // cooperative groups grid barrier
  LaunchStats st;
  std::unordered_map<Alloc*, Touched> touched;  // statistics: sectors used by this launch
  uint64_t warpInstrs = 0;
  uint32_t targetResident = 0;
  Rng rng{1};
  std::unordered_map<uint64_t, std::unordered_map<uint32_t, uint32_t>> atomVc, atomReadVc;
  bool touchesHost = false;  // accessed host-visible memory: another thread may answer
  double idleSince = 0;
  uint64_t raceReports = 0;
  double startTime = 0;
  explicit GridRun(LaunchParams p);
  ~GridRun();
  bool done() const { return finishedBlocks == totalBlocks; }
  bool allTriggered() const { return triggeredBlocks == totalBlocks; }
  // Runs resident blocks for one round. Returns false if nothing could run.
  bool step();
  void finishStats();
  std::string blockedReport();

 private:
  bool admit();
  void initBlock(Block& b, uint64_t linear);
  bool runBlock(Block& b);
  uint64_t mapBlock(uint64_t i);
};

struct Ctx {
  char* base[2];
  Warp* w;
  Block* blk;
  GridRun* g;
  const Op* op;
  // last allocation that passed a check
  uint64_t lo = 1, hi = 0;
  int64_t delta = 0;
  Alloc* alloc = nullptr;
  bool stats = false, race = false, init = false;
};

// Lanes of an operand.
template <class T>
inline T* R(Ctx& c, uint32_t ref) {
  return (T*)(c.base[ref & 1] + (ref & ~1u));
}
inline int firstLane(uint32_t m) { return __builtin_ctz(m); }

struct OpDef {
  Handler fn = nullptr;
  uint8_t cls = C_INT;
  uint8_t nargs = 0;
  uint8_t wd = 4, wa = 4, wb = 4, wc = 4;  // operand widths; 1 = predicate
};
using OpTable = std::unordered_map<std::string, OpDef>;
const OpTable& opTable();
void registerInt(OpTable&);
void registerFloat(OpTable&);
void registerHalf(OpTable&);

// Kernel after lowering.
struct ParamInfo {
  std::string name;
  uint32_t offset, size;
};
struct Kernel {
  std::string name, pretty;
  Module* module = nullptr;
  std::vector<Op> code;
  std::vector<char> constStorage;
  char* constPool = nullptr;
  uint32_t regBytes = 0, localBytes = 0;
  uint32_t staticShared = 0, dynAlign = 16;
  uint32_t reservedShared = 0;  // system scratch at the start of shared memory (cooperative groups)
  uint32_t paramBytes = 0;
  std::vector<ParamInfo> params;
  uint32_t maxThreads = 1024, minCtas = 0, reqThreads = 0;
  uint32_t reqDim[3] = {0, 0, 0}, clusterDim[3] = {0, 0, 0};
  int numRegs = 32;
  bool recursive = false, usesGlobalAtomics = false, usesClusters = false;
  std::string error;  // non-empty: cannot run (unsupported instruction...)
  std::vector<std::unique_ptr<std::vector<uint32_t>>> extStore;
  std::vector<std::unique_ptr<BarInfo>> barStore;
  std::vector<std::unique_ptr<CallInfo>> callStore;
  std::vector<std::unique_ptr<std::vector<int32_t>>> tableStore;
  struct FnEntry {
    int32_t pc;
    std::vector<CallInfo::Copy> formals, rets;  // src unused
    std::string name;
  };
  std::unordered_map<uint64_t, FnEntry> indirect;  // function address -> entry
  struct Region {
    int begin;
    PtxModule* pm;
    Function* f;
  };
  std::vector<Region> regions;  // code range -> function
  // source position of an op, for diagnostics
  std::string where(int pc) const;
  std::string opText(int pc) const;
};

// PTX module(s) of one fat binary.
class Module {
 public:
  std::vector<std::unique_ptr<PtxModule>> units;
  std::unordered_map<std::string, Alloc*> symbols;
  std::unordered_map<std::string, std::pair<PtxModule*, VarDecl*>> vars;
  std::unordered_map<std::string, std::shared_ptr<Kernel>> kernels;
  std::unordered_map<std::string, uint64_t> funcAddr;
  std::vector<std::pair<PtxModule*, Function*>> funcByAddr;
  int target = 0;
  void addUnit(std::string ptx, const std::string& origin);
  void link();  // allocates variables, applies initializers
  void resetVars();
  std::shared_ptr<Kernel> kernel(const std::string& name);  // nullptr: no such kernel
  std::pair<PtxModule*, Function*> findFunc(PtxModule* from, const std::string& name);
  uint64_t functionAddress(PtxModule* m, Function* f);
  // address of a module variable or function; false if unknown
  bool symbolAddress(PtxModule* from, const std::string& name, uint64_t& out, Space* sp = nullptr);
  Alloc* symbol(PtxModule* from, const std::string& name);

 private:
  void initVar(PtxModule* m, VarDecl& v, Alloc* a);
  std::string key(PtxModule* m, const VarDecl& v);
};

std::shared_ptr<Kernel> lowerKernel(Module& mod, PtxModule& pm, Function& f);

// Memory access helpers (ops_mem.cpp)
[[noreturn]] void memFault(Ctx& c, const Op& op, int lane, uint64_t addr, uint32_t bytes, bool write, const char* why);
void resolve(Ctx& c, const Op& op, uint32_t m, const uint64_t* addr, char** ptr, uint32_t bytes, bool write,
             bool atomic = false);
Handler selectLoad(Ty ty, int regWidth, bool vec);
Handler selectStore(Ty ty, int regWidth, bool vec);
Handler selectParam(Ty ty, int regWidth, int which);  // 0 kernel param load, 1/2 function param load/store
bool atomCode(std::string_view name, int& code);
Handler atomHandler(Ty t);
Handler sregHandler(std::string_view name, int64_t& imm);
void asyncFlush(Ctx& c, uint32_t lanes, uint32_t keepGroups);
bool bulkProgress(Block& b);
void bulkFlushStores(Block& b);
// Handlers referenced by the lowering step
Handler memHandler(const std::string& name);
Handler warpHandler(const std::string& name);
Handler cvtHandler(const Instr& in, Ty d, Ty s, int wd, int ws, int64_t& imm, uint8_t& cls, std::string& err, int nsrc);
Handler builtinHandler(const std::string& name);

// Race detection hooks (racecheck.cpp)
void raceShared(Ctx& c, const Op& op, int lane, uint32_t off, uint32_t bytes, bool write, bool atomic);
void raceGlobal(Ctx& c, const Op& op, int lane, Alloc* a, uint64_t addr, uint32_t bytes, bool write, bool atomic);
void raceFence(Ctx& c, uint32_t mask, bool gpuScope);
void raceAtomic(Ctx& c, const Op& op, int lane, uint64_t addr, bool publishes, bool observes);
void raceBarrier(Block& b, Barrier& bar, const std::vector<int>& warps);
void raceWarpSync(Ctx& c, uint32_t mask, bool ordersMemory);
void raceSharedSync(Ctx& c, int lane, uint32_t addr, bool publishes, bool release, bool observes, bool acquire);

// Strict race detection: what each thread has acquired (acquire.cpp). No-ops unless config().strict.
void acquireObserve(Ctx& c, int lane, const std::unordered_map<uint32_t, uint32_t>& clocks, bool acquires);
void acquireFence(Ctx& c, uint32_t mask);
void acquireWarp(Ctx& c, uint32_t mask);
void acquireGive(const Warp& w, uint32_t mask, Known& to);
void acquireTake(Warp& w, uint32_t mask, const Known& from);
bool acquired(const Warp& w, int lane, uint32_t block, uint32_t clock);

// statistics of a request (stats.cpp)
void statGlobal(Ctx& c, uint32_t m, const uint64_t* addr, uint32_t bytes, bool write, bool atomic);
void statShared(Ctx& c, uint32_t m, const uint64_t* addr, uint32_t bytes, bool write);
void statsRecord(GridRun& g);
void statsWrite();
bool statsEnabled();

// PDL / dependency hook used by griddepcontrol
std::string threadName(const Block& b, const Warp& w, int lane);

// Barriers (barrier.cpp)
bool barrierComplete(const Block& b, const Barrier& bar);
void releaseBarrier(Block& b, int id);
void checkBarriers(Block& b);

// Runs one warp-synchronous slice; defined in interp.cpp
int runWarp(Ctx& c, int budget);

}  // namespace cs
