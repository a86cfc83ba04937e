/* SPDX-License-Identifier: Apache-2.0
 * Prints size and offset of every field of every public struct and, given a stored table, compares: layouts are part of
 * the ABI. Also: no holes, no padding at the end, and the library counts the same sizes as this compiler. The table is
 * of 64-bit machines; where pointers have 4 bytes, it must hold but for those and what moves up behind them.
 * Usage: abi_layout [TABLE]. Run by the tests with tests/interface/abi/layout.txt. */
#include <stdio.h>
#include <string.h>

#include "swd/swd.h"

struct field {
  const char* name;
  size_t offset, size;
};

#define FIELD(type, member) \
  { #type "." #member, offsetof(type, member), sizeof(((type*)0)->member) }
#define END(type) \
  { #type, sizeof(type), 0 }

/* In order of declaration; END closes a struct. A field that is missing here shows as a hole. */
static const struct field fields[] = {
    FIELD(swd_segment, offset),
    FIELD(swd_segment, count),
    FIELD(swd_segment, index),
    FIELD(swd_segment, group),
    FIELD(swd_segment, flags),
    END(swd_segment),
    FIELD(swd_plan_args, struct_size),
    FIELD(swd_plan_args, flags),
    FIELD(swd_plan_args, backend),
    FIELD(swd_plan_args, param_dtype),
    FIELD(swd_plan_args, grad_dtype),
    FIELD(swd_plan_args, copy_dtype),
    FIELD(swd_plan_args, segments),
    FIELD(swd_plan_args, segment_count),
    FIELD(swd_plan_args, decay_modes),
    FIELD(swd_plan_args, segment_stride),
    FIELD(swd_plan_args, group_count),
    FIELD(swd_plan_args, threads),
    FIELD(swd_plan_args, reserved),
    FIELD(swd_plan_args, model_key),
    FIELD(swd_plan_args, moment_dtype),
    FIELD(swd_plan_args, remainder_dtype),
    END(swd_plan_args),
    FIELD(swd_buffers, struct_size),
    FIELD(swd_buffers, flags),
    FIELD(swd_buffers, param),
    FIELD(swd_buffers, grad),
    FIELD(swd_buffers, exp_avg),
    FIELD(swd_buffers, exp_avg_sq),
    FIELD(swd_buffers, max_exp_avg_sq),
    FIELD(swd_buffers, param_copy),
    FIELD(swd_buffers, state),
    FIELD(swd_buffers, state_bytes),
    FIELD(swd_buffers, workspace),
    FIELD(swd_buffers, workspace_bytes),
    FIELD(swd_buffers, remainder),
    FIELD(swd_buffers, exp_avg_scale),
    FIELD(swd_buffers, exp_avg_sq_scale),
    END(swd_buffers),
    FIELD(swd_group, lr),
    FIELD(swd_group, beta1),
    FIELD(swd_group, beta2),
    FIELD(swd_group, eps),
    FIELD(swd_group, weight_decay),
    FIELD(swd_group, lr_pointer),
    FIELD(swd_group, lr_factor),
    END(swd_group),
    FIELD(swd_step_args, struct_size),
    FIELD(swd_step_args, flags),
    FIELD(swd_step_args, groups),
    FIELD(swd_step_args, groups_device),
    FIELD(swd_step_args, group_count),
    FIELD(swd_step_args, group_stride),
    FIELD(swd_step_args, loss_scale),
    FIELD(swd_step_args, loss_scale_pointer),
    FIELD(swd_step_args, found_inf),
    FIELD(swd_step_args, has_grad),
    FIELD(swd_step_args, max_grad_norm),
    FIELD(swd_step_args, max_decay),
    FIELD(swd_step_args, reference_step),
    END(swd_step_args),
    FIELD(swd_norm_record, sum_sq),
    FIELD(swd_norm_record, bad),
    FIELD(swd_norm_record, vbar_base),
    FIELD(swd_norm_record, vbar_grad),
    FIELD(swd_norm_record, count),
    FIELD(swd_norm_record, total_sq),
    FIELD(swd_norm_record, unknown),
    FIELD(swd_norm_record, invalid),
    END(swd_norm_record),
    FIELD(swd_stats, result),
    FIELD(swd_stats, flags),
    FIELD(swd_stats, steps_applied),
    FIELD(swd_stats, steps_skipped),
    FIELD(swd_stats, grad_norm),
    FIELD(swd_stats, clip_coef),
    FIELD(swd_stats, vbar),
    FIELD(swd_stats, inv_sqrt_vbar),
    FIELD(swd_stats, largest_decay),
    FIELD(swd_stats, bad),
    FIELD(swd_stats, param_norm),
    FIELD(swd_stats, update_norm),
    FIELD(swd_stats, vbar_reference),
    FIELD(swd_stats, damaged_segment),
    END(swd_stats),
    FIELD(swd_state_header, steps_applied),
    FIELD(swd_state_header, steps_skipped),
    FIELD(swd_state_header, vbar_reference),
    FIELD(swd_state_header, rounding_seed),
    END(swd_state_header),
    FIELD(swd_segment_state, step),
    FIELD(swd_segment_state, exp_avg_sq_sum),
    FIELD(swd_segment_state, exp_avg_sq_unit),
    FIELD(swd_segment_state, reserved),
    END(swd_segment_state),
    FIELD(swd_fp32_arrays, struct_size),
    FIELD(swd_fp32_arrays, flags),
    FIELD(swd_fp32_arrays, param),
    FIELD(swd_fp32_arrays, exp_avg),
    FIELD(swd_fp32_arrays, exp_avg_sq),
    END(swd_fp32_arrays),
};

static int failures = 0;

static void fail(const char* name, const char* what) {
  printf("%s: %s\n", name, what);
  ++failures;
}

/* `offset` and `size` as on a 64-bit machine; a pointer there is the only thing of 8 bytes that has fewer here. */
static void print_line(char* line, size_t room, const struct field* f, size_t offset, size_t size) {
  if (f->size == 0) {
    snprintf(line, room, "%s size %lu\n", f->name, (unsigned long)offset);
  } else {
    snprintf(line, room, "%s offset %lu size %lu\n", f->name, (unsigned long)offset, (unsigned long)size);
  }
}

/* `moved`: how many bytes earlier than on a 64-bit machine this field lies; this function counts it on. */
static void compare_line(FILE* table, const struct field* f, size_t* moved) {
  char line[128], wanted[128];
  if (!fgets(line, sizeof line, table)) line[0] = '\0';
  print_line(wanted, sizeof wanted, f, f->offset + *moved, f->size);
  if (strcmp(line, wanted) != 0 && sizeof(void*) == 4 && f->size == 4) {
    print_line(wanted, sizeof wanted, f, f->offset + *moved, 8);
    *moved += 4;
  }
  if (strcmp(line, wanted) != 0) {
    printf("stored: %sfound:  %s", line[0] ? line : "nothing\n", wanted);
    ++failures;
  }
  if (f->size == 0) *moved = 0;
}

int main(int argc, char** argv) {
  size_t end = 0, moved = 0;
  size_t i;
  char line[128];
  FILE* table = argc > 1 ? fopen(argv[1], "r") : NULL;
  if (argc > 1 && !table) {
    printf("cannot open %s\n", argv[1]);
    return 1;
  }
  for (i = 0; i < sizeof fields / sizeof fields[0]; ++i) {
    const struct field* f = &fields[i];
    int closes = f->size == 0;
    if (f->offset != end)
      fail(f->name, closes ? "padding at the end, or a field is missing in layout.c" : "a hole before it");
    if (closes && swd_sizeof(f->name) != f->offset) fail(f->name, "swd_sizeof says otherwise");
    end = closes ? 0 : f->offset + f->size;
    if (table) {
      compare_line(table, f, &moved);
    } else {
      print_line(line, sizeof line, f, f->offset, f->size);
      fputs(line, stdout);
    }
  }
  if (table && fgets(line, sizeof line, table)) fail(line, "stored, but not found");
  if (table) fclose(table);
  if (failures == 0 && argc > 1) printf("%lu lines as stored\n", (unsigned long)i);
  return failures == 0 ? 0 : 1;
}
