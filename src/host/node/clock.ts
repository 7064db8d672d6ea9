/**
 * The machine's clocks.
 *
 * Invariant: `monotonicMs` is CLOCK_MONOTONIC itself (not the process's own zero), so that processes of one boot of one machine can compare readings. `boot` says
 * who they are; where /proc does not tell (another system than Linux), it is absent and nobody compares.
 */
import { readFileSync } from 'node:fs';
import type { Clock, MachineBoot } from '../host.ts';

/** setTimeout's own limit: beyond it the callback would come at once. */
const timerMaxMs = 2_147_483_647;

export function nodeClock(): Clock {
  const boot = readBoot();
  return {
    ...(boot === undefined ? {} : { boot }),
    nowMs: () => Date.now(),
    monotonicMs,
    ...(readIfThere('/proc/uptime') === undefined ? {} : { bootMs }),
    sleep,
    after,
  };
}

export function monotonicMs(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1_000 + nanoseconds / 1e6;
}

/** https://man7.org/linux/man-pages/man5/proc_uptime.5.html: hundredths of a second, time of suspension included. */
function bootMs(): number {
  return Number.parseFloat(readFileSync('/proc/uptime', 'utf8')) * 1_000;
}

function after(durationMs: number, callback: () => void): () => void {
  const deadlineMs = monotonicMs() + durationMs;
  let timer: NodeJS.Timeout;
  const arm = (remainingMs: number): void => {
    timer = setTimeout(
      () => {
        const leftMs = deadlineMs - monotonicMs();
        if (leftMs >= 1) arm(leftMs);
        else callback();
      },
      Math.min(Math.max(0, Math.ceil(remainingMs)), timerMaxMs),
    );
  };
  arm(durationMs);
  return () => clearTimeout(timer);
}

function sleep(durationMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    const cancel = after(durationMs, () => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    });
    const onAbort = (): void => {
      cancel();
      reject(signal?.reason);
    };
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

/** A time namespace shifts CLOCK_MONOTONIC against the rest of the machine: its offsets are part of the domain. */
function readBoot(): MachineBoot | undefined {
  const id = readIfThere('/proc/sys/kernel/random/boot_id');
  if (id === undefined || id === '') return undefined;
  const offsets = readIfThere('/proc/self/timens_offsets') ?? '';
  return { id, monotonicDomain: `${id} ${offsets.replace(/\s+/g, ' ')}`.trim() };
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return undefined; // not Linux, or hidden from us: the caller then does without
  }
}
