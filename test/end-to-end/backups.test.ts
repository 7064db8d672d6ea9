/** Backups of a real PostgreSQL, from the spec to a table that is back: by the real program, with a controller that is killed on the way. */
import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startTwoRegions, type TwoRegions } from '../../examples/demo/two-regions.ts';
import { describeSystem } from '../systems/requirement.ts';
import { runProgram } from '../systems/run-program.ts';
import { type RunningProgram, runHoldfast, startHoldfast, until, type Where } from './holdfast-program.ts';

const passphrase = 'a long sentence that nobody guesses';

interface Platform {
  readonly regions: TwoRegions;
  readonly where: Where;
  readonly repository: string;
  readonly scratch: string;
}

async function build(): Promise<Platform> {
  const regions = await startTwoRegions({ databaseOnly: true, automatic: false });
  const repository = join(regions.directory, 'repository');
  // Short: sockets lie in it.
  const scratch = await mkdtemp(join(tmpdir(), 'hf-'));
  await chmod(scratch, 0o711);
  const spec = await readFile(regions.specFile, 'utf8');
  const backup = [
    '    backup:',
    '      - what: base',
    '        every: "0 3 * * *"',
    '        keep: { proven: 2, days: 30d }',
    '        prove: { every: monthly, level: P4, within: 1h, checks: [{ ask: "SELECT count(*) FROM bought", expect: "> 0" }] }',
    '      - { what: wal, continuous: true, keep: 30d }',
  ];
  const text = spec.replace(/^( {2}orders-db:\n)/m, `$1${backup.join('\n')}\n`);
  await writeFile(
    regions.specFile,
    `${text}repositories:\n  main: { driver: filesystem, path: ${repository}, encryption: { passphrase: { env: BACKUP_PASSPHRASE } } }\n`,
  );
  const where = {
    specFile: regions.specFile,
    stateDirectory: regions.stateDirectory,
    env: { ...regions.env, BACKUP_PASSPHRASE: passphrase, HOLDFAST_SCRATCH: scratch },
  };
  return { regions, where, repository, scratch };
}

