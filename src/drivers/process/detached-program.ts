/**
 * Starts, finds and stops one program on a host without a supervisor: detached, in a session of its own, with a pid file and a log file.
 *
 * How: a fixed POSIX shell script, handed to `sh -c` with everything variable as positional parameters, so nothing that a user wrote is ever read as shell. It needs
 * Linux (/proc), `flock` and `setsid` (util-linux).
 *
 * Invariants
 *   - One process at most. Each call holds a lock on PIDFILE.lock; the starting child inherits it and lets it go only once its pid file is in place. So a controller
 *     that dies in the middle leaves either a recorded process or none, and two controllers can't start two.
 *   - Never the wrong process. The pid file holds the pid, its start time and the boot's id; a pid that was given to another process does not match and is not signalled.
 *   - A fence holds. Stopping with a bar notes the epoch beside the pid file; a start under an older epoch is refused.
 */
import { fail, type HoldfastError } from '../../base/errors.ts';
import type { Hands, HandsResult } from '../../contracts/hands.ts';
import { applySiteCommand, type CommandEnvironment, commandFailed, endOfOutput, runSiteCommand } from '../../contracts/site-command.ts';

export const scriptName = 'holdfast-process';

export const exitStopped = 3;
export const exitLocked = 75;
export const exitBarred = 76;
const exitNoDirectory = 78;
const exitNoProgram = 127;

const script = `set -u
mode=$1 pidfile=$2 epoch=$3; shift 3
boot=$(cat /proc/sys/kernel/random/boot_id) || exit 70
ticks_of() {
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  set -- \${stat##*) }
  case $1 in Z|X) return 1;; esac
  shift 19; printf %s "$1"
}
recorded() {
  pid= ticks= since=
  [ -s "$pidfile" ] && read -r pid ticks since < "$pidfile"
  [ -n "$pid" ] && [ "$since" = "$boot" ] && [ "$(ticks_of "$pid")" = "$ticks" ]
}
group_lives() {
  for each in /proc/[0-9]*/stat; do
    { read -r stat <"$each"; } 2>/dev/null || continue
    set -- \${stat##*) }
    [ "$3" = "$pid" ] && case $1 in Z|X) ;; *) return 0;; esac
  done
  return 1
}
lock() { exec 9>>"$pidfile.lock" || exit ${exitNoDirectory}; flock -w 10 9 || exit ${exitLocked}; }
case $mode in
status)
  recorded && { echo "running as process $pid"; exit 0; }
  echo "not running"; exit ${exitStopped};;
start)
  logfile=$1 directory=$2; shift 2
  lock
  barred=0; [ -s "$pidfile.epoch" ] && read -r barred < "$pidfile.epoch"
  [ "$epoch" -ge "$barred" ] || { echo "barred since epoch $barred" >&2; exit ${exitBarred}; }
  recorded && { echo "already running as process $pid"; exit 0; }
  cd "$directory" || exit ${exitNoDirectory}
  command -v "$1" >/dev/null 2>&1 || { echo "there is no program $1" >&2; exit ${exitNoProgram}; }
  : >>"$logfile" || exit ${exitNoDirectory}
  setsid sh -c 'pidfile=$1 boot=$2; shift 2
    stat=$(cat "/proc/$$/stat"); stat=\${stat##*) }
    printf "%s\\n" "$$ $(printf %s "$stat" | cut -d" " -f20) $boot" >"$pidfile.new" && mv "$pidfile.new" "$pidfile" || exit 1
    exec 9>&-; exec "$@"' ${scriptName} "$pidfile" "$boot" "$@" </dev/null >>"$logfile" 2>&1 &
  exec 9>&-
  lock
  recorded && { echo "started as process $pid"; exit 0; }
  echo "it ended at once, see $logfile: $(tail -n 3 "$logfile" 2>/dev/null)" >&2; exit 1;;
stop)
  grace=$1 bar=$2
  lock
  if [ "$bar" = bar ]; then
    barred=0; [ -s "$pidfile.epoch" ] && read -r barred < "$pidfile.epoch"
    [ "$epoch" -gt "$barred" ] && { echo "$epoch" >"$pidfile.epoch.new" && mv "$pidfile.epoch.new" "$pidfile.epoch" || exit ${exitNoDirectory}; }
  fi
  if recorded; then
    kill -s TERM -- "-$pid" 2>/dev/null
    while [ "$grace" -gt 0 ] && recorded; do sleep 0.05; grace=$((grace - 50)); done
    kill -s KILL -- "-$pid" 2>/dev/null
    rounds=200
    while recorded || group_lives; do
      rounds=$((rounds - 1)); [ "$rounds" -gt 0 ] || { echo "process $pid survives SIGKILL" >&2; exit 1; }
      sleep 0.05
    done
  fi
  rm -f "$pidfile"; echo "not running";;
esac`;

export interface DetachedProgram {
  readonly command: readonly string[];
  readonly pidFile: string;
  readonly logFile: string;
  readonly directory: string;
  readonly stopGraceMs: number;
  readonly env: CommandEnvironment;
  readonly timeoutMs: number;
}

function call(mode: 'start' | 'stop' | 'status', pidFile: string, epoch: number, rest: readonly string[]): readonly string[] {
  return ['sh', '-c', script, scriptName, mode, pidFile, String(epoch), ...rest];
}

export async function startProgram(hands: Hands, program: DetachedProgram, epoch: number, signal: AbortSignal): Promise<void> {
  const command = call('start', program.pidFile, epoch, [program.logFile, program.directory, ...program.command]);
  const result = await runSiteCommand(hands, command, { timeoutMs: program.timeoutMs, env: program.env, signal, leaveChildren: true });
  if (result.exitCode !== 0) throw whyNotStarted(hands, program, result);
}

function whyNotStarted(hands: Hands, program: DetachedProgram, result: HandsResult): HoldfastError {
  const name = program.command[0] ?? '';
  if (result.exitCode === exitNoProgram) return fail('HANDS_NO_PROGRAM', { message: `${name} is not installed on ${hands.name}` });
  if (result.exitCode === exitBarred) {
    return fail('SYSTEM_REFUSED', {
      message: `${name} on ${hands.name} was fenced under a later epoch: ${endOfOutput(result)}`,
      hint: 'This execution is out of date: a later one has fenced this site.',
    });
  }
  if (result.exitCode === exitLocked)
    return fail('SYSTEM_UNREACHABLE', { message: `somebody else starts or stops ${name} on ${hands.name}`, details: { cause: 'other' } });
  return commandFailed(hands, [name], result);
}

/** Ends when the program and its whole process group are gone. */
export async function stopProgram(hands: Hands, program: DetachedProgram, epoch: number, bar: boolean, signal: AbortSignal): Promise<void> {
  const command = call('stop', program.pidFile, epoch, [String(program.stopGraceMs), bar ? 'bar' : 'no-bar']);
  await applySiteCommand(hands, command, { timeoutMs: program.timeoutMs + program.stopGraceMs, signal });
}

export async function programRuns(hands: Hands, program: DetachedProgram, signal: AbortSignal): Promise<boolean> {
  const command = call('status', program.pidFile, 0, []);
  const result = await runSiteCommand(hands, command, { timeoutMs: program.timeoutMs, signal });
  if (result.exitCode === 0) return true;
  if (result.exitCode === exitStopped) return false;
  throw commandFailed(hands, ['sh'], result);
}
