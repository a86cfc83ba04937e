/* SPDX-License-Identifier: Apache-2.0
 * Loading libswd must leave the program's floating-point state alone: denormals are neither flushed nor read as zero.
 * Exit code 0 if so. Run by tests/same/fast_math_parent.sh. */
#include <float.h>
#include <stdio.h>

#include "swd/swd.h"

int main(void) {
  volatile float smallest = FLT_MIN;
  volatile float half = smallest * 0.5f; /* denormal: flushed if FTZ is set */
  volatile float whole = half * 2.0f;    /* read as zero if DAZ is set */
  printf("libswd %s: FLT_MIN / 2 = %g\n", swd_version_string(), (double)half);
  return half > 0.0f && whole == smallest ? 0 : 1;
}
