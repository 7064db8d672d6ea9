/**
 * Names a process so that it can't be taken for another one: its id, when it started, and the namespace in which that id means it.
 *
 * Invariant: a process is called gone only where that is certain. Another namespace's ids say nothing here; a process that is hidden from us is not gone; one that has
 * ended and was not yet reaped by its parent is gone once its last thread is.
 */
import { readFileSync, readlinkSync } from 'node:fs';

/** Fields of /proc/PID/stat, counted from the state on, for the name before it may hold anything. */
const threadsField = 17;
const startField = 19;

/** Undefined where the system does not tell. */
export function ownIdentity(): string | undefined {
  const fields = readStat('self');
  const namespace = readNamespace();
  return fields === undefined || namespace === undefined ? undefined : `${namespace} ${process.pid} ${fields[startField]}`;
}

export function isProcessGone(identity: string): boolean {
  const [namespace, pid, start] = identity.split(' ');
  if (namespace === undefined || namespace !== readNamespace() || !/^[1-9]\d*$/.test(pid ?? '') || start === undefined) return false;
  try {
    process.kill(Number(pid), 0);
  } catch (error) {
    // Anything but "no such process" means that there is one.
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return true;
  }
  const fields = readStat(pid as string);
  if (fields === undefined) return false;
  if (fields[startField] !== start) return true;
  return (fields[0] === 'Z' || fields[0] === 'X') && Number(fields[threadsField]) <= 1;
}

function readStat(pid: string): readonly string[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined; // hidden from us, ended in this moment, or not Linux: nothing is known
  }
}

function readNamespace(): string | undefined {
  try {
    return readlinkSync('/proc/self/ns/pid');
  } catch {
    return undefined; // not Linux, or hidden from us
  }
}
