/** What is forgotten in scratch: found, and removed by age; what a person named, or works in, is left. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { memoryState } from '../../../test/fakes/memory-store.ts';
import { nodeHost } from '../../host/node/node-host.ts';
import { journalKeys } from '../../state/journal.ts';
import { putRecord } from '../../watch/watch-records.ts';
import { restoreMarkerPath } from './restore-place.ts';
import { scratchOf } from './scratch.ts';
import { listScratchCopies, scratchCopyPath } from './scratch-copies.ts';
import { copyAgeMaxMs, removeForgotten } from './scratch-sweep.ts';

const host = nodeHost({ logTo: 'silent' });
const old = new Date(Date.now() - copyAgeMaxMs - 60_000);
let root = '';
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'hf-scratch-'));
});
afterEach(() => rm(root, { recursive: true, force: true }));

async function makeCopy(execution: string, options: { readonly isOld?: boolean; readonly whole?: boolean } = {}): Promise<string> {
  const path = scratchCopyPath(root, execution);
  await mkdir(path);
  await writeFile(join(path, 'PG_VERSION'), '17\n');
  const marker = restoreMarkerPath(path);
  if (options.whole !== false) await writeFile(marker, JSON.stringify({ execution, component: 'orders-db', backupId: 'b1' }));
  if (options.isOld) for (const each of [path, marker]) if (existsSync(each)) await utimes(each, old, old);
  return path;
}

it('lists only what Holdfast has named itself, and removes only what is old, over, and nobody works in', async () => {
  const store = memoryState(host.clock).open();
  const forgotten = await makeCopy('restore-1', { isOld: true });
  const broken = await makeCopy('restore-2', { isOld: true, whole: false });
  const young = await makeCopy('restore-3');
  const used = await makeCopy('restore-4', { isOld: true });
  const underWay = await makeCopy('restore-5', { isOld: true, whole: false });
  const named = join(root, 'holdfast-restored-by-hand');
  await mkdir(named);
  await utimes(named, old, old);
  await symlink(named, scratchCopyPath(root, 'restore-6'));
  const preview = join(scratchOf(root, 'shop'), 'preview-restore-7');
  await mkdir(preview, { recursive: true });
  await utimes(preview, old, old);
  await store.commit([putRecord(journalKeys.open('restore-5'), { atMs: 1 })]);
  const program = spawn('sleep', ['60'], { cwd: used });
  try {
    const listed = await listScratchCopies(host, root);
    expect(listed.map(({ execution }) => execution).sort()).toEqual(['restore-1', 'restore-2', 'restore-3', 'restore-4', 'restore-5']);
    expect(listed.filter(({ inUse }) => inUse).map(({ path }) => path)).toEqual([used]);
    expect(listed.find(({ path }) => path === forgotten)).toMatchObject({ component: 'orders-db', backupId: 'b1' });
    expect(listed.find(({ path }) => path === broken)?.component).toBeUndefined();
    const removed = await removeForgotten({ host, store, scratchDirectory: root, spec: { name: 'shop' } });
    expect([...removed].sort()).toEqual([forgotten, broken, preview].sort());
    expect([forgotten, broken, restoreMarkerPath(forgotten), preview].filter((path) => existsSync(path))).toEqual([]);
    expect([young, used, underWay, named].every((path) => existsSync(path))).toBe(true);
  } finally {
    program.kill('SIGKILL');
  }
});
