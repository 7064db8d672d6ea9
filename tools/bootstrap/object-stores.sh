#!/bin/sh
# Puts two programs that answer as S3 does into .cache/systems, for the tests of repositories in buckets:
#
#   versitygw  a Go program, built from the module github.com/versity/versitygw; keeps objects as files
#   moto       a Python package; keeps objects in memory, knows encryption with KMS keys and Object Lock
#
#   sh tools/bootstrap/object-stores.sh
#
# Nothing is installed outside .cache and the caches of go and pip themselves. Each part appears only once it is complete, so an
# interrupted run does no harm. Exit code 1 where one of them could not be had.
set -u

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit 1
cd "$here/../.." || exit 1

versitygw=1.8.0
moto=5.2.5

say() { printf '%s\n' "$*"; }

mkdir -p .cache/systems || exit 1
work=$(mktemp -d "$PWD/.cache/systems/fetching.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

ensure_versitygw() {
  target=.cache/systems/versitygw-$versitygw
  if [ -x "$target/versitygw" ]; then
    say "versitygw $versitygw: already in $target."
    return 0
  fi
  if ! command -v go >/dev/null 2>&1; then
    say "versitygw is built from its Go module, and this machine lacks go (Debian: apt-get install golang-go)."
    return 1
  fi
  say "versitygw $versitygw: building the Go module (a few minutes, once) ..."
  mkdir "$work/versitygw" || return 1
  GOBIN=$work/versitygw nice -n 10 go install "github.com/versity/versitygw/cmd/versitygw@v$versitygw" || {
    say "go could not build it; its own words are above."
    return 1
  }
  mv "$work/versitygw" "$target" 2>/dev/null || [ -x "$target/versitygw" ] || return 1
  say "versitygw $versitygw: in $target."
}

ensure_moto() {
  target=.cache/systems/moto-$moto
  if [ -f "$target/moto/server.py" ]; then
    say "moto $moto: already in $target."
    return 0
  fi
  if ! command -v python3 >/dev/null 2>&1 || ! python3 -m pip --version >/dev/null 2>&1; then
    say "moto is a Python package, and this machine lacks python3 or pip (Debian: apt-get install python3-pip)."
    return 1
  fi
  say "moto $moto: fetching the Python package and what it needs ..."
  # Into a directory of its own: the machine's Python packages stay as they are. The list is complete, so nothing is resolved.
  python3 -m pip install --quiet --disable-pip-version-check --only-binary=:all: --no-deps --root-user-action=ignore --target "$work/moto" \
    --requirement "$here/moto-requirements.txt" || { say "pip could not fetch it; its own words are above."; return 1; }
  mv "$work/moto" "$target" 2>/dev/null || [ -f "$target/moto/server.py" ] || return 1
  say "moto $moto: in $target."
}

failed=0
ensure_moto || failed=1
ensure_versitygw || failed=1
exit "$failed"
