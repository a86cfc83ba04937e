/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * libswd: one complete optimizer step of Adam with Scheduled Weight Decay (SWD, "AdamS") in two passes
 * over memory, on NVIDIA GPUs and on CPUs, with the same bits on both. This header is the C ABI and its
 * manual; it is the only header a user includes.
 *
 * Source: Xie et al., "On the Overlooked Pitfalls of Weight Decay and How to Mitigate Them: A Gradient-Norm
 * Perspective", NeurIPS 2023, arXiv 2011.11152. The exact arithmetic stands in docs/numerics.md.
 *
 * FIRST USE
 *     swd_plan_create        describe backend, dtypes, segments and groups once (host only)
 *     swd_workspace_size,    allocate both where the backend computes: device memory for CUDA, host memory
 *     swd_state_size         for the CPU. Fill the state with zero bytes: that is a fresh state.
 *     swd_workspace_init     once per workspace
 *     swd_step               once per training step, on raw gradients
 *     swd_stats_fetch        whenever you want to know the gradient norm, the decay, what was skipped
 *   At the end: wait for the stream, then swd_plan_destroy, then free buffers, state and workspace.
 *   examples/quickstart.c is this sequence as a program.
 *
 * RULES THAT HOLD FOR EVERY CALL
 *   Errors        Every call returns swd_status. Anything but SWD_OK means that nothing was changed and
 *                 nothing was launched, except as said for SWD_ERR_CUDA below; swd_error_detail() then names
 *                 the argument. Nothing throws, prints, exits or aborts.
 *   Memory        The library allocates host memory in swd_plan_create, for the threads of the CPU backend and, until
 *                 it returns, in swd_set_pointers; never device memory. It keeps no pointer of yours between calls,
 *                 but for the pointer tables inside a workspace.
 *   Streams       `stream` is a cudaStream_t (NULL: the legacy default stream, because you asked for it) for
 *                 the CUDA backend and must be NULL for the CPU backend. CUDA calls are asynchronous and
 *                 ordered in that stream, and can be captured into a CUDA graph, swd_workspace_init and
 *                 swd_stats_fetch into pageable memory excepted. The device that owns the memory must be
 *                 current; swd_workspace_init checks it once. CPU calls return when the work is done.
 *   Failures      After SWD_ERR_CUDA the step did not happen. The codes that CUDA calls sticky (swd_error_cuda: an
 *                 illegal address, a failed launch, a lost device and their like) end the process's use of the
 *                 device; after any other, call again: a whole step just so, a step in pieces from its first
 *                 swd_reduce on, because the next swd_reduce after a failed piece starts afresh. That next one must be
 *                 a call on the same plan object and workspace: call swd_discard first where a graph is captured or
 *                 replayed instead, where the plan was made anew, and after a failed swd_record_add.
 *   Threads       All calls are thread safe. A plan may be shared. One workspace, and one set of buffers, must
 *                 not be used by two calls at the same time (two streams count as the same time). All CPU plans
 *                 share one pool of threads, made at the first use. Workers leave SEGV, BUS, FPE, ILL, TRAP, ABRT
 *                 and SYS unblocked and block all other signals; yours are as they were after each call.
 *   Determinism   gpu_to_gpu and more: a result is a function of the data alone. It does not depend on the
 *                 machine (x86 with SSE2 or more, Arm; little-endian, 64 or 32 bits), the backend, the thread
 *                 count, the instruction set, the launch shape, the alignment, on eager or graph launch, or on how
 *                 reductions were split into calls. This holds within one swd_numerics_version(). The payload and
 *                 sign of a NaN are outside this promise.
 *   Sizes         Counts and offsets are in elements, 64-bit. `_bytes` says bytes.
 *   Alignment     Every tensor needs the alignment of its element, not more. Workspace and state: 16 bytes.
 *                 Whatever else a typed pointer points to: the alignment of that type.
 *   Aliasing      All buffers of a step must be disjoint.
 *   Struct growth The first member of a struct that you pass is its size, as your compiler saw it. An older,
 *                 shorter struct reads as zeros past its end; a longer one must hold zeros there, or the call
 *                 fails with SWD_ERR_STRUCT_SIZE, as it does where a size ends inside a member. Zero means "default" in
 * every member. Arrays of structs come with their element stride, under the same rule. Sizes and strides above 4096 are
 * refused.
 */
#ifndef SWD_SWD_H
#define SWD_SWD_H

#include <stddef.h>
#include <stdint.h>

/** The version of this header; swd_version() is that of the library in use. While MAJOR is 0 a new MINOR may break the
 * ABI, and the SONAME changes with it. Everything here is since 0.2. */
#define SWD_VERSION_MAJOR 0
#define SWD_VERSION_MINOR 2 /**< see SWD_VERSION_MAJOR */
#define SWD_VERSION_PATCH 0 /**< see SWD_VERSION_MAJOR */

/** Marks what the shared library exports. */
#if defined(__GNUC__)
#define SWD_API __attribute__((visibility("default")))
#else
#define SWD_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Status of a call --------------------------------------------------------------------------- */

/** What a call returns. Values never change meaning and are never reused. 1..29: the caller's mistake. 30..39: valid,
 * but not offered here. 40..49: the environment failed. 50..59: a state blob was refused. */
