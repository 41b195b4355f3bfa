#!/usr/bin/env bash
# The peers, end to end, on a Debian machine with Node 20.19 or newer: installs what they need (Redis, PostgreSQL 15 and pg_cron by apt-get, the
# rest by npm in this folder), builds Cuckoo, measures all in one run, and stops what it has started. Nothing outside of loopback listens.
#
#   bench/peers/run.sh            about 12 minutes on a quiet machine with two cores
#   bench/peers/run.sh --full     long windows: more than an hour
#   bench/peers/run.sh --quick    a few minutes, small: does all of it work?
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"
policy=/usr/sbin/policy-rc.d
made_policy=''
folder=''
main=''

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

tidy() {
  status=$?
  trap - EXIT
  trap '' INT TERM HUP
  # main.mjs stops its servers itself; whatever is left after it has their process ids in this folder.
  if [ -n "$main" ] && kill -0 "$main" 2>/dev/null; then
    kill -TERM "$main" 2>/dev/null || true
    wait "$main" 2>/dev/null || true
  fi
  if [ -n "$folder" ] && [ -d "$folder" ]; then
    for note in "$folder"/*.pid; do
      [ -e "$note" ] || continue
      left="$(cat "$note")"
      kill -INT "$left" 2>/dev/null || continue
      for _ in $(seq 100); do
        kill -0 "$left" 2>/dev/null || break
        sleep 0.1
      done
    done
    rm -rf "$folder"
  fi
  if [ -n "$made_policy" ]; then as_root rm -f "$policy"; fi
  exit "$status"
}
trap tidy EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

missing=()
for package in redis-server postgresql-15 postgresql-15-cron; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
if [ "${#missing[@]}" -gt 0 ]; then
  echo "installing ${missing[*]}"
  # Installed, but not started: the servers that are measured are others, and are started below.
  if [ ! -e "$policy" ]; then
    made_policy=yes
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
  fi
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  if [ -n "$made_policy" ]; then
    as_root rm -f "$policy"
    made_policy=''
  fi
fi

cd "$root"
[ -d node_modules ] || npm ci --no-audit --no-fund
npm run --silent build
cd "$here"
npm ci --no-audit --no-fund --ignore-scripts --loglevel=error >/dev/null

folder="$(mktemp -d "${TMPDIR:-/tmp}/cuckoo-peers-XXXXXX")"
# In the background, so that a signal is heard while it runs.
CUCKOO_PEERS_FOLDER="$folder" node main.mjs "$@" &
main=$!
wait "$main"
