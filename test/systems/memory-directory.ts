/**
 * A place in memory for PostgreSQL's directories in tests.
 *
 * A small cluster is 1,200 files: to make one on a disk takes ten times the processor time that it takes in memory, and tests make hundreds. None of them is to outlive a power cut, so
 * nothing is proven less. Whatever Holdfast itself writes (its state, repositories, restored copies) stays on the disk, and so do benchmarks and the demo: what they measure is what a user
 * would see.
 */
import { readFileSync, statfsSync } from 'node:fs';
import { freemem } from 'node:os';

/** The variable that names the place. */
export const directoryVariable = 'HOLDFAST_SERVERS_DIRECTORY';

const candidate = '/dev/shm';
const tmpfsMagic = 0x01_02_19_94;
/** What all files that run at the same time may need; containers often have 64 MiB. */
const leastFreeBytes = 6 * 1024 ** 3;

/** Undefined where there is none, or too little of it. */
export function findMemoryDirectory(): string | undefined {
  try {
    const { type, bavail, bsize } = statfsSync(candidate);
    if (type !== tmpfsMagic || bavail * bsize < leastFreeBytes || freemem() < leastFreeBytes) return undefined;
    const mount = readFileSync('/proc/mounts', 'utf8')
      .split('\n')
      .map((line) => line.split(' '))
      .findLast(([, place]) => place === candidate);
    return mount?.[3]?.split(',').includes('noexec') === false ? candidate : undefined;
  } catch {
    return undefined; // Not a Linux that has it: the disk will do.
  }
}