typedef int32_t swd_status;
enum {
  SWD_OK = 0,                /**< done, or on its way in the stream */
  SWD_ERR_NULL = 1,          /**< a pointer that is needed is NULL */
  SWD_ERR_STRUCT_SIZE = 2,   /**< struct_size or a stride is too small, or a longer struct has a non-zero tail */
  SWD_ERR_FLAGS = 3,         /**< an unknown flag bit, or flags that exclude each other */
  SWD_ERR_ENUM = 4,          /**< an unknown backend, dtype, decay mode, buffer or phase */
  SWD_ERR_VALUE = 5,         /**< a number out of its range, NaN or infinite */
  SWD_ERR_SIZE = 6,          /**< a byte or element count too small, too large or negative */
  SWD_ERR_LAYOUT = 7,        /**< segments overlap or are out of order */
  SWD_ERR_ALIGNMENT = 8,     /**< a pointer is not aligned as required */
  SWD_ERR_OVERLAP = 9,       /**< two buffers share memory */
  SWD_ERR_UNEXPECTED = 10,   /**< an argument is set that this plan has no use for */
  SWD_ERR_WORKSPACE = 11,    /**< the workspace was not initialised for this plan (CPU backend; on CUDA the device
                                finds it: SWD_RESULT_FOREIGN_WORKSPACE) */
  SWD_ERR_DEVICE = 12,       /**< memory or a stream does not belong to the current device */
  SWD_ERR_UNSUPPORTED = 30,  /**< a dtype combination that this version does not offer */
  SWD_ERR_NO_CUDA = 31,      /**< this library was built without CUDA */
  SWD_ERR_NO_DEVICE = 32,    /**< built with CUDA, but no device is there, or none that this build has code for */
  SWD_ERR_MEMORY = 40,       /**< host memory ran out */
  SWD_ERR_CUDA = 41,         /**< a CUDA call failed: the detail names it, swd_error_cuda() is its code. See Failures */
  SWD_ERR_BLOB_MAGIC = 50,   /**< not a libswd state blob */
  SWD_ERR_BLOB_VERSION = 51, /**< a format version that this library does not read */
  SWD_ERR_BLOB_SIZE = 52,    /**< truncated, or longer than its header says */
  SWD_ERR_BLOB_CHECKSUM = 53, /**< damaged: the checksum does not fit */
  SWD_ERR_BLOB_VALUE = 54,    /**< the checksum is right, a value inside is not */
  SWD_ERR_BLOB_PLAN = 55      /**< the blobs are of another model, do not cover this plan's segments exactly once,
                                 disagree on a step, unit, reference or seed, or are of narrow moments, and the plan's
                                 are F32 */
};

/** Where a plan computes, and so where its memory lies. */
typedef int32_t swd_backend;
enum {
  SWD_BACKEND_CPU = 1, /**< host memory, on threads of its own */
  SWD_BACKEND_CUDA = 2 /**< memory of the current CUDA device */
};

/** Types of elements: IEEE binary32, bfloat16 (the upper half of binary32), IEEE binary16; and what narrow states are
 * made of (docs/narrow_states.md, arithmetic in docs/numerics.md). */
typedef int32_t swd_dtype;
enum {
  SWD_DTYPE_NONE = 0,  /**< no such buffer */
  SWD_DTYPE_F32 = 1,   /**< 4 bytes */
  SWD_DTYPE_BF16 = 2,  /**< 2 bytes */
  SWD_DTYPE_F16 = 3,   /**< 2 bytes */
  SWD_DTYPE_I16 = 4,   /**< 2 bytes: the lower half of an fp32 parameter, whose upper half is in param */
  SWD_DTYPE_I8 = 5,    /**< 1 byte: the 8 bits behind the bf16 number in param */
  SWD_DTYPE_BLOCK8 = 6 /**< 1 byte, and one more for each block of 128 elements of a segment: moments only */
};

/** How weight_decay acts, per group. With d the decay factor of a step, param loses d * param:
 *   SCHEDULED   SWD: d = lr * weight_decay / sqrt(vbar)
 *   DECOUPLED   AdamW: d = lr * weight_decay
 *   L2          Adam: the gradient gains weight_decay * param, after unscaling and clipping
 *   NONE        weight_decay is ignored
 *   RELATIVE    SWD in AdamW's unit: d = lr * weight_decay * sqrt(reference / vbar). The reference is a vbar that lives
 *               in the state (swd_state_header.vbar_reference); until it is there d is AdamW's, and from then on it is
 *               that of SCHEDULED with weight_decay * sqrt(reference) */
typedef int32_t swd_decay;
enum { SWD_DECAY_SCHEDULED = 0, SWD_DECAY_DECOUPLED = 1, SWD_DECAY_L2 = 2, SWD_DECAY_NONE = 3, SWD_DECAY_RELATIVE = 4 };

/** The buffers of a plan, for swd_set_pointers. */
typedef int32_t swd_buffer_kind;
enum {
  SWD_BUFFER_PARAM = 0,
  SWD_BUFFER_GRAD = 1,
  SWD_BUFFER_EXP_AVG = 2,
  SWD_BUFFER_EXP_AVG_SQ = 3,
  SWD_BUFFER_MAX_EXP_AVG_SQ = 4,
  SWD_BUFFER_PARAM_COPY = 5,
  SWD_BUFFER_REMAINDER = 6,
  SWD_BUFFER_EXP_AVG_SCALE = 7, /**< ceil(count / 128) bytes a segment, as the next */
  SWD_BUFFER_EXP_AVG_SQ_SCALE = 8
};

/** The two rounds of reduce, fold and decide. MAX exists only for plans with amsgrad and a scheduled or relative
 * group. */
typedef int32_t swd_phase;
enum { SWD_PHASE_GRAD = 0, SWD_PHASE_MAX = 1 };

/** What became of a step, as the device decided: swd_stats.result. Everything but APPLIED left every parameter,
 * moment, counter and running sum as it was, to the bit. */
