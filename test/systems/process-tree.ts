/**
 * Which processes belong to a server, read from /proc.
 *
 * A server's processes are its leader, the leader's process group, all descendants, and every process whose working
 * directory lies inside the server's own directory. A process group alone is not enough: PostgreSQL's backends and sshd's
 * sessions each start a session of their own, and orphans lose their parent. The working directory finds those, and also a
 * server that somebody else started again in the same directory (`pg_ctl start`).
 *
 * Invariant: never names a process that has a terminal (a person's shell that happens to stand in the directory), and never
 * a process whose id was reused: a process is identified by id and start time.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks since boot: with the id, unique until the next boot. */
  readonly startTicks: string;
}

interface ProcessFacts extends ProcessIdentity {
  readonly state: string;
  readonly parent: number;
  readonly group: number;
  readonly terminal: number;
}

/** What runs (zombies do not) under that id now, or undefined. */
export function readProcess(pid: number): ProcessFacts | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return undefined; // it ended: that is the answer
  }
  // The program's name stands in parentheses and may itself contain spaces and parentheses.
  const [state, parent, group, , terminal, ...rest] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  if (state === undefined || state === 'Z' || state === 'X') return undefined;
  return {
    pid,
    startTicks: rest[14] ?? '',
    state,
    parent: Number(parent),
    group: Number(group),
    terminal: Number(terminal),
  };
}

export function isAlive(identity: ProcessIdentity): boolean {
  return readProcess(identity.pid)?.startTicks === identity.startTicks;
}

/** Every live process that belongs to the given leaders or works inside one of the directories, leaders first. */
export function processesOf(leaders: readonly ProcessIdentity[], directories: readonly string[]): ProcessIdentity[] {
  const all = listProcesses();
  const found = new Map<number, ProcessFacts>();
  for (const leader of leaders) {
    const facts = all.find((each) => each.pid === leader.pid && each.startTicks === leader.startTicks);
    if (facts !== undefined) found.set(facts.pid, facts);
  }
  const groups = new Set(leaders.map((leader) => leader.pid));
  for (const each of all) {
    if (groups.has(each.group) && leaderIsNotReused(each.group, leaders, all)) found.set(each.pid, each);
    else if (each.terminal === 0 && worksInside(each.pid, directories)) found.set(each.pid, each);
  }
  addDescendants(found, all);
  found.delete(process.pid);
  return [...found.values()].map(({ pid, startTicks }) => ({ pid, startTicks }));
}

/** Sends the signal to each that is still the same process. */
export function signalEach(identities: readonly ProcessIdentity[], signal: NodeJS.Signals): void {
  for (const identity of identities) {
    if (!isAlive(identity)) continue;
    try {
      process.kill(identity.pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
}

function listProcesses(): ProcessFacts[] {
  const all: ProcessFacts[] = [];
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid)) continue;
    const facts = readProcess(pid);
    if (facts !== undefined) all.push(facts);
  }
  return all;
}

/** A group id outlives its leader, and while it does the kernel does not give that number to a new process. */
function leaderIsNotReused(group: number, leaders: readonly ProcessIdentity[], all: readonly ProcessFacts[]): boolean {
  const holder = all.find((each) => each.pid === group);
  return holder === undefined || leaders.some((each) => each.pid === group && each.startTicks === holder.startTicks);
}

function worksInside(pid: number, directories: readonly string[]): boolean {
  let working: string;
  try {
    working = readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return false; // ended meanwhile, a kernel thread, or another user's: not ours
  }
  working = working.replace(/ \(deleted\)$/, '');
  return directories.some((directory) => working === directory || working.startsWith(`${directory}/`));
}

function addDescendants(found: Map<number, ProcessFacts>, all: readonly ProcessFacts[]): void {
  for (let before = -1; before !== found.size; ) {
    before = found.size;
    for (const each of all) {
      if (found.has(each.parent) && each.parent !== process.pid) found.set(each.pid, each);
    }
  }
}