describeSystem(['postgresql', 'sshd'], 'backups of PostgreSQL by the program', () => {
  let platform: Platform;
  let serve: RunningProgram | undefined;
  const run = (...args: string[]) => runHoldfast(platform.where, args, { timeoutMs: 170_000 });
  const database = () => platform.regions.regions['us-east-1'].database;
  const query = (text: string) => database().query(text, { database: 'orders' });

  beforeAll(async () => {
    platform = await build();
    await query('CREATE TABLE bought (id bigint PRIMARY KEY, note text)');
    await query("INSERT INTO bought SELECT n, 'order ' || n FROM generate_series(1, 2000) AS n");
  }, 120_000);

  afterAll(async () => {
    await serve?.stop();
    await platform?.regions.stop();
    if (platform) await rm(platform.scratch, { recursive: true, force: true });
  }, 60_000);

  it('a repository is made only with a recovery key that was kept', async () => {
    const nobody = await run('repository', 'create');
    expect(nobody, nobody.err).toMatchObject({ exitCode: 1, json: { error: { code: 'KEY_NOT_PROVEN' } } });
    const keyFile = join(platform.regions.directory, 'recovery.key');
    const made = await run('repository', 'create', 'main', '--recovery-key-file', keyFile);
    expect(made, made.err).toMatchObject({ exitCode: 0, json: { encrypted: true } });
    expect(await readFile(keyFile, 'utf8')).toMatch(/^hfk1-/);
    const shown = await run('repository', 'show');
    expect(shown.json).toMatchObject({ encrypted: true, backups: 0 });
    expect(await run('repository', 'check')).toMatchObject({ exitCode: 0 });
    expect(await run('repository', 'create', 'main', '--recovery-key-file', `${keyFile}.2`)).toMatchObject({
      exitCode: 1,
      json: { error: { code: 'REPOSITORY_EXISTS' } },
    });
    expect(`${made.out}${made.err}${shown.out}`).not.toContain(passphrase);
  });

  it('[S5-03] [S4-02] serve takes the first base backup by itself, and archives the log with a lag of seconds', async () => {
    serve = startHoldfast(platform.where, ['serve'], { timeoutMs: 900_000 });
    const [row] = await until(
      'a base backup',
      async () => {
        const { json } = await run('backups', 'orders-db');
        return json?.backups?.length > 0 ? json.backups : undefined;
      },
      90_000,
    );
    expect(row).toMatchObject({ component: 'orders-db', what: 'base', level: 'none', repository: 'main' });
    const status = await until(
      'an archive that goes on',
      async () => {
        const { json } = await run('status');
        return json?.backups?.archives?.[0]?.archivedAtMs !== undefined ? json.backups : undefined;
      },
      60_000,
    );
    expect(status.archives[0]).toMatchObject({ component: 'orders-db', state: 'archiving', region: 'us-east-1' });
  }, 170_000);

  it('[S4-47] [S4-48] [S4-50] verify restores the newest beside, reaches the level, and leaves nothing behind', async () => {
    const verified = await run('verify', 'orders-db', '--level', 'P5');
    expect(verified, `${verified.out}\n${verified.err}`).toMatchObject({ exitCode: 0, json: { proof: { ok: true } } });
    expect(verified.json.proof.reached).toBe('P5');
    const { json } = await run('backups', 'orders-db');
    expect(json.backups.at(-1)).toMatchObject({ level: verified.json.proof.reached });
    const left = (await readdir(platform.scratch, { recursive: true })).filter((name) => name.includes('proof-'));
    expect(left).toEqual([]);
  }, 170_000);

  it('a dropped table comes back from the instant before', async () => {
    await query("INSERT INTO bought SELECT n, 'late ' || n FROM generate_series(2001, 2100) AS n");
    await delay(1_200);
    const before = new Date().toISOString();
    await delay(1_200);
    await query('DROP TABLE bought');
    await query('SELECT pg_switch_wal()');
    const into = join(platform.regions.directory, 'restored');
    const restored = await until(
      'the instant is within reach',
      async () => {
        const ended = await run('restore', 'orders-db', '--to', before, '--into', into, '--yes');
        return ended.exitCode === 0 || !JSON.stringify(ended.json).includes('RESTORE_TARGET_UNREACHABLE') ? ended : undefined;
      },
      60_000,
    );
    expect(restored, `${restored.out}\n${restored.err}`).toMatchObject({ exitCode: 0 });
    expect(restored.json).toMatchObject({ into, component: 'orders-db', restored: { directory: expect.stringContaining(into) } });
    const again = await run('restore', 'orders-db', '--into', into, '--yes');
    expect(again).toMatchObject({ exitCode: 1, json: { error: { code: 'RESTORE_TARGET_NOT_EMPTY' } } });
    expect(await countBought(restored.json.restored.directory)).toBe(2100);
  }, 170_000);

  it('killed in the middle of a backup: the one that goes on ends it, under the same id, and nothing is there twice', async () => {
    await serve?.stop();
    const before = ((await run('backups')).json.backups as { backupId: string }[]).length;
    const dying = startHoldfast(platform.where, ['backup', 'orders-db'], { timeoutMs: 60_000 });
    const execution = await until('it has begun', () => /execution (backup-\w+)/.exec(dying.output())?.[1], 30_000);
    await until('parts are being written', async () => ((await piecesOf(platform.repository)) > 0 ? true : undefined), 30_000);
    dying.signal('SIGKILL');
    await dying.ended;
    expect((await run('executions', execution)).json.state.outcome).toBeUndefined();
    serve = startHoldfast(platform.where, ['serve'], { timeoutMs: 900_000 });
    const ended = await outcomeOf(execution);
    expect(ended).toMatchObject({ outcome: 'done' });
    const { json } = await run('backups');
    expect(json.backups).toHaveLength(before + 1);
    expect(new Set(json.backups.map((each: { backupId: string }) => each.backupId)).size).toBe(before + 1);
  }, 170_000);

  it('[S4-50] killed in the middle of a proof: it is made anew, recorded once, and no copy is left', async () => {
    await serve?.stop();
    const dying = startHoldfast(platform.where, ['verify', 'orders-db', '--level', 'P3', '--target', 'oldest'], { timeoutMs: 60_000 });
    const execution = await until('it has begun', () => /execution (proof-\w+)/.exec(dying.output())?.[1], 30_000);
    await until(
      'a copy is being made',
      () => (/restoring|checking it at rest|starting it/.test(dying.output()) ? true : undefined),
      60_000,
    );
    dying.signal('SIGKILL');
    await dying.ended;
    serve = startHoldfast(platform.where, ['serve'], { timeoutMs: 900_000 });
    expect(await outcomeOf(execution)).toMatchObject({ outcome: 'done' });
    const listed = (await run('backups')).json.backups as { backupId: string }[];
    const shown = (await run('backups', 'show', listed[0]?.backupId as string)).json;
    expect(shown.entry.proofs.filter((proof: { by: string }) => proof.by === execution)).toHaveLength(1);
    const left = (await readdir(platform.scratch, { recursive: true })).filter((name) => name.includes('proof-'));
    expect(left).toEqual([]);
  }, 170_000);

  const outcomeOf = (execution: string) =>
    until(
      `${execution} ends`,
      async () => {
        const { json } = await run('executions', execution);
        return json?.state?.outcome === undefined ? undefined : json.state;
      },
      120_000,
    );

  /** Objects of backups that have no manifest yet. */
  async function piecesOf(repository: string): Promise<number> {
    const names = await readdir(join(repository, 'backups'), { recursive: true });
    const committed = new Set(names.filter((name) => name.endsWith('/manifest')).map((name) => name.split('/').slice(0, 2).join('/')));
    return names.filter((name) => name.includes('/pieces/') && !committed.has(name.split('/').slice(0, 2).join('/'))).length;
  }

  /** Starts the restored server by hand, on a socket only, and asks it. */
  async function countBought(directory: string): Promise<number> {
    const { binDirectory, commandPrefix, passwords } = database();
    const asOwner = (program: string, args: string[]) => {
      return runProgram([...commandPrefix, join(binDirectory, program), ...args], {
        timeoutMs: 60_000,
        env: { PGPASSWORD: passwords.holdfast },
      });
    };
    const log = join(directory, 'started.log');
    const how = `-c listen_addresses='' -c logging_collector=off -k ${directory} -p 15999`;
    await asOwner('pg_ctl', ['-D', directory, '-w', '-t', '50', '-l', log, '-o', how, 'start']).catch(async (error) => {
      throw new Error(`${error}: ${await readFile(log, 'utf8')}`);
    });
    try {
      const { stdout } = await asOwner('psql', [
        '-h',
        directory,
        '-p',
        '15999',
        '-U',
        'holdfast',
        '-d',
        'orders',
        '-tAc',
        'SELECT count(*) FROM bought',
      ]);
      return Number(stdout.trim());
    } finally {
      await asOwner('pg_ctl', ['-D', directory, '-m', 'immediate', 'stop']);
    }
  }
});