typedef int32_t swd_result;
enum {
  SWD_RESULT_NONE = 0, /**< no step has been committed in this workspace */
  SWD_RESULT_APPLIED = 1,
  SWD_RESULT_SKIPPED_NONFINITE = 2, /**< a gradient is NaN or infinite, or found_inf was set */
  SWD_RESULT_SKIPPED_OVERFLOW = 3,  /**< the scaled gradients could make exp_avg_sq infinite: |s|^2 * sum g^2 > 2^126 */
  SWD_RESULT_SKIPPED_UNDERFLOW = 4, /**< clip_coef / loss_scale is below FLT_MIN */
  SWD_RESULT_SKIPPED_INVALID = 5,   /**< a number or pointer read from where the backend computes is out of range, two
                                       pointers of a listed tensor share memory, or the state is of narrow moments and
                                       the plan's are F32 */
  SWD_RESULT_SKIPPED_SUM_UNKNOWN = 6, /**< scheduled or relative decay needs a running sum that is unknown:
                                         swd_state_rebuild */
  SWD_RESULT_NOT_ARMED = 7,           /**< swd_update without a swd_decide before it; not counted as skipped */
  SWD_RESULT_SKIPPED_VBAR = 8,     /**< scheduled or relative decay, and vbar is NaN or infinite, though the gradients
                                      are finite: a damaged second moment. Under PROPAGATE it is applied */
  SWD_RESULT_FOREIGN_WORKSPACE = 9 /**< the workspace was not initialised for this plan, so nothing happened (CUDA) */
};

/** Bits of swd_stats.flags. */
enum {
  SWD_STATS_CLIPPED = 1u << 0,      /**< clip_coef < 1 */
  SWD_STATS_LARGE_DECAY = 1u << 1,  /**< some d exceeds 0.01, at which trainings die: weight_decay is probably in
                                       AdamW's unit. As DECAY_CAPPED only of groups that have elements to decay */
  SWD_STATS_DECAY_CAPPED = 1u << 2, /**< some d was cut to max_decay */
  SWD_STATS_NONFINITE = 1u << 3,    /**< non-finite gradients were seen (and applied, under PROPAGATE) */
  SWD_STATS_NO_NORM = 1u << 4       /**< SWD_STEP_SKIP_NORM: grad_norm and vbar are not measured, bad is found_inf's */
};

/* ---- Plan --------------------------------------------------------------------------------------- */

/** Bits of swd_segment.flags. */
enum {
  SWD_SEGMENT_NO_NORM = 1u << 0, /**< not part of the gradient norm (it is still clipped) */
  SWD_SEGMENT_NO_VBAR = 1u << 1, /**< not part of the mean second moment */
  SWD_SEGMENT_NO_DECAY = 1u << 2 /**< no weight decay, whatever its group says */
};

/** A contiguous run of elements with one step counter and one running sum: a tensor, or a shard of one. */
typedef struct swd_segment {
  int64_t offset; /**< first element, from the flat bases; ascending, gaps allowed and never touched. Tensor list: 0 */
  int64_t count;  /**< elements; 0 is allowed: such a segment never has a gradient */
  int64_t index;  /**< with SWD_PLAN_INDEXED: the index of its first element in the unsharded model, unique in the
                     model. Else 0, and segments are numbered by the running sum of counts. */
  uint32_t group; /**< below group_count */
  uint32_t flags; /**< SWD_SEGMENT_* */
} swd_segment;

/** Bits of swd_plan_args.flags. */
enum {
  SWD_PLAN_LIST = 1u << 0,         /**< one pointer per segment (swd_set_pointers) instead of flat bases */
  SWD_PLAN_AMSGRAD = 1u << 1,      /**< keep the maximum of exp_avg_sq in max_exp_avg_sq and divide by it */
  SWD_PLAN_MAXIMIZE = 1u << 2,     /**< ascend: the gradient counts with the opposite sign */
  SWD_PLAN_UPDATE_NORMS = 1u << 3, /**< also reduce param_norm and update_norm, inside the second pass; values below
                                      2^-63 are left out, and one above 1.8e19 makes them infinite */
  SWD_PLAN_INDEXED = 1u << 4,      /**< swd_segment.index is given */
  SWD_PLAN_TAKE_COPY = 1u << 5     /**< with copy_dtype: what others wrote into param_copy is what the step starts from.
                                      Where an element of it is not the rounding of its parameter, bit for bit, the
                                      parameter becomes that element; elsewhere it keeps its low bits. Fill it first
                                      with swd_copy_params, and again after writing param. Price: 2 bytes read a
                                      parameter */
};

/** The description of a plan. Everything behind its pointers is copied by swd_plan_create. */
typedef struct swd_plan_args {
  uint32_t struct_size;         /**< sizeof(swd_plan_args) */
  uint32_t flags;               /**< SWD_PLAN_* */
  swd_backend backend;          /**< needs no device here: a CUDA plan can be made where none is */
  swd_dtype param_dtype;        /**< F32, or BF16 with or without a remainder */
  swd_dtype grad_dtype;         /**< F32, BF16 or F16; F16 only where parameters and moments are F32 */
  swd_dtype copy_dtype;         /**< NONE, BF16 or F16: param_copy, written by the same pass, rounded to nearest even.
                                   Parameters and moments in F32 only */
  const swd_segment* segments;  /**< segment_count elements; may be NULL if that is 0. Copied. */
  int64_t segment_count;        /**< 0 .. 2^31 - 1 */
  const swd_decay* decay_modes; /**< group_count elements. Copied. NULL: all SCHEDULED */
  uint32_t segment_stride;      /**< bytes from one segment to the next; 0: sizeof(swd_segment) */
  uint32_t group_count;         /**< 1 .. 2^20 */
  int32_t threads;           /**< CPU backend: most threads a step uses, 0 .. 1024. 0: the least of the cgroup's quota
                                of cores, rounded up, and OMP_NUM_THREADS, both read by swd_plan_create, and the
                                cores that the thread which calls the step may run on. CUDA backend: 0 */
  uint32_t reserved;         /**< 0 */
  uint64_t model_key;        /**< any number that tells models apart; a blob of another key that is not 0 is refused.
                                0: none */
  swd_dtype moment_dtype;    /**< exp_avg and exp_avg_sq: NONE or F32; BF16; BLOCK8. Narrow ones are rounded
                                stochastically, and have no AMSGRAD */
  swd_dtype remainder_dtype; /**< BF16 parameters: I16 (together exactly fp32), I8 (24 bits; moments BLOCK8), NONE (the
                                bf16 number is all; narrow moments). Else NONE */
} swd_plan_args;

