#!/usr/bin/env bash
# Runs the benchmarks of the hot paths as they are at a commit and as they are now, in turns,
# and has benchstat say what differs: compare.sh <commit> <rounds>. It leaves nothing behind.
set -euo pipefail
cd "$(dirname "$0")/../.."
base=$1 rounds=$2
at=$(mktemp -d)
trap 'git worktree remove --force "$at/base" 2>/dev/null || true; rm -rf "$at"' EXIT
git worktree add --quiet --detach "$at/base" "$base"

# What runs for each file: limits, the queue and its records, a request to either side.
packages=(limits nats oci s3)
declare -A sources=([base]=$at/base [now]=$PWD)
for side in base now; do
  for name in "${packages[@]}"; do
    (cd "${sources[$side]}" && go test -c -o "$at/$side-$name" "./internal/$name")
  done
done
for round in $(seq "$rounds"); do
  echo "round $round of $rounds" >&2
  for side in base now; do
    for name in "${packages[@]}"; do
      (cd "${sources[$side]}/internal/$name" &&
        "$at/$side-$name" -test.run '^$' -test.bench . -test.benchtime 200x -test.benchmem >>"$at/$side.txt")
    done
  done
done
bin/benchstat "base=$at/base.txt" "now=$at/now.txt"
