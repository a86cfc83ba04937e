#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Checks that an object built for a wide instruction set shares nothing with the rest of the program: a weak or other
# global function in it could be picked by the linker for a machine that cannot run it. Allowed is one global symbol,
# swd::cpu::loops_<isa>. Run by the tests.
#
#   check_isa_symbols.sh OBJECT...        exit 1 if an object defines anything more
#   check_isa_symbols.sh --self-test      proves that the check can fail; uses $CXX or c++
set -eu

# Defined symbols that other objects can see: nm gives local symbols a lower-case letter, weak ones V, W, v or w, and
# unique ones u.
allowed='T _ZN3swd3cpu[0-9]+loops_[a-z0-9]+ERKNS_6DtypesE$'
shared_symbols() {
  nm "$1" | awk 'NF == 3 && $2 ~ /^[A-TV-Zuvw]$/ { print $2, $3 }' | grep -vE "^$allowed" || true
}

check() {
  failed=0
  for object in "$@"; do
    nm "$object" >/dev/null || return 1
    found=$(shared_symbols "$object")
    functions=$(nm "$object" | grep -cE " $allowed" || true)
    if [ -n "$found" ]; then
      printf '%s defines symbols that it must not share:\n%s\n' "$object" "$found" >&2
      failed=1
    fi
    if [ "$functions" != 1 ]; then
      printf '%s defines %s functions swd::cpu::loops_<isa>, not 1\n' "$object" "$functions" >&2
      failed=1
    fi
  done
  return $failed
}

self_test() {
  dir=$(mktemp -d)
  trap 'rm -rf "$dir"' EXIT
  good='namespace swd { struct Dtypes; namespace cpu { static int s; const void* loops_v3(const Dtypes&) { return &s; } } }'
  expect() {  # name, wanted exit status, source
    printf '%s\n' "$3" >"$dir/$1.cpp"
    "${CXX:-c++}" -std=c++17 -O0 -c "$dir/$1.cpp" -o "$dir/$1.o"
    status=0
    check "$dir/$1.o" 2>/dev/null || status=1
    if [ "$status" != "$2" ]; then
      printf 'self-test "%s": exit status %s, not %s\n' "$1" "$status" "$2" >&2
      exit 1
    fi
  }
  expect clean 0 "$good"
  expect weak_inline 1 "$good inline int f(int x) { return x; } int (*q)(int) = f;"
  expect used_template 1 "$good template <class T> T f(T x) { return x; } static int y = f(1);"
  expect global_function 1 "$good void g() {}"
  expect global_variable 1 "$good int v = 1;"
  expect without_the_function 1 "static int s; static int* unused __attribute__((used)) = &s;"
  if check "$dir/missing.o" 2>/dev/null; then
    echo 'self-test: a missing object passed' >&2
    exit 1
  fi
  echo 'self-test passed'
}

case "${1-}" in
  --self-test) self_test ;;
  '') echo "usage: $0 OBJECT... | --self-test" >&2; exit 2 ;;
  *) check "$@" ;;
esac