/** CPU, fp32 parameters and gradients, no copy, one group; segments still to be set. */
#define SWD_PLAN_ARGS_INIT                                                                                  \
  {                                                                                                         \
    sizeof(swd_plan_args), 0, SWD_BACKEND_CPU, SWD_DTYPE_F32, SWD_DTYPE_F32, SWD_DTYPE_NONE, NULL, 0, NULL, \
        sizeof(swd_segment), 1, 0, 0, 0, SWD_DTYPE_NONE, SWD_DTYPE_NONE                                     \
  }

/** An immutable plan. May be shared by threads and streams. */
typedef struct swd_plan swd_plan;

/** Writes what SWD_PLAN_ARGS_INIT holds, for callers that cannot use a macro. struct_size: sizeof as you know the
 * struct. Errors: NULL, ALIGNMENT, STRUCT_SIZE. */
SWD_API swd_status swd_plan_args_init(swd_plan_args* args, uint64_t struct_size);

/** Checks the description and builds the immutable plan. Host only: touches no device, so a CUDA plan can be
 * made where no device is. *plan is written on success only; free it with swd_plan_destroy. Errors: the caller's
 * mistakes but WORKSPACE, UNSUPPORTED, NO_CUDA, MEMORY. */
SWD_API swd_status swd_plan_create(const swd_plan_args* args, swd_plan** plan);

/** Frees a plan; NULL is allowed. No call may be using it; work in streams may still be pending. The CPU backend's
 * threads end with the last plan: destroy all before the library is unloaded (dlclose). Exiting the process with plans
 * alive is safe. */
SWD_API swd_status swd_plan_destroy(swd_plan* plan);

/** SWD_OK if the backend can run here, on the current device for CUDA; else SWD_ERR_NO_CUDA, SWD_ERR_NO_DEVICE (also if
 * this build has no code for that device), SWD_ERR_CUDA or SWD_ERR_ENUM. */
SWD_API swd_status swd_backend_available(swd_backend backend);

/* ---- Workspace ---------------------------------------------------------------------------------- */

/** Bytes that a workspace of this plan needs, a multiple of 16: tables, partial sums, the norm record. About
 * 150 bytes a segment (200 in a list) and 20 a chunk of 4,096 elements (90 with SWD_PLAN_UPDATE_NORMS). Errors: NULL,
 * ALIGNMENT.
 */
SWD_API swd_status swd_workspace_size(const swd_plan* plan, uint64_t* bytes);

/** Bytes of a state image of this plan, a multiple of 16. Errors: NULL, ALIGNMENT. */
SWD_API swd_status swd_state_size(const swd_plan* plan, uint64_t* bytes);

/** Bytes of exp_avg_scale and of exp_avg_sq_scale each: 32 a chunk of 4,096 elements of a segment, the last chunk
 * whole. 0 without BLOCK8. Not of a list, where a tensor of n elements has (n + 127) / 128. Errors: NULL, ALIGNMENT,
 * UNEXPECTED. */
SWD_API swd_status swd_scale_size(const swd_plan* plan, uint64_t* bytes);

/** Where the scales of a segment begin in either of them, in bytes; block b of the segment is at [offset + b]. Errors:
 * those of swd_scale_size, SIZE. */
SWD_API swd_status swd_scale_offset(const swd_plan* plan, int64_t segment, uint64_t* offset);

/** Writes the plan's tables into `workspace` (16-byte aligned, at least swd_workspace_size bytes, where the backend
 * computes). The only call that may block: it copies from host memory and waits for the stream. Must not be
 * captured. Call it once per workspace; calling it again starts the workspace afresh. A workspace holds nothing
 * that a checkpoint needs. It may be copied byte for byte to another place, pointer tables and all. CUDA: also loads
 * the plan's kernels. Errors: NULL, ALIGNMENT, SIZE, UNEXPECTED, DEVICE, NO_DEVICE, CUDA. */
SWD_API swd_status swd_workspace_init(const swd_plan* plan, void* workspace, uint64_t workspace_bytes, void* stream);

/** Writes to host memory (16-byte aligned, `bytes` at least swd_workspace_size) what a fresh workspace holds, for
 * callers that copy it to the workspace in stream order themselves. Touches no device. Errors: NULL, ALIGNMENT, SIZE.
 */
SWD_API swd_status swd_workspace_image(const swd_plan* plan, void* image, uint64_t bytes);

/** Tensor lists: sets the pointers of segments first .. first + count - 1 in one pointer table of the workspace.
 * pointers: host array of count pointers to where the backend computes; free to reuse on return, as they travel
 * as kernel arguments. A NULL gradient means "no gradient this step"; of an empty segment any pointer may be NULL;
 * all others must be set before the first step (CUDA: else the step is skipped as SKIPPED_INVALID). Tensors must not
 * share memory: this call checks those that it gets against each other, on the CPU also against those of other calls,
 * gradients excepted, for these move (where others change places, set NULL first); on CUDA the step checks the buffers
 * of one segment against each other. One launch per 480 pointers; capturable, and then
 * frozen into the graph. Errors: NULL, ENUM, SIZE, ALIGNMENT, OVERLAP, UNEXPECTED, WORKSPACE, MEMORY, CUDA. */
