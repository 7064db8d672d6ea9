#!/bin/sh
# Puts the engine of ClickHouse into .cache/systems, for the tests of its driver: the npm package chdb, which holds the whole engine as a library.
#
#   sh tools/bootstrap/clickhouse.sh
#
# It is never a package of Holdfast: it has half a gigabyte. It appears only once it is complete, so an interrupted run does no harm. Exit code 1 where it could
# not be had.
set -u

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit 1
cd "$here/../.." || exit 1

chdb=3.4.0
target=.cache/systems/chdb-$chdb

say() { printf '%s\n' "$*"; }

if [ -f "$target/node_modules/chdb/index.js" ]; then
  say "chdb $chdb: already in $target."
  exit 0
fi

mkdir -p .cache/systems || exit 1
work=$(mktemp -d "$PWD/.cache/systems/fetching.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

say "chdb $chdb: fetching the npm package (about 150 MB, 550 MB on the disk, once) ..."
printf '{ "private": true }\n' >"$work/package.json"
# Without install scripts: the library of each platform is a package of its own.
(cd "$work" && npm install --no-audit --no-fund --ignore-scripts --save-exact "chdb@$chdb" >npm.log 2>&1) || {
  cat "$work/npm.log"
  say "npm could not fetch it; its own words are above."
  exit 1
}
mv "$work" "$target" 2>/dev/null || [ -f "$target/node_modules/chdb/index.js" ] || exit 1
chmod 755 "$target"
say "chdb $chdb: in $target."
