/**
 * What runs at the other end of ssh: a small POSIX shell script around the program.
 *
 * Invariant: arguments travel quoted in the command line; the environment travels on standard input, so that no process list shows a value at either end. The script
 * reads it with builtins only, which take no byte too many: the program's own input follows.
 *
 * The remote end keeps the time by itself: a watchdog kills the program's whole process group when the time is over, also when the connection, or this process,
 * is gone. What a program moved into a session of its own is out of reach, and so is everything on a host that is itself frozen until it goes on.
 *
 * Exit codes: 255 is ssh's own failure, or the script's report of why it ran nothing (a line `NONCE reason` on standard error). A program's own 255 comes as
 * 254 with a line `NONCE exit-255`; all others are the program's.
 */
import { assert } from '../../base/assert.ts';
import { fail, type HoldfastError } from '../../base/errors.ts';
import { Secret } from '../../base/secret.ts';
import type { HandsCommand, HandsResult } from '../../contracts/hands.ts';
import { shellCommand } from './shell-quote.ts';

/** Time that the watchdog leaves to this end, which says TIMED_OUT. */
const watchdogGraceSeconds = 1;

const script = `
hf_nonce=$1 hf_limit=$2 hf_user=$3 hf_leave=$4; shift 4
hf_refuse() { printf '%s %s\\n' "$hf_nonce" "$1" >&2; exit 255; }
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin LANG=C.UTF-8 TZ=UTC; export PATH LANG TZ
unset LC_ALL LC_COLLATE LC_CTYPE LC_MESSAGES LC_NUMERIC LC_TIME LANGUAGE
if [ -n "$hf_user" ] && [ "$(id -un)" != "$hf_user" ]; then
  hf_group=$(id -g "$hf_user" 2>/dev/null) || hf_refuse no-user
  [ "$(id -u)" = 0 ] || hf_refuse not-root
  HOME=$(getent passwd "$hf_user" | cut -d: -f6); HOME=\${HOME:-/} USER=$hf_user LOGNAME=$hf_user; export HOME USER LOGNAME
  cd /
  command -v setpriv >/dev/null 2>&1 || hf_refuse no-setpriv
else
  hf_user=
fi
IFS= read -r hf_count || hf_refuse no-input
while [ "$hf_count" -gt 0 ]; do
  IFS= read -r hf_name && IFS= read -r hf_lines && IFS= read -r hf_value || hf_refuse no-input
  while [ "$hf_lines" -gt 1 ]; do
    IFS= read -r hf_more || hf_refuse no-input
    hf_value="$hf_value
$hf_more"
    hf_lines=$((hf_lines - 1))
  done
  export "$hf_name=$hf_value"
  hf_count=$((hf_count - 1))
done
unset hf_name hf_value hf_more
case $1 in
  */*) [ -x "$1" ] && [ ! -d "$1" ] || hf_refuse no-program ;;
  *) command -v -- "$1" >/dev/null 2>&1 || hf_refuse no-program ;;
esac
[ -z "$hf_user" ] || set -- setpriv --reuid="$hf_user" --regid="$hf_group" --init-groups -- "$@"
if kill -s 0 -- "-$$" 2>/dev/null; then hf_group=-$$; else hf_group=$$; fi
(trap 'kill $! 2>/dev/null; exit 0' TERM; sleep "$hf_limit" & wait $! && kill -s KILL -- "$hf_group") </dev/null >/dev/null 2>&1 &
hf_watchdog=$!
if [ "$hf_leave" = leave ]; then
  hf_out=$(mktemp) && hf_err=$(mktemp) || hf_refuse no-temporary-file
  exec 3>"$hf_out" 4<"$hf_out" 5>"$hf_err" 6<"$hf_err"
  rm -f "$hf_out" "$hf_err"
  (exec "$@" >&3 2>&5 3>&- 4<&- 5>&- 6<&-)
  hf_code=$?
  cat <&4; cat <&6 >&2
  kill "$hf_watchdog" 2>/dev/null
else
  (exec "$@")
  hf_code=$?
  trap '' TERM
  if [ "$hf_group" = "-$$" ]; then kill -s TERM -- "-$$" 2>/dev/null; else kill "$hf_watchdog" 2>/dev/null; fi
fi
[ "$hf_code" != 255 ] || { printf '%s exit-255\\n' "$hf_nonce" >&2; exit 254; }
exit "$hf_code"
`.trim();

