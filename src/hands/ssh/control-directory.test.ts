import { existsSync, statSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { nodeHost } from '../../host/node/node-host.ts';
import { makeControlDirectory } from './control-directory.ts';

it('is for its owner alone, and clears away those whose process is gone, but no others', async () => {
  const host = nodeHost({ logTo: 'silent' });
  const living = await makeControlDirectory(host);
  const [namespace, , start] = (host.processes.self ?? '').split(' ');
  const dead = `/tmp/holdfast-ssh-test-${process.pid}-dead`;
  const unnamed = `/tmp/holdfast-ssh-test-${process.pid}-unnamed`;
  await mkdir(dead);
  await mkdir(unnamed);
  // The largest number that a process can have on Linux: nobody has it.
  await writeFile(`${dead}/owner`, `${namespace} 4194304 ${start}`);
  const made = await makeControlDirectory(host);
  try {
    expect(existsSync(dead)).toBe(false);
    expect(existsSync(living)).toBe(true);
    expect(existsSync(unnamed)).toBe(true);
    expect(statSync(made).mode & 0o777).toBe(0o700);
  } finally {
    for (const directory of [living, dead, unnamed, made]) await rm(directory, { recursive: true, force: true });
  }
});
