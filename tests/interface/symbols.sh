#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The names that libswd exports, the names in the version script and the functions of swd.h are the same set.
# Usage: symbols.sh SOURCE_DIR LIBRARY. Ends by showing that a missing name would be noticed.
set -euo pipefail
source_dir=$1 library=$2
declared=$(grep -oE '\bswd_[a-z0-9_]+\(' <(grep -A1 'SWD_API' "$source_dir/include/swd/swd.h" | grep -v 'define') | tr -d '(' | sort -u)
listed=$(grep -oE '^ *swd_[a-z0-9_]+;' "$source_dir/cmake/libswd.map" | tr -d ' ;' | sort -u)
exported=$(nm -D --defined-only "$library" | awk '$2 != "A" {print $3}' | sed 's/@.*//' | sort -u)
same() { diff <(echo "$1") <(echo "$2"); }
same "$declared" "$listed"
same "$listed" "$exported"
if same "$(echo "$listed" | tail -n +2)" "$exported" > /dev/null; then
  echo "the comparison cannot fail" >&2
  exit 1
fi
echo "$(echo "$exported" | wc -l) names, all declared"
