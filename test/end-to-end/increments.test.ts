/** Increments by the real program, on a real PostgreSQL 17; and what was restored from them, brought onto another machine by ssh. */
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { freePort } from '../systems/ports.ts';
import { type RunningPostgres, startPrimary } from '../systems/postgresql.ts';
import { describeSystem } from '../systems/requirement.ts';
import { runProgram } from '../systems/run-program.ts';
import { type RunningSshd, startSshd } from '../systems/sshd.ts';
import { runHoldfast, type Where } from './holdfast-program.ts';

describeSystem(['postgresql-17', 'sshd'], 'increments by the program', () => {
  let directory: string;
  let spaces: string;
  let server: RunningPostgres;
  let sshd: RunningSshd;
  let where: Where;
  const run = (...args: string[]) => runHoldfast(where, args, { timeoutMs: 100_000 });

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'hf-'));
    await chmod(directory, 0o711);
    spaces = join(directory, 'space');
    await mkdir(spaces);
    [server, sshd] = await Promise.all([startPrimary({ version: 17, settings: { summarize_wal: 'on' } }), startSshd()]);
    if (server.owner !== undefined) await runProgram(['chown', server.owner, spaces]);
    const siteAt = (port: number) => `url: "postgresql://holdfast@${server.address}:${port}/postgres", password: { env: DB_PASSWORD }`;
    // Nobody listens there: a machine that is to get its database back.
    const westPort = await freePort(server.address);
    const hands = `{ ssh: { host: ${sshd.host}, port: ${sshd.port}, user: ${sshd.user}, identity: ${sshd.identityFile}, known-hosts: ${sshd.knownHostsFile} } }`;
    const spec = `holdfast: v1
name: shop
regions: { east: { role: active }, west: { role: standby } }
components:
  orders-db:
    driver: postgresql
    restore-bin-directory: ${server.binDirectory}
    sites:
      east: { ${siteAt(server.port)} }
      west: { ${siteAt(westPort)}, hands: ${hands} }
    backup:
      - { what: base, every: weekly, keep: 30d }
      - { what: increment, every: daily, keep: 30d, prove: { every: weekly, level: P4 } }
repositories: { main: { driver: filesystem, path: ${directory}/repository } }
`;
    await writeFile(join(directory, 'holdfast.yaml'), spec);
    where = {
      specFile: join(directory, 'holdfast.yaml'),
      stateDirectory: join(directory, 'state'),
      env: { DB_PASSWORD: server.passwords.holdfast, HOLDFAST_SCRATCH: join(directory, 'scratch') },
    };
    await mkdir(join(directory, 'scratch'), { mode: 0o711 });
  });
  afterAll(async () => {
    await Promise.all([server?.stop(), sshd?.stop()]);
    if (directory) await rm(directory, { recursive: true, force: true });
  });

  it('an increment is taken on the newest base, proven as a whole, and kept with what it needs', async () => {
    const made = await run('repository', 'create');
    expect(made, made.out).toMatchObject({ exitCode: 0 });
    await server.query(`CREATE TABLESPACE apart LOCATION '${spaces}'`);
    await server.query('CREATE TABLE bought TABLESPACE apart AS SELECT n AS id FROM generate_series(1, 3000) n');
    // Nothing to build on yet: all files are taken, and it stands alone.
    const base = await run('backup', 'orders-db', '--what', 'base');
    expect(base, base.err).toMatchObject({ exitCode: 0 });
    await server.query('INSERT INTO bought SELECT n FROM generate_series(3001, 3100) n');
    const increment = await run('backup', 'orders-db', '--what', 'increment');
    expect(increment, increment.err).toMatchObject({ exitCode: 0 });
    const { backupId } = increment.json.backup;
    const shown = await run('backups', 'show', backupId);
    expect(shown.json.entry.backup.facts.needs).toEqual([base.json.backup.backupId]);
    expect(shown.json.entry.backup.storedBytes).toBeLessThan(base.json.backup.storedBytes / 2);
    // Nothing holds the base any more: only the increment needs it.
    expect((await run('backups', 'show', base.json.backup.backupId)).json.entry.leases).toEqual([]);
    const verified = await run('verify', 'orders-db', backupId);
    expect(verified, verified.err).toMatchObject({ exitCode: 0, json: { proof: { ok: true, reached: 'P4' } } });
  }, 200_000);

  it('restored onto the machine of another region it is unpacked there, with its tablespaces, and starts', async () => {
    const into = join(directory, 'there', 'data');
    const missing = await run('restore', 'orders-db', '--on', 'east', '--into', into, '--yes');
    expect(missing).toMatchObject({ json: { error: { code: 'HANDS_MISSING' } } });
    const restored = await run('restore', 'orders-db', '--on', 'west', '--into', into, '--yes');
    expect(restored, `${restored.out}${restored.err}`).toMatchObject({
      exitCode: 0,
      json: { into, on: 'west', restored: { on: 'west', directory: into } },
    });
    const again = await run('restore', 'orders-db', '--on', 'west', '--into', into, '--yes');
    expect(again).toMatchObject({
      exitCode: 1,
      json: { error: { code: 'RESTORE_TARGET_NOT_EMPTY', message: expect.stringContaining('ssh ') } },
    });
    // What was made on the way is gone, so nothing of what starts there lies here.
    expect((await runProgram(['find', join(directory, 'scratch'), '-name', 'copy'])).stdout).toBe('');
    if (server.owner !== undefined) await runProgram(['chmod', 'o+x', join(directory, 'there')]);
    const port = await freePort('127.0.0.1');
    const control = (...args: string[]) =>
      runProgram([...server.commandPrefix, join(server.binDirectory, 'pg_ctl'), '-D', into, '-w', ...args], { timeoutMs: 60_000 });
    const settings = `-c port=${port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c logging_collector=off`;
    await control('-l', join(into, 'server.log'), '-o', settings, 'start');
    try {
      const url = `host=127.0.0.1 port=${port} user=holdfast dbname=postgres`;
      const { stdout } = await runProgram([join(server.binDirectory, 'psql'), url, '-Atc', 'SELECT count(*) FROM bought'], {
        env: { PGPASSWORD: server.passwords.holdfast },
      });
      expect(stdout.trim()).toBe('3100');
    } finally {
      await control('-m', 'immediate', 'stop');
    }
  }, 200_000);
});
