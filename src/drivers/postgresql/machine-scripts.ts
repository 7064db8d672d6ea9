/**
 * What runs on a server's host. Each script is fixed text for `sh`; paths and values come as its arguments, secrets as its input, so nothing is ever pasted into a command
 * line. One script is one trip to the host.
 *
 * Names beside the data directory DIR (so that nobody's copy of DIR brings them along):
 *   DIR.holdfast-pass     passwords for replication, in the form of libpq's password file
 *   DIR.holdfast-rewind   the data directory while it is rewound: in between no server can be started in DIR, whatever becomes of us
 *   DIR.holdfast-conf     this server's own configuration while another one's is copied over it
 *   DIR.holdfast-new      a copy being made
 *   DIR.holdfast-rewound  onto which history DIR was rewound last
 *   DIR.holdfast-lock     held while DIR is replayed, rewound or copied: whoever began it may be dead, and its script still at work
 *   DIR.holdfast-log      what pg_ctl printed when it started the server
 */

/** Arguments 1 and 2 of every script: the data directory, and the programs' directory or an empty text. */
export const prelude = `set -eu
data=$1; bin=$2; shift 2
aside=$data.holdfast-rewind
here=$data
[ -e "$data/PG_VERSION" ] || here=$aside
[ -e "$here/PG_VERSION" ] || { echo "there is no data directory at $data" >&2; exit 65; }
if [ -z "$bin" ]; then
  version=$(cat "$here/PG_VERSION")
  for each in "/usr/lib/postgresql/$version/bin" "/usr/pgsql-$version/bin" /usr/local/pgsql/bin /usr/local/bin /usr/bin; do
    if [ -x "$each/pg_controldata" ]; then bin=$each; break; fi
  done
  [ -n "$bin" ] || { echo "the programs of PostgreSQL $version are not found: set bin-directory" >&2; exit 66; }
fi
LC_ALL=C; export LC_ALL
real=$(cd "$here" && pwd -P)
# Every process of a server works in its data directory, orphans of a killed postmaster too. A person's shell may stand there as well.
processes() {
  find /proc/[0-9]*/cwd -maxdepth 0 -lname "$real" 2>/dev/null | while IFS=/ read -r _ _ pid _; do
    if read -r name <"/proc/$pid/comm" 2>/dev/null && [ "$name" = postgres ]; then echo "$pid"; fi
  done
}
bar() { : >"$here/standby.signal"; sync "$here/standby.signal" "$here"; }
# Held for moments: who puts a bar and who takes one away must not do it at once, or one that was put anew would go with the old one.
hold_bar() {
  command -v flock >/dev/null || return 0
  exec 8<"$here"
  flock -w 5 8 || { echo "another script holds the bar of $data" >&2; exit 67; }
}
bar_word() { head -n 1 "$here/standby.signal" 2>/dev/null || :; }
bar_says() { [ "$(bar_word)" = "$1" ] || { echo 'the bar was put anew by somebody else' >&2; exit 71; }; }
# A killed postmaster that nobody has waited for yet keeps its number, and PostgreSQL would take its lock file for that of a live one.
forget_dead() {
  [ -e "$here/postmaster.pid" ] && [ -z "$(processes)" ] || return 0
  { read -r dead; read -r _; read -r _; read -r port; read -r sockets; } <"$here/postmaster.pid" 2>/dev/null || return 0
  read -r line 2>/dev/null <"/proc/$dead/stat" || return 0
  case \${line##*) } in Z*) ;; *) return 0;; esac
  for lock in "$here/postmaster.pid" "$sockets/.s.PGSQL.$port.lock"; do
    if read -r owner 2>/dev/null <"$lock" && [ "$owner" = "$dead" ]; then rm -f "$lock"; fi
  done
}
# Waits for a script that an earlier controller began here; then looks again where the directory is.
alone() {
  command -v flock >/dev/null || return 0
  exec 9>"$data.holdfast-lock"
  flock -w 300 9 || { echo "another script still works on $data" >&2; exit 67; }
  here=$data
  [ -e "$data/PG_VERSION" ] || here=$aside
  real=$(cd "$here" && pwd -P)
}
# A server takes its lock file away before the last of its processes has ended.
stopped() {
  for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39 40; do
    [ -n "$(processes)" ] || return 0
    sleep 0.05
  done
  echo "the server still runs" >&2; exit 67
}
`;

export const readStateScript = `if [ "$here" = "$aside" ]; then echo 'rewinding: yes'; else echo 'rewinding: no'; fi
echo "processes: $(processes | wc -l)"
if [ "$here" = "$aside" ] || [ -e "$here/standby.signal" ]; then echo 'barred: yes'; else echo 'barred: no'; fi
echo "bar says: $(bar_word)"
if [ "$here" = "$data" ] && [ -e "$data.holdfast-rewound" ]; then echo "rewound onto: $(cat "$data.holdfast-rewound")"; else echo 'rewound onto:'; fi
control=$("$bin/pg_controldata" -D "$here")
printf '%s\\n' "$control"
timeline=$(printf '%s\\n' "$control" | sed -n "s/^Latest checkpoint's TimeLineID: *//p")
switches=$here/pg_wal/$(printf '%08X' "$timeline").history
if [ -e "$switches" ]; then echo "switches: $(tr '\\n' ';' <"$switches")"; fi
`;

