# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Sourced: swd_architectures, what tests are built for, in CMake's words. PTX only: quick to build, runs on any device through
# the driver's compiler. Where there is no device the simulator takes the newest, and that is all; SWD_TEST_ARCHITECTURES, which
# CI sets, names others.
swd_architectures=${SWD_TEST_ARCHITECTURES:-90-virtual}
if [ -z "${SWD_TEST_ARCHITECTURES:-}" ] && { [ -e /dev/nvidiactl ] || [ -e /dev/dxg ]; }; then
  swd_architectures="75-virtual;90-virtual"
fi
export swd_architectures
