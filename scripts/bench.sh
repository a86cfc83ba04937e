#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds bench_step, runs it and the peers, prints one table and `metric name value` lines, and leaves JSON and a
# picture in bench/results/<machine>/.
#
#   bench.sh [--backend=cpu|cuda] [--quick] [--no-peers]
#
# --quick   ends in under a minute on two cores, building not counted; runs peers only if a Python with torch is there
# Peers run in $SWD_BENCH_PYTHON, or in build/bench-venv, which a full run makes (several GB).
set -euo pipefail
cd "$(dirname "$0")/.."
backend=cpu quick="" peers=yes
for argument in "$@"; do
  case "$argument" in
    --backend=cpu | --backend=cuda) backend=${argument#--backend=} ;;
    --quick) quick=--quick ;;
    --no-peers) peers="" ;;
    *) echo "usage: bench.sh [--backend=cpu|cuda] [--quick] [--no-peers]" >&2; exit 2 ;;
  esac
done

build=build/bench
scripts/install_deps.sh bench
cuda=OFF
if [ "$backend" = cuda ]; then cuda=ON; fi
cmake -S . -B "$build" -DCMAKE_BUILD_TYPE=Release -DSWD_CUDA=$cuda -DSWD_BUILD_TESTS=OFF \
  -DSWD_BUILD_EXAMPLES=OFF > /dev/null
cmake --build "$build" -j "$(nproc)" --target bench_step > /dev/null

python=${SWD_BENCH_PYTHON:-build/bench-venv/bin/python}
if [ -n "$peers" ] && [ -z "$quick" ] && [ -z "${SWD_BENCH_PYTHON:-}" ]; then bench/peers/setup.sh; fi
has_torch='import importlib.util, sys; sys.exit(importlib.util.find_spec("torch") is None)'
if [ -n "$peers" ] && ! "$python" -c "$has_torch" 2> /dev/null; then
  echo "peers not run: no Python with torch (bench/peers/setup.sh makes one)"
  peers=""
fi

fresh=$build/results
rm -rf "$fresh" && mkdir -p "$fresh"
"$build/bench/bench_step" --backend="$backend" $quick --benchmark_out="$fresh/step.json" --benchmark_out_format=json \
  --benchmark_context=commit="$(git rev-parse --short HEAD 2> /dev/null || echo unknown)" > "$fresh/step.log" 2>&1 ||
  { cat "$fresh/step.log" >&2; exit 1; }
peer_json=()
if [ -n "$peers" ]; then
  run_peers() { "$python" bench/peers/run.py --library "$build/libswd.so" --backend "$backend" "$@"; }
  run_peers $quick --json "$fresh/peers.json"
  peer_json+=("$fresh/peers.json")
  if [ -z "$quick" ]; then  # the number of tensors of GPT-2
    run_peers --tensors 148 --json "$fresh/peers-148.json"
    peer_json+=("$fresh/peers-148.json")
  fi
fi

machine=$(/usr/bin/python3 -c 'import json, re, sys
name = json.load(open(sys.argv[1]))["context"]["machine"]
print(re.sub("[^a-z0-9]+", "-", name.lower()).strip("-"))' "$fresh/step.json")
results=bench/results/$machine
prefix=$backend${quick:+-quick}
mkdir -p "$results"
/usr/bin/python3 bench/roofline.py "$results/$prefix-roofline.png" "$fresh/step.json" "${peer_json[@]}"
/usr/bin/python3 bench/report.py "$fresh/step.json" "${peer_json[@]}"
for file in "$fresh"/*.json; do cp "$file" "$results/$prefix-$(basename "$file")"; done
