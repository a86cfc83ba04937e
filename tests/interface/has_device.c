/* SPDX-License-Identifier: Apache-2.0
 * Says whether the CUDA backend can run here; exit code 0 if so. Asked by scripts/test.sh. */
#include <stdio.h>

#include "swd/swd.h"

int main(void) {
  swd_status status = swd_backend_available(SWD_BACKEND_CUDA);
  printf("%s %s\n", swd_status_name(status), status == SWD_OK ? "" : swd_error_detail());
  return status == SWD_OK ? 0 : 1;
}
