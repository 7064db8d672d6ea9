/** Infrastructure as code in a real Git checkout, backed up as files: what was deployed from is what comes back. */
import { createHash } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { openBackupSource } from '../../src/drivers/files/backup-source.ts';
import { driver } from '../../src/drivers/files/driver.ts';
import { nodeHost } from '../../src/host/node/node-host.ts';
import { runProgram } from '../systems/run-program.ts';
import { restorerContext, TestDirectories, takeBackup } from './kept-backup.ts';

const host = nodeHost({ logTo: 'silent' });
const directories = new TestDirectories();
afterEach(() => directories.removeAll());

it('[S4-11] the commit that was deployed is the commit that is restored, whole, whatever was committed since', async () => {
  const checkout = await directories.make('infrastructure');
  const git = async (where: string, ...args: string[]) => {
    const settings = [
      '-c',
      'user.name=test',
      '-c',
      'user.email=test@example.com',
      '-c',
      'safe.directory=*',
      '-c',
      'init.defaultBranch=main',
    ];
    return (await runProgram(['git', ...settings, '-C', where, ...args], { env: { HOME: checkout }, timeoutMs: 20_000 })).stdout.trim();
  };
  await git(checkout, 'init', '--quiet');
  for (const replicas of [2, 4]) {
    await writeFile(join(checkout, 'deployment.yaml'), `replicas: ${replicas}\n`);
    await git(checkout, 'add', 'deployment.yaml');
    await git(checkout, 'commit', '--quiet', '-m', `${replicas} replicas`);
  }
  const deployed = await git(checkout, 'rev-parse', 'HEAD');
  const site = driver.siteOptions.parse({ path: checkout });
  const options = driver.componentOptions.parse({});
  const source = openBackupSource({
    host,
    platform: 'test',
    component: 'infrastructure',
    region: 'east',
    options,
    site,
    sites: new Map(),
    replication: 'asynchronous',
    hands: undefined,
    probeTimeoutMs: 1_000,
  });
  const backup = await takeBackup(source, host, 'files');
  await writeFile(join(checkout, 'deployment.yaml'), 'replicas: 0\n');
  await git(checkout, 'commit', '--quiet', '-a', '-m', 'a mistake');
  await rm(join(checkout, '.git'), { recursive: true });

  const restorer = driver.backups?.openRestorer(
    restorerContext(host, { component: 'infrastructure', options, workDirectory: await directories.make('work') }),
  );
  const restored = await restorer?.restore(backup.reader(), { kind: 'newest' }, join(await directories.make('restored'), 'new'));
  if (!restored) throw new Error('the driver has no restorer');
  expect(await git(restored.directory, 'rev-parse', 'HEAD')).toBe(deployed);
  expect(await git(restored.directory, 'status', '--porcelain')).toBe('');
  await git(restored.directory, 'fsck', '--full', '--strict');
  expect(await readFile(join(restored.directory, 'deployment.yaml'), 'utf8')).toBe('replicas: 4\n');
  // So a proof can ask for the commit that was deployed: by the digest of the file that names it.
  const copy = await restored.start();
  expect(await copy.ask('sha256 .git/refs/heads/main')).toBe(createHash('sha256').update(`${deployed}\n`).digest('hex'));
  await copy.stop();
});