SWD_API swd_status swd_set_pointers(const swd_plan* plan, void* workspace, swd_buffer_kind buffer, int64_t first,
                                    int64_t count, const void* const* pointers, void* stream);

/* ---- Buffers ------------------------------------------------------------------------------------ */

/** What the caller owns. Pointers to where the backend computes. With SWD_PLAN_LIST all but state and workspace are
 * NULL. Zero bytes are fresh moments in any dtype, scales included. */
typedef struct swd_buffers {
  uint32_t struct_size; /**< sizeof(swd_buffers) */
  uint32_t flags;       /**< 0 */
  void* param;          /**< read and written; element i of a segment is at [offset + i]. With a remainder the upper
                           half of each fp32 parameter, ties away from zero */
  const void* grad;     /**< raw gradients, grad_dtype; read only: never unscaled, clipped or zeroed in place */
  void* exp_avg;        /**< first moment, read and written */
  void* exp_avg_sq;     /**< second moment, read and written. NOT the moment itself in BF16 and BLOCK8, but that over
                           the segment's exp_avg_sq_unit: read it through swd_state_store */
  void* max_exp_avg_sq; /**< with SWD_PLAN_AMSGRAD, else NULL */
  void* param_copy; /**< with copy_dtype, else NULL; written, with SWD_PLAN_TAKE_COPY read first; untouched by a skipped
                       step */
  void* state;      /**< state image of this plan, read and written */
  uint64_t state_bytes;     /**< at least swd_state_size */
  void* workspace;          /**< initialised for this plan */
  uint64_t workspace_bytes; /**< at least swd_workspace_size */
  void* remainder;        /**< with remainder_dtype, else NULL: the lower bits of param. A param written by others keeps
                             a stale one, at most half a bf16 step; zero it there, or swd_state_load */
  void* exp_avg_scale;    /**< with BLOCK8, else NULL: swd_scale_size bytes */
  void* exp_avg_sq_scale; /**< likewise */
} swd_buffers;

/** All NULL. */
#define SWD_BUFFERS_INIT \
  { sizeof(swd_buffers), 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL, 0, NULL, NULL, NULL }

/** Writes what SWD_BUFFERS_INIT holds. Errors: NULL, ALIGNMENT, STRUCT_SIZE. */
SWD_API swd_status swd_buffers_init(swd_buffers* buffers, uint64_t struct_size);

/* ---- Hyper-parameters --------------------------------------------------------------------------- */

/** The hyper-parameters of one group, all finite. A learning rate of 0 decays nothing.
 * UNITS: under SCHEDULED decay weight_decay has the unit of a gradient. A value w decays like a weight_decay of
 * w / sqrt(vbar) in AdamW (lambda_eff in the statistics); with clipping to 1 over n parameters sqrt(vbar) is at most
 * 1/sqrt(n). Convert with swd_weight_decay_from_adamw, or use RELATIVE decay, which takes AdamW's unit. */
typedef struct swd_group {
  double lr;               /**< learning rate, >= 0 */
  double beta1;            /**< decay rate of exp_avg, 0 <= beta1 < 1 */
  double beta2;            /**< decay rate of exp_avg_sq, 0 <= beta2 < 1 */
  double eps;              /**< added to the root of the second moment; a normal number as fp32 */
  double weight_decay;     /**< >= 0; lambda of the paper, or as the group's decay mode says */
  const float* lr_pointer; /**< where the backend computes: replaces lr, read when the step is decided. NULL: lr */
  double lr_factor;        /**< multiplies lr or *lr_pointer, >= 0; 0: 1 */
} swd_group;

/** lr 1e-3, betas 0.9 and 0.999, eps 1e-8, no decay. */
#define SWD_GROUP_INIT \
  { 1e-3, 0.9, 0.999, 1e-8, 0.0, NULL, 0.0 }

/** Bits of swd_step_args.flags. */
enum {
  SWD_STEP_PROPAGATE = 1u << 0, /**< apply non-finite gradients and let NaN spread, instead of skipping the step */
  SWD_STEP_SKIP_NORM = 1u << 1  /**< do not run the first pass. Needs PROPAGATE, no clipping, and no scheduled or
                                   relative group; running sums become unknown. 28 instead of 32 bytes per fp32
                                   parameter. found_inf still skips the step. */
};

/** The arguments of one step. */
typedef struct swd_step_args {
  uint32_t struct_size;            /**< sizeof(swd_step_args) */
  uint32_t flags;                  /**< SWD_STEP_PROPAGATE, SWD_STEP_SKIP_NORM */
  const swd_group* groups;         /**< host array of group_count groups, read during the call; or NULL and: */
  const swd_group* groups_device;  /**< the same where the backend computes, read by the kernels: a replayed graph
                                      follows what is there. Out of range: the step is SKIPPED_INVALID. */
  uint32_t group_count;            /**< as in the plan */
  uint32_t group_stride;           /**< bytes from one group to the next, of either array; 0: sizeof(swd_group) */
  double loss_scale;               /**< gradients are divided by it; > 0 and finite; 0: 1 */
  const float* loss_scale_pointer; /**< where the backend computes: loss_scale is multiplied by it; or NULL */
  const float* found_inf;          /**< where the backend computes: not 0 counts as one non-finite gradient; or NULL */
  const uint8_t* has_grad;         /**< where the backend computes, a byte per segment: 0 says "no gradient this step":
                                      the segment keeps counter, sum, moments and parameters, and counts nowhere */
  double max_grad_norm;            /**< clip the global norm to it (PyTorch's rule, norm + 1e-6); 0: no clipping */
  double max_decay;                /**< no decay factor d exceeds it; 0: 0.1 */
  uint64_t reference_step;         /**< RELATIVE: the state's first applied step with this number or a later one, and a
                                      vbar above 0, gives the reference; 0: 100 */
} swd_step_args;

