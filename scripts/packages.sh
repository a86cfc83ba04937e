#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes the Debian packages libswd0.2 and libswd-dev, a tarball of the same files, and the Conan package; checks them
# (lintian, the recipe's test_package) and builds the quickstart with each. Leaves the files in build/packages/dist.
# Usage: packages.sh [--cuda] [--bare-root] [--conan]
#
#   --cuda       with the CUDA backend, all architectures; else CPU only, some two minutes on two cores
#   --bare-root  installs the .deb with dpkg in a new Debian root (debootstrap, as root); else it is only unpacked
#   --conan      the Conan package alone, static, as CI does
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
work=$root/build/packages
cuda=OFF bare="" only_conan=""
for argument in "$@"; do
  case $argument in
    --cuda) cuda=ON ;;
    --bare-root) bare=yes ;;
    --conan) only_conan=yes ;;
    *) echo "usage: packages.sh [--cuda] [--bare-root] [--conan]" >&2; exit 2 ;;
  esac
done
mkdir -p "$work"
quietly() {  # log file, command...: its last lines if it fails
  local log=$work/$1.log
  shift
  "$@" > "$log" 2>&1 || { tail -n 40 "$log"; echo "packages.sh: $* failed" >&2; exit 1; }
}

conan_package() {
  [ -x "$work/conan/bin/conan" ] || { /usr/bin/python3 -m venv "$work/conan" && quietly pip "$work/conan/bin/python" -m pip install \
    --disable-pip-version-check conan==2.34.0; }
  export CONAN_HOME=$work/conan-home
  "$work/conan/bin/conan" profile detect --exist-ok > /dev/null 2>&1
  "$work/conan/bin/conan" remote disable '*' > /dev/null 2>&1  # it needs nothing from elsewhere
  quietly conan "$work/conan/bin/conan" create packaging/conan
  [ -n "$only_conan" ] || quietly conan-shared "$work/conan/bin/conan" create packaging/conan -o 'libswd/*:shared=True'
  echo "Conan: quickstart built and run"
}
if [ -n "$only_conan" ]; then
  scripts/install_deps.sh python
  conan_package
  exit
fi

scripts/install_deps.sh packages python ${bare:+bare-root}
if [ $cuda = ON ]; then . scripts/nvcc.sh; fi
export DEBEMAIL=${DEBEMAIL:-$(git log -1 --format=%ae)} DEBFULLNAME=${DEBFULLNAME:-$(git log -1 --format=%an)}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH
quietly configure cmake -S . -B "$work/cmake" -DCMAKE_INSTALL_PREFIX=/usr -DSWD_CUDA=$cuda -DSWD_PACKAGING=ON -DSWD_BUILD_TESTS=OFF \
  -DSWD_BUILD_BENCH=OFF -DSWD_BUILD_EXAMPLES=OFF
quietly build cmake --build "$work/cmake" -j "$(nproc)"
rm -rf "$work/dist" && mkdir -p "$work/dist"
(cd "$work/cmake" && umask 022 && quietly cpack cpack -B "$work/dist")
rm -rf "$work/dist/_CPack_Packages"
debs=("$work"/dist/libswd0.2_*.deb "$work"/dist/libswd-dev_*.deb)
# Packages from outside of Debian close no bug of Debian's.
lintian --fail-on error,warning --suppress-tags initial-upload-closes-no-bugs "${debs[@]}"
echo "lintian: clean"

use() {  # root folder, command prefix...: find_package and pkg-config under /usr there
  "${@:2}" bash -ec '
    cd /tmp && rm -rf use && mkdir use && cmake -S "$1/tests/interface/consumer" -B use -DQUICKSTART="$1/examples/quickstart.c" > /dev/null
    cmake --build use > /dev/null && use/consumer | tail -n 1
    cc -std=c99 "$1/examples/quickstart.c" -o use/by-pkg-config $(pkg-config --cflags --libs swd) && use/by-pkg-config | tail -n 1' use "$1"
}
if [ -n "$bare" ]; then
  chroot=$work/root
  [ -e "$chroot/complete" ] || { rm -rf "$chroot"; quietly debootstrap debootstrap --variant=minbase --include=gcc,libc6-dev,cmake,make,pkg-config \
    bookworm "$chroot" && touch "$chroot/complete"; }
  rm -rf "$chroot/swd" && mkdir "$chroot/swd"
  cp -r --parents tests/interface/consumer examples/quickstart.c "${debs[@]#"$root"/}" "$chroot/swd"
  quietly install chroot "$chroot" bash -c 'dpkg -i /swd/build/packages/dist/*.deb'
  use /swd chroot "$chroot"
  chroot "$chroot" dpkg --purge libswd-dev libswd0.2 > /dev/null
else
  rm -rf "$work/unpacked"
  for deb in "${debs[@]}"; do dpkg-deb -x "$deb" "$work/unpacked"; done
  library=$(dirname "$(find "$work/unpacked" -name 'libswd.so.0.2')")
  use "$root" env CMAKE_PREFIX_PATH="$work/unpacked/usr" PKG_CONFIG_PATH="$library/pkgconfig" LD_LIBRARY_PATH="$library"
fi
echo "Debian packages: quickstart built and run"

mkdir -p "$work/unpacked-tarball"
tar -xzf "$work"/dist/libswd-*.tar.gz -C "$work/unpacked-tarball" --strip-components 1
library=$(dirname "$(find "$work/unpacked-tarball" -name 'libswd.so.0.2')")
use "$root" env CMAKE_PREFIX_PATH="$work/unpacked-tarball/usr:$work/unpacked-tarball" PKG_CONFIG_PATH="$library/pkgconfig" LD_LIBRARY_PATH="$library"
echo "tarball: quickstart built and run"

conan_package
ls -l "$work/dist"
