/**
 * Keeps scratch clean while somebody serves: directories of executions that are over, looks that never ended, and restored copies that nobody has used for a week. What can't be removed
 * takes room, and keeps nothing from working: it is said, and tried again.
 */
import { join } from 'node:path';
import { asHoldfastError } from '../../base/errors.ts';
import { journalKeys } from '../../state/journal.ts';
import type { BackupParts } from './backup-parts.ts';
import { scratchOf, sweepScratch } from './scratch.ts';
import { listScratchCopies, removeScratchCopy } from './scratch-copies.ts';

const everyMs = 3_600_000;
const previewAgeMaxMs = 86_400_000;
/** Long enough to look at a copy; who needs it for longer restores into a directory of their own. */
export const copyAgeMaxMs = 7 * 86_400_000;

/** At once, and then each hour until the signal is aborted. */
export async function keepScratchClean(parts: BackupParts, signal: AbortSignal): Promise<void> {
  await sweep(parts);
  const { clock } = parts.host;
  let cancel = (): void => undefined;
  const plan = (): void => {
    if (signal.aborted) return;
    cancel = clock.after(everyMs, () => void sweep(parts).then(plan));
  };
  signal.addEventListener('abort', () => cancel(), { once: true });
  plan();
}

async function sweep(parts: BackupParts): Promise<void> {
  const { host } = parts;
  try {
    for (const path of await removeForgotten(parts)) host.log.warn('serve.scratch-removed', { path });
  } catch (thrown) {
    host.log.warn('serve.scratch-left', { message: asHoldfastError(thrown).message });
  }
}

export async function isExecutionOver({ store }: Pick<BackupParts, 'store'>, execution: string): Promise<boolean> {
  return (await store.get(journalKeys.open(execution))) === undefined;
}

type Swept = Pick<BackupParts, 'host' | 'store' | 'scratchDirectory'> & { readonly spec: { readonly name: string } };

/** Resolves to the paths of what was removed. */
export async function removeForgotten(parts: Swept): Promise<readonly string[]> {
  const { host, spec, scratchDirectory: root } = parts;
  const isOver = (execution: string) => isExecutionOver(parts, execution);
  const removed = [...(await sweepScratch(host, root, spec.name, isOver)), ...(await removePreviews())];
  const nowMs = host.clock.nowMs();
  for (const copy of await listScratchCopies(host, root)) {
    // Whether an execution of another platform is over is not for us to say: its age is.
    if (copy.inUse || nowMs - copy.atMs <= copyAgeMaxMs || !(await isOver(copy.execution))) continue;
    await removeScratchCopy(host, copy);
    removed.push(copy.path);
  }
  return removed;

  async function removePreviews(): Promise<readonly string[]> {
    const directory = scratchOf(root, spec.name);
    const gone: string[] = [];
    if (!(await host.files.exists(directory))) return gone;
    for (const name of await host.files.list(directory)) {
      const path = join(directory, name);
      if (!/^preview-restore-[0-9a-z]+$/.test(name)) continue;
      const facts = await host.fileStreams.stat(path);
      if (facts === undefined || host.clock.nowMs() - facts.modifiedMs <= previewAgeMaxMs) continue;
      await host.files.remove(path);
      gone.push(path);
    }
    return gone;
  }
}
