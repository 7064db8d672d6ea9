/** A Redis server as a source of backups, for the tests of both its good and its bad days. */
import { expect } from 'vitest';
import { HoldfastError } from '../../src/base/errors.ts';
import { Secret } from '../../src/base/secret.ts';
import type { BackupSource } from '../../src/contracts/backup.ts';
import { openBackupSource } from '../../src/drivers/redis/backup-source.ts';
import { openClientPort } from '../../src/drivers/redis/client.ts';
import { redisDriver } from '../../src/drivers/redis/driver.ts';
import { nodeHost } from '../../src/host/node/node-host.ts';

export const host = nodeHost({ logTo: 'silent' });
export const driver = redisDriver();
export const password = 'kept-from-everybody';

export function sourceOf(
  port: number,
  changes: {
    readonly password?: string;
    readonly silenceMs?: number;
    readonly fingerprint?: string;
    readonly user?: string;
    readonly ca?: string;
  } = {},
): BackupSource {
  const site = driver.siteOptions.parse({
    url: `${changes.ca === undefined ? 'redis' : 'rediss'}://${changes.user === undefined ? '' : `${changes.user}@`}127.0.0.1:${port}`,
    ...(changes.ca === undefined ? {} : { ca: changes.ca }),
  });
  const login = changes.password ?? password;
  return openBackupSource(
    {
      host,
      platform: 'test',
      component: 'cache',
      region: 'east',
      options: driver.componentOptions.parse(changes.fingerprint === undefined ? {} : { fingerprint: changes.fingerprint }),
      site: { ...site, password: new Secret(login, 'test') },
      sites: new Map(),
      replication: 'asynchronous',
      hands: undefined,
      probeTimeoutMs: 1_000,
    },
    openClientPort(host),
    changes.silenceMs === undefined ? {} : { silenceMs: changes.silenceMs },
  );
}

export async function failureOf(work: Promise<unknown>): Promise<HoldfastError> {
  const thrown = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(thrown).toBeInstanceOf(HoldfastError);
  return thrown as HoldfastError;
}
