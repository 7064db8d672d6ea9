/**
 * One look at a directory: it is there and can be listed. Nothing is held open and nothing is written; a file system that hangs is silence, never a refusal.
 */
import { HoldfastError } from '../../base/errors.ts';
import type { Reading } from '../../contracts/observation.ts';
import { readingOf } from '../../contracts/workload/net-evidence.ts';
import type { FilesContext } from './backup-source.ts';

export async function observeDirectory(context: FilesContext, signal: AbortSignal): Promise<Reading> {
  const { site, probeTimeoutMs, host } = context;
  const over = new AbortController();
  const onAbort = (): void => over.abort();
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    const silence = host.clock.sleep(probeTimeoutMs, over.signal).then(
      () => undefined,
      () => undefined,
    );
    const reading = signal.aborted ? undefined : await Promise.race([look(context), silence]);
    return reading ?? readingOf({ kind: 'timeout', detail: `${site.path} did not answer within ${probeTimeoutMs} ms` });
  } finally {
    over.abort();
    signal.removeEventListener('abort', onAbort);
  }
}

async function look({ host, site: { path } }: FilesContext): Promise<Reading> {
  try {
    const facts = await host.fileStreams.stat(path);
    if (facts === undefined) return readingOf({ kind: 'wrong-answer', detail: `there is no directory ${path}` });
    if (facts.kind !== 'directory') return readingOf({ kind: 'wrong-answer', detail: `${path} is a ${facts.kind}, not a directory` });
    const names = await host.files.list(path);
    const reading = readingOf({ kind: 'answered', detail: `${path} can be read` });
    return {
      ...reading,
      facts: { entriesAtTop: names.length, modifiedMs: facts.modifiedMs, freeBytes: await host.fileStreams.freeBytes(path) },
    };
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.kind === 'bug') throw error;
    const isBarred = error.details.cause === 'EACCES' || error.details.cause === 'EPERM';
    return readingOf({ kind: isBarred ? 'not-allowed' : 'error', detail: error.message });
  }
}