export const barScript = 'hold_bar\nbar\n';

/** Argument 3: the word. A bar without a word stays without one. */
export const barWithWordScript = `hold_bar
if [ ! -e "$here/standby.signal" ] || [ -s "$here/standby.signal" ]; then
  printf '%s\\n' "$1" >"$here/standby.signal"
fi
sync "$here/standby.signal" "$here"
`;

/** Arguments 3 and 4: the word that stands there, and the one that takes its place. */
export const changeBarScript = `hold_bar
[ -e "$here/standby.signal" ] || { echo 'no bar stands there' >&2; exit 71; }
bar_says "$1"
printf '%s\\n' "$2" >"$here/standby.signal"
sync "$here/standby.signal" "$here"
`;

/** Argument 3: the word that the bar must say. */
export const unbarScript = `stopped
hold_bar
bar_says "$1"
rm -f "$here/standby.signal"; sync "$here"
`;

/** Argument 3: seconds. */
export const stopOrderlyScript = `if [ -n "$(processes)" ]; then "$bin/pg_ctl" stop -D "$here" -m fast -w -t "$1" >&2; fi
stopped
`;

export const stopNowScript = `for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  pids=$(processes)
  [ -n "$pids" ] || exit 0
  kill -KILL $pids 2>/dev/null || :
  sleep 0.05
done
echo "processes survive SIGKILL: $pids" >&2; exit 67
`;

/** Argument 3: seconds. */
export const startScript = `forget_dead
if [ -z "$(processes)" ]; then "$bin/pg_ctl" start -D "$here" -w -t "$1" -l "$data.holdfast-log" >/dev/null || { tail -n 20 "$data.holdfast-log" >&2; exit 68; }; fi
`;

/** Input: the password file. */
export const writePasswordsScript = `umask 077
cat >"$data.holdfast-pass.new"
sync "$data.holdfast-pass.new"
mv "$data.holdfast-pass.new" "$data.holdfast-pass"
`;

/** Arguments 3 and 4: the values of primary_conninfo and primary_slot_name, as they stand between quotes in a configuration file. */
export const configureScript = `bar
umask 077
conf=$here/postgresql.auto.conf
settings='primary_conninfo|primary_slot_name|default_transaction_read_only|synchronous_standby_names'
{ [ ! -e "$conf" ] || grep -v -E "^[[:space:]]*($settings)[[:space:]]*=" "$conf" || :
  printf "primary_conninfo = '%s'\\nprimary_slot_name = '%s'\\n" "$1" "$2"
} >"$conf.holdfast"
sync "$conf.holdfast"
mv "$conf.holdfast" "$conf"
`;

const keepConfiguration = `save=$data.holdfast-conf
if [ ! -e "$save/saved" ]; then
  mkdir -p "$save"
  for file in postgresql.conf postgresql.auto.conf pg_hba.conf pg_ident.conf; do [ ! -e "$here/$file" ] || cp -p "$here/$file" "$save/$file"; done
  : >"$save/saved"
fi
`;

const putConfigurationBack = `for file in postgresql.conf postgresql.auto.conf pg_hba.conf pg_ident.conf; do [ ! -e "$save/$file" ] || cp -p "$save/$file" "$target/$file"; done
: >"$target/standby.signal"
sync "$target/standby.signal" "$target"
rm -rf "$save"
`;

/**
 * Argument 3: options that let nobody in. The server replays its own log to the end as a standby without an upstream, then stops: pg_rewind takes it from there, and not for
 * one moment was it a primary. (pg_rewind's own recovery, a single-user server, refuses a directory with standby.signal.)
 */
export const recoverScript = `alone
stopped
bar
forget_dead
private=$(mktemp -d)
trap 'rm -rf "$private"' EXIT
"$bin/pg_ctl" start -D "$here" -w -t "$1" -l "$data.holdfast-log" -o "$2 -c unix_socket_directories='$private'" >/dev/null || { tail -n 20 "$data.holdfast-log" >&2; exit 68; }
"$bin/pg_ctl" stop -D "$here" -m fast -w -t "$1" >/dev/null
`;

/** Arguments 3 and 4: connection string of the upstream, and the history it is rewound onto. Exit 70: the rewind failed, a fresh copy is needed. */
export const rewindScript = `alone
rewound() { [ -e "$data.holdfast-rewound" ] && [ "$(cat "$data.holdfast-rewound")" = "$1" ]; }
if [ "$here" = "$data" ] && rewound "$2"; then exit 0; fi
stopped
${keepConfiguration}
if [ "$here" = "$data" ]; then
  rm -f "$data.holdfast-rewound"
  mv "$data" "$aside"
  here=$aside
  if ! "$bin/pg_rewind" -D "$aside" --source-server="$1" --no-ensure-shutdown >&2; then exit 70; fi
  : >"$save/rewound"
elif [ ! -e "$save/rewound" ] && ! rewound "$2"; then
  echo 'an earlier rewind was interrupted' >&2; exit 70
fi
target=$aside
printf '%s\\n' "$2" >"$data.holdfast-rewound"
sync "$data.holdfast-rewound"
${putConfigurationBack}
mv "$aside" "$data"
sync "$(dirname "$data")"
`;