/** No clipping, no loss scale; groups still to be set. */
#define SWD_STEP_ARGS_INIT \
  { sizeof(swd_step_args), 0, NULL, NULL, 0, sizeof(swd_group), 0.0, NULL, NULL, NULL, 0.0, 0.0, 0 }

/** Writes what SWD_STEP_ARGS_INIT holds. Errors: NULL, ALIGNMENT, STRUCT_SIZE. */
SWD_API swd_status swd_step_args_init(swd_step_args* args, uint64_t struct_size);

/* ---- The step ----------------------------------------------------------------------------------- */

/** One whole optimizer step: unscale, finite check, norm, clip, Adam, decay. CUDA: two launches for any number of
 * segments (three with amsgrad and a scheduled or relative group; beyond 24 host groups one more per some 60 of them).
 * It happens wholly or not at all: only the last launch writes parameters, moments and state. Nothing that swd_reduce
 * left behind joins it. What the numbers on the device decide, a skipped step say, is no error of the call:
 * swd_stats.result tells. Errors: the caller's mistakes but ENUM and LAYOUT; CUDA. The same errors for all pieces
 * below. */
SWD_API swd_status swd_step(const swd_plan* plan, const swd_buffers* buffers, const swd_step_args* args, void* stream);

/* The same step in pieces, with the same bits, in this order:
 *     swd_reduce     once or more, over any segments, also while backward still runs
 *     swd_fold       sums what was reduced into the norm record
 *                    [sharded training: all-reduce the record's doubles by sum, with any library]
 *     swd_decide     decides the step from the record and arms the update
 *     [amsgrad with a scheduled or relative group: swd_reduce, swd_fold, swd_decide again, with SWD_PHASE_MAX]
 *     swd_update     applies and commits
 * Pass the same buffers and args to each. Before swd_update nothing but the workspace and the record is written;
 * lr and weight_decay are used by swd_decide, betas by swd_reduce and swd_decide, so they must not change
 * between these; all must be in range from the first piece on. CUDA: one launch a piece, and those that carry groups.
 */

/** Doubles in the norm record of this plan: what ranks must agree on between the passes, an array of sums. All-reduce
 * all of them. `record` arguments lie where the backend computes, hold at least so many doubles (`record_doubles`),
 * 8-byte aligned and apart from all buffers, or are NULL with 0 doubles for the workspace's own. Errors: NULL,
 * ALIGNMENT. */
SWD_API swd_status swd_record_size(const swd_plan* plan, uint64_t* doubles);

/** The names of the first eight doubles of a record. */
typedef struct swd_norm_record {
  double sum_sq;    /**< sum of squares of the raw gradients, norm members */
  double bad;       /**< non-finite gradients, plus 1 if found_inf was set */
  double vbar_base; /**< GRAD: sum of beta2 * S / (1 - beta2^t) over vbar members; MAX: the sum of maxed v-hat */
  double vbar_grad; /**< GRAD: sum of (1 - beta2) * Q / (1 - beta2^t); MAX: 0 */
  double count;     /**< elements of vbar members */
  double total_sq;  /**< sum of squares over all segments with a gradient */
  double unknown;   /**< vbar members whose running sum is unknown */
  double invalid;   /**< hyper-parameters, pointers and step counters out of range */
} swd_norm_record;

/** Pass 1 over segments first_segment .. first_segment + segment_count - 1. Reducing a segment twice is harmless: the
 * last one counts. Segments that were not reduced have no gradient this step. SWD_PHASE_MAX reads exp_avg_sq and
 * max_exp_avg_sq too, and needs the segments of the first round: a record that counts others is SKIPPED_INVALID. */
SWD_API swd_status swd_reduce(const swd_plan* plan, const swd_buffers* buffers, const swd_step_args* args,
                              swd_phase phase, int64_t first_segment, int64_t segment_count, void* stream);

/** Sums what was reduced since the last update that was armed, and found_inf, into *record, which is overwritten. */
SWD_API swd_status swd_fold(const swd_plan* plan, const swd_buffers* buffers, const swd_step_args* args,
                            swd_phase phase, double* record, uint64_t record_doubles, void* stream);

/** Adds record `from` to record `to`, which lie where the backend computes: for models of several plans in one process,
 * say of different dtypes. Fold each plan, add the records in one fixed order, decide each plan from the sum. Errors:
 * NULL, ALIGNMENT, SIZE, OVERLAP, UNEXPECTED, CUDA. */
SWD_API swd_status swd_record_add(const swd_plan* plan, double* to, const double* from, uint64_t record_doubles,
                                  void* stream);

/** Decides the step from *record, computes every constant of pass 2 and arms the update. */
SWD_API swd_status swd_decide(const swd_plan* plan, const swd_buffers* buffers, const swd_step_args* args,
                              swd_phase phase, const double* record, uint64_t record_doubles, void* stream);

/** Pass 2: updates and commits an armed step, once. Not armed, it changes nothing, what was reduced included, and says
 * SWD_RESULT_NOT_ARMED. */
SWD_API swd_status swd_update(const swd_plan* plan, const swd_buffers* buffers, const swd_step_args* args,
                              void* stream);

/** Fills param_copy with the parameters, rounded as a step rounds them: after loading parameters into a plan with
 * copy_dtype. Uses param, param_copy and workspace of `buffers`; other members are not read. One launch. Errors: those
 * of swd_step; UNEXPECTED without copy_dtype. */
SWD_API swd_status swd_copy_params(const swd_plan* plan, const swd_buffers* buffers, void* stream);

/** Forgets what was reduced and decided since the last update. Errors: NULL, ALIGNMENT, SIZE, UNEXPECTED,
 * WORKSPACE, CUDA. */
SWD_API swd_status swd_discard(const swd_plan* plan, void* workspace, uint64_t workspace_bytes, void* stream);