/** The words of one argument for ssh: a command line for the login shell there. */
export function remoteCommandLine(command: HandsCommand, nonce: string, as: string | undefined): string {
  const limitSeconds = Math.ceil(command.timeoutMs / 1_000) + watchdogGraceSeconds;
  const leave = command.leaveChildren === true ? 'leave' : 'end';
  return `exec ${shellCommand(['sh', '-c', script, 'holdfast', nonce, String(limitSeconds), as ?? '', leave, command.program, ...command.args])}`;
}

/** Environment first, then the program's own input. A value of several lines says how many. */
export function remoteInput(command: HandsCommand): Uint8Array {
  const entries = Object.entries(command.env ?? {});
  let head = `${entries.length}\n`;
  for (const [name, given] of entries) {
    const value = given instanceof Secret ? given.reveal() : given;
    assert(/^[A-Za-z_][A-Za-z0-9_]*$/.test(name), `an environment variable has a plain name: ${name}`);
    assert(!value.includes('\0'), `the environment variable ${name} holds no NUL`);
    head += `${name}\n${value.split('\n').length}\n${value}\n`;
  }
  return Buffer.concat([Buffer.from(head), Buffer.from(command.stdin ?? '')]);
}

/** The same before a stream. */
export async function* remoteInputStream(command: HandsCommand, input: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  yield remoteInput(command);
  yield* input;
}

const killScript = `
for hf_file in $(grep -ls -e "$1" /proc/[0-9]*/cmdline); do
  hf_pid=\${hf_file#/proc/}
  kill -s KILL -- "-\${hf_pid%/cmdline}" 2>/dev/null
done
:`.trim();

/** Kills the process group of the command with this nonce, wherever /proc shows command lines. The pattern does not match itself. */
export function remoteKillLine(nonce: string): string {
  return `exec ${shellCommand(['sh', '-c', killScript, 'sh', `[${nonce.charAt(0)}]${nonce.slice(1)}`])}`;
}

const refusals: Readonly<Record<string, (command: HandsCommand, hands: string, as: string) => HoldfastError>> = {
  'no-program': (command, hands) =>
    fail('HANDS_NO_PROGRAM', { message: `${command.program} is not installed at ${hands}`, subject: command.program }),
  'no-setpriv': (_command, hands) =>
    fail('HANDS_NO_PROGRAM', { message: `setpriv (util-linux) is not installed at ${hands}; "as" needs it`, subject: 'setpriv' }),
  'no-user': (_command, hands, as) => fail('HANDS_WRONG_USER', { message: `there is no user "${as}" at ${hands}`, subject: as }),
  'not-root': (_command, hands, as) => fail('HANDS_WRONG_USER', { message: `only root can become "${as}" at ${hands}`, subject: as }),
};

/** The program's result, or the reason why it did not run. Undefined: ssh itself failed. */
export function readRemoteResult(
  result: HandsResult,
  command: HandsCommand,
  nonce: string,
  where: { hands: string; as: string | undefined },
): HandsResult | HoldfastError | undefined {
  if (result.exitCode === 254) {
    const mark = `${nonce} exit-255\n`;
    return result.stderr.endsWith(mark) ? { ...result, exitCode: 255, stderr: result.stderr.slice(0, -mark.length) } : result;
  }
  if (result.exitCode !== 255) return result;
  const reason = new RegExp(`^${nonce} (\\S+)$`, 'm').exec(result.stderr)?.[1];
  if (reason === undefined) return undefined;
  return (
    refusals[reason]?.(command, where.hands, where.as ?? '') ??
    fail('COMMAND_FAILED', { message: `${where.hands} can not run ${command.program}: ${reason}`, subject: where.hands })
  );
}