/**
 * Arguments 3 and 4: connection string of the upstream, and where the old directory goes (empty: beside). Prints where it went. Nothing is deleted but half-made copies.
 */
export const copyAnewScript = `alone
stopped
rm -f "$data.holdfast-rewound"
${keepConfiguration}
keep=\${2:-$data.holdfast-former}
[ ! -e "$keep" ] || keep=$keep.$(date +%s)
new=$data.holdfast-new
rm -rf "$new"
"$bin/pg_basebackup" -D "$new" --dbname="$1" --no-password -X stream -c fast >&2
target=$new
${putConfigurationBack}
mv "$here" "$keep"
mv "$new" "$data"
sync "$(dirname "$data")"
printf '%s\\n' "$keep"
`;

/** Arguments 3 to 5: first segment, last name of the timeline, directory. */
export const keepLogScript = `umask 077
mkdir -p "$3/log"
ls "$here/pg_wal" | while read -r name; do
  case $name in [0-9A-F]*.history) cp -p "$here/pg_wal/$name" "$3/log/"; continue;; *[!0-9A-F]*) continue;; esac
  if [ "$(printf '%s\\n%s\\n' "$1" "$name" | sort | head -n 1)" = "$1" ] && [ "$(printf '%s\\n%s\\n' "$2" "$name" | sort | head -n 1)" = "$name" ]; then
    cp -p "$here/pg_wal/$name" "$3/log/"
  fi
done
cp -p "$here/global/pg_control" "$3/log/"
printf '%s\\n' "$3"
`;

/**
 * Arguments 3 and 4: timeline, from. Prints the records of transactions that ended, then the last record of all. pg_waldump ends with an error where the log ends: that is
 * its only way to end.
 */
export const readCommitsScript = `"$bin/pg_waldump" -p "$here/pg_wal" -t "$1" -s "$2" 2>/dev/null |
awk '/^rmgr: /{last=$0; if ($2 == "Transaction") print} END{if (last != "") print last}' || :
`;

/** Arguments 3 to 5: timeline, from, file with one transaction id per line. Prints `OPERATION space/database/file count` for what they changed in tables. */
export const countChangesScript = `"$bin/pg_waldump" -p "$here/pg_wal" -t "$1" -s "$2" -r Heap -r Heap2 2>/dev/null | awk '
FILENAME != "-" {wanted[$1]; next}
match($0, /tx: *[0-9]+/) {
  id = substr($0, RSTART, RLENGTH); sub(/tx: */, "", id)
  if (!(id in wanted) || !match($0, /desc: [A-Z_]+/)) next
  what = substr($0, RSTART + 6, RLENGTH - 6)
  if (match($0, /rel [0-9]+\\/[0-9]+\\/[0-9]+/)) count[what " " substr($0, RSTART + 4, RLENGTH - 4)]++
}
END {for (key in count) print key, count[key]}' "$3" - || :
`;

export const oldestSegmentScript = `ls "$here/pg_wal" | grep -E "^$1[0-9A-F]{16}$" | sort | head -n 1
`;

/** Arguments 3 to 5: seconds, options, socket directory. Starts as a barred standby that only its own system user reaches. */
export const startPrivateScript = `stopped
bar
forget_dead
rm -rf "$3"
mkdir -m 700 "$3"
printf 'local all all trust\\n' >"$3/hba.conf"
"$bin/pg_ctl" start -D "$here" -w -t "$1" -l "$data.holdfast-log" -o "$2 -c unix_socket_directories='$3' -c hba_file='$3/hba.conf'" >/dev/null || { tail -n 20 "$data.holdfast-log" >&2; exit 68; }
`;

export const stopPrivateScript = `if [ -n "$(processes)" ]; then "$bin/pg_ctl" stop -D "$here" -m fast -w -t "$1" >/dev/null; fi
rm -rf "$2"
`;

/** Arguments 3 to 6: socket directory, port, user, database. Input: SQL. */
export const queryPrivateScript = `"$bin/psql" -X -q -A -t -v ON_ERROR_STOP=1 -h "$1" -p "$2" -U "$3" -d "$4" -f -
`;

/** Arguments 3 and 4: directory, file name. Input: the content, which nobody else may read: it is data. */
export const writeFileScript = `umask 077
mkdir -p "$1"
cat >"$1/$2.new"
sync "$1/$2.new"
mv "$1/$2.new" "$1/$2"
`;

export const readFileScript = `if [ -e "$1" ]; then printf 'found\\n'; cat "$1"; fi
`;