/* ---- Statistics --------------------------------------------------------------------------------- */

/** What the latest committed step in a workspace did; a step of which a launch failed leaves it as it was. */
typedef struct swd_stats {
  swd_result result;       /**< of the latest swd_step or swd_update in this workspace */
  uint32_t flags;          /**< SWD_STATS_* */
  uint64_t steps_applied;  /**< since the state was fresh */
  uint64_t steps_skipped;  /**< likewise */
  double grad_norm;        /**< of the unscaled gradients, before clipping */
  double clip_coef;        /**< 1: not clipped */
  double vbar;             /**< mean of v-hat that the step used; NaN if a running sum is unknown */
  double inv_sqrt_vbar;    /**< 1 / sqrt(vbar); 0 if vbar is 0 or has no members */
  double largest_decay;    /**< largest decay factor d of any group */
  double bad;              /**< non-finite gradients seen, plus found_inf */
  double param_norm;       /**< SWD_PLAN_UPDATE_NORMS: norm of the updated parameters; 0 if the step was skipped */
  double update_norm;      /**< SWD_PLAN_UPDATE_NORMS: norm of what they lost; segments with a gradient only */
  double vbar_reference;   /**< RELATIVE: the state's reference after the step; 0: not set yet */
  int64_t damaged_segment; /**< 1 + the number of the first segment in whose exp_avg_sq the latest swd_state_rebuild
                              found NaN or an infinite sum; 0: none */
} swd_stats;

/** Copies the statistics to `stats` (host; stats_size bytes, at most sizeof(swd_stats) are written) and, unless
 * lambda_eff is NULL, group_count doubles: the decay of each group in AdamW's unit (weight_decay / sqrt(vbar) for
 * scheduled groups, weight_decay * sqrt(reference / vbar) for relative ones, both 0 where vbar is 0; weight_decay for
 * relative groups before there is a reference, for DECOUPLED and L2; 0 for NONE). CUDA: one small launch and
 * asynchronous copies in the stream; synchronise before reading. The workspace of another plan gives FOREIGN_WORKSPACE,
 * all other members 0, and arbitrary lambda_eff (CPU: SWD_ERR_WORKSPACE). Errors: NULL, ALIGNMENT, SIZE, UNEXPECTED,
 * OVERLAP, WORKSPACE, CUDA. */
SWD_API swd_status swd_stats_fetch(const swd_plan* plan, void* workspace, swd_stats* stats, uint64_t stats_size,
                                   double* lambda_eff, void* stream);

/** Where the statistics lie inside the workspace, for kernels that read the verdict. Computes a pointer only.
 * Errors: NULL, ALIGNMENT. */
SWD_API swd_status swd_stats_pointer(const swd_plan* plan, const void* workspace, const swd_stats** stats);

/** AdamW's weight_decay in SWD's unit at a given vbar: weight_decay * sqrt(vbar). */
SWD_API double swd_weight_decay_from_adamw(double weight_decay, double vbar);

/** And back: weight_decay / sqrt(vbar); 0 if vbar is 0, as a step takes it. */
SWD_API double swd_weight_decay_to_adamw(double weight_decay, double vbar);

/* ---- State -------------------------------------------------------------------------------------- */

/* A state image is what a step reads and writes of a model besides its tensors: swd_state_size bytes, 16-byte aligned,
 * its layout the library's own. All zero bytes is a fresh state. Copy it between host and device with your own copy
 * calls; read and change it, in host memory, with these. The structs grow: `size` is their sizeof as you know it. */

/** What a state holds once. */
typedef struct swd_state_header {
  uint64_t steps_applied; /**< by swd_update, over all workspaces that used this state */
  uint64_t steps_skipped; /**< likewise */
  double vbar_reference; /**< RELATIVE decay: the vbar that weight_decay refers to, finite and >= 0; 0: not set yet. Set
                            it to choose it by hand, or to 0 to have it taken anew */
  uint64_t rounding_seed; /**< of narrow states: with a segment's step and the element's index in the model it gives the
                            bits that codes are rounded by. Any number; set it before the first step */
} swd_state_header;

/** What a state holds of one segment. */
typedef struct swd_segment_state {
  int64_t step;           /**< steps applied to this segment, >= 0 */
  double exp_avg_sq_sum;  /**< running sum of exp_avg_sq over the segment, finite and >= 0; -1: unknown */
  double exp_avg_sq_unit; /**< of narrow moments: exp_avg_sq holds the second moment over this, 0.5 to 1; 0: 1. It
                            belongs to what the buffer holds. Else 0 or 1 */
  uint64_t reserved;      /**< 0 */
} swd_segment_state;

/** Reads the header of an image; at most sizeof(swd_state_header) bytes are written. Errors: NULL, SIZE, ALIGNMENT. */
SWD_API swd_status swd_state_header_get(const swd_plan* plan, const void* image, uint64_t image_bytes,
                                        swd_state_header* out, uint64_t size);

/** Writes it; members past `size` keep their value. Errors: NULL, SIZE, STRUCT_SIZE, ALIGNMENT, VALUE. */
SWD_API swd_status swd_state_header_set(const swd_plan* plan, void* image, uint64_t image_bytes,
                                        const swd_state_header* in, uint64_t size);

/** Reads one segment's entry of an image; at most sizeof(swd_segment_state) bytes are written. Errors: NULL, SIZE,
 * ALIGNMENT. */
SWD_API swd_status swd_state_get(const swd_plan* plan, const void* image, uint64_t image_bytes, int64_t segment,
                                 swd_segment_state* out, uint64_t size);

/** Writes one; members past `size` keep their value. Errors: NULL, SIZE, STRUCT_SIZE, ALIGNMENT, VALUE. */
SWD_API swd_status swd_state_set(const swd_plan* plan, void* image, uint64_t image_bytes, int64_t segment,
                                 const swd_segment_state* in, uint64_t size);

