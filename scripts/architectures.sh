# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Sourced: swd_architectures, what tests are built for, in CMake's words: SWD_TEST_ARCHITECTURES, which CI sets, or PTX only. That
# is quick to build and runs on any device through the driver's compiler; without a device the simulator takes the newest alone.
if [ -n "${SWD_TEST_ARCHITECTURES:-}" ]; then
  swd_architectures=$SWD_TEST_ARCHITECTURES
elif [ -e /dev/nvidiactl ] || [ -e /dev/dxg ]; then
  swd_architectures="75-virtual;90-virtual"
else
  swd_architectures=90-virtual
fi
export swd_architectures
