/**
 * Many disasters over several processes: each plays a chunk of seeds at a time and tells of every disaster; here they are put back in the order of their seeds, so that the digest is the
 * one that a single process would have found. Run by itself, this file is one of those processes.
 */
import { type ChildProcess, fork } from 'node:child_process';
import type { DisasterResult } from './disaster.ts';

export type DisasterOutcome = Omit<DisasterResult, 'story' | 'events'>;

interface Chunk {
  readonly first: number;
  readonly seeds: readonly number[];
  readonly regionCount: 2 | 3;
}

interface Played {
  readonly first: number;
  readonly outcomes: readonly DisasterOutcome[];
  /** Of the processor, in this chunk. */
  readonly spentMicros: number;
}

/** Seconds of work: long enough to be worth a message, short enough to see it move. */
const chunkSize = 50;

/** Resolves to the time of the processor that all of it took. Rejects when a process ends before its work does; the others are ended then. */
export async function playInProcesses(
  seeds: readonly number[],
  regionCount: 2 | 3,
  processCount: number,
  onOutcome: (outcome: DisasterOutcome) => void,
): Promise<number> {
  const waiting = new Map<number, readonly DisasterOutcome[]>();
  const children: ChildProcess[] = [];
  let given = 0;
  let told = 0;
  let spentMicros = 0;
  const take = ({ first, outcomes, spentMicros: spent }: Played): void => {
    spentMicros += spent;
    waiting.set(first, outcomes);
    for (let next = waiting.get(told); next !== undefined; next = waiting.get(told)) {
      waiting.delete(told);
      told += next.length;
      for (const outcome of next) onOutcome(outcome);
    }
  };
  const work = () =>
    new Promise<void>((resolve, reject) => {
      const child = fork(import.meta.filename, [], { execArgv: process.execArgv });
      children.push(child);
      let isBusy = false;
      const give = () => {
        isBusy = given < seeds.length;
        if (!isBusy) return child.disconnect();
        const chunk: Chunk = { first: given, seeds: seeds.slice(given, given + chunkSize), regionCount };
        given += chunk.seeds.length;
        child.send(chunk);
      };
      child.on('message', (played: Played) => {
        take(played);
        give();
      });
      child.on('error', reject);
      child.on('exit', (code) => {
        if (isBusy) reject(new Error(`a process that plays disasters has ended with ${code}`));
        else resolve();
      });
      give();
    });
  try {
    await Promise.all(Array.from({ length: processCount }, work));
  } finally {
    for (const child of children) child.kill();
  }
  return spentMicros;
}

async function play({ first, seeds, regionCount }: Chunk): Promise<Played> {
  const { runDisaster } = await import('./disaster.ts');
  const startedAt = process.cpuUsage();
  const outcomes: DisasterOutcome[] = [];
  for (const each of seeds) {
    const { seed, violations, converged, digest, failovers, crashes, virtualMs } = await runDisaster(each, regionCount);
    outcomes.push({ seed, violations, converged, digest, failovers, crashes, virtualMs });
  }
  const spent = process.cpuUsage(startedAt);
  return { first, outcomes, spentMicros: spent.user + spent.system };
}

if (import.meta.main) {
  Error.stackTraceLimit = 0;
  // A failure that nobody waits for ends this process, and with it the run: the seeds of its chunk are played one by one to find which.
  process.on('message', (chunk: Chunk) => void play(chunk).then((played) => process.send?.(played)));
}