/** Bytes of the blob of this plan. Errors: NULL, ALIGNMENT. */
SWD_API swd_status swd_state_blob_size(const swd_plan* plan, uint64_t* bytes);

/** Image in host memory to a versioned, checksummed, little-endian blob (swd_state_blob_size bytes, any alignment) with
 * the header, the plan's model_key and one record (index, count, step, sum, unit) per segment. Errors: NULL, SIZE,
 * ALIGNMENT, OVERLAP, VALUE: a step, sum or unit out of range. */
SWD_API swd_status swd_state_export(const swd_plan* plan, const void* image, uint64_t image_bytes, void* blob,
                                    uint64_t blob_bytes);

/** And back; blobs of 0.1 too. Several blobs (1 .. 2^31 - 1: the shards of a model, in any order) may be given
 * together, and segments may have been cut differently: records are matched by index. Each element of each non-empty
 * segment must be covered exactly once, by records of one step and one unit; records of other elements are ignored. A
 * sum is shared out by element count where a record is cut, which keeps vbar. Step counts are the largest of all blobs;
 * rounding seeds must agree, references where they are set, and model keys, the plan's included, where they are not 0.
 * A unit other than 1 is of narrow moments, which a plan of F32 refuses. The image is written on success only. Errors:
 * NULL, SIZE, ALIGNMENT, OVERLAP, and the refusals of a blob; the detail names the blob and the byte or record.
 */
SWD_API swd_status swd_state_import(const swd_plan* plan, const void* const* blobs, const uint64_t* blob_bytes,
                                    int64_t blob_count, void* image, uint64_t image_bytes);

/** Sets the running sum of every segment with elements to the sum of its exp_avg_sq: after loading the moments of an
 * Adam or AdamW checkpoint (step counters through swd_state_set), or when a sum is unknown. One launch. Sums of L2
 * groups become unknown. A sum that is not finite stays so, and scheduled and relative steps are SKIPPED_VBAR, until
 * the moments are mended and rebuilt: swd_stats.damaged_segment says which. Uses exp_avg_sq, state and workspace of
 * `buffers`; other members are not read. Errors: those of swd_step. */
SWD_API swd_status swd_state_rebuild(const swd_plan* plan, const swd_buffers* buffers, void* stream);

/** Parameters and moments in fp32, element for element as the plan's. */
typedef struct swd_fp32_arrays {
  uint32_t struct_size; /**< sizeof(swd_fp32_arrays) */
  uint32_t flags;       /**< 0 */
  const void* param; /**< each NULL, or: flat base (float*) where the backend computes. With SWD_PLAN_LIST a host array
                        of segment_count such pointers, free to reuse on return; there NULL leaves a segment alone */
  const void* exp_avg;    /**< likewise */
  const void* exp_avg_sq; /**< likewise; the second moment itself, whatever the unit */
} swd_fp32_arrays;

/** All NULL. */
#define SWD_FP32_ARRAYS_INIT \
  { sizeof(swd_fp32_arrays), 0, NULL, NULL, NULL }

/** Writes what SWD_FP32_ARRAYS_INIT holds. Errors: NULL, ALIGNMENT, STRUCT_SIZE. */
SWD_API swd_status swd_fp32_arrays_init(swd_fp32_arrays* arrays, uint64_t struct_size);

/** fp32 to the plan's dtypes, rounded to nearest: to begin training from fp32 parameters, or to load a checkpoint of
 * any Adam. What is NULL in `from` is left alone, with its buffers, which need not be set then. Where exp_avg_sq is
 * loaded the segments' units become 1; running sums stay as they are: swd_state_rebuild, or swd_state_set. One launch,
 * in a list one more per 480 pointers. Errors: those of swd_step, for what is used. */
SWD_API swd_status swd_state_load(const swd_plan* plan, const swd_buffers* buffers, const swd_fp32_arrays* from,
                                  void* stream);

/** And back, exactly: what a step would compute with. `to` is written. */
SWD_API swd_status swd_state_store(const swd_plan* plan, const swd_buffers* buffers, const swd_fp32_arrays* to,
                                   void* stream);

/* ---- Library ------------------------------------------------------------------------------------ */

SWD_API uint32_t swd_version(void);           /**< MAJOR * 10000 + MINOR * 100 + PATCH of the library in use */
SWD_API const char* swd_version_string(void); /**< "0.2.0"; static storage, as the two below */
SWD_API const char* swd_status_name(swd_status status); /**< "SWD_ERR_NULL"; "unknown" for others */
SWD_API const char* swd_result_name(swd_result result); /**< "SWD_RESULT_APPLIED"; "unknown" for others */

/** Results are equal to the bit between libraries of one numerics version. A mended error may raise it, nothing else.
 */
SWD_API uint32_t swd_numerics_version(void);

/** Which build of the CPU backend's loops this process uses: "base", "v3" (AVX2) or "v4" (AVX-512). Static storage. */
SWD_API const char* swd_cpu_isa(void);

/** Most threads that a step on the CPU uses, called from this thread now, where swd_plan_args.threads is 0. */
SWD_API int32_t swd_cpu_threads(void);

/** What the latest failed call of this thread said: one line that names the argument; "" before any failure.
 * Valid until the thread's next failed call. */
SWD_API const char* swd_error_detail(void);

/** The cudaError_t of this thread's latest SWD_ERR_CUDA or SWD_ERR_NO_DEVICE; 0 before any. */
SWD_API int32_t swd_error_cuda(void);

/** sizeof of a public struct as the library knows it, for bindings to compare; 0 for an unknown name such as "x". */
SWD_API uint64_t swd_sizeof(const char* struct_name);

#ifdef __cplusplus
}
#endif
#endif
