/** The key management service from the command line, against one that answers: a repository that a key opens gets a slot of the service, and is opened by it alone afterwards. */
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CreateAliasCommand, CreateKeyCommand, KMSClient } from '@aws-sdk/client-kms';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startMoto } from '../systems/moto.ts';
import type { ObjectStoreServer } from '../systems/object-store.ts';
import { describeSystem } from '../systems/requirement.ts';
import { removeDirectory, temporaryDirectory } from '../systems/temporary-directory.ts';

const program = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const bucket = 'dr-backups';

describeSystem('moto', 'repository add-key --key-service', () => {
  let moto: ObjectStoreServer;
  let directory = '';
  let recoveryKey = '';
  const at = (name: string) => join(directory, name);

  async function run(words: string, more: Readonly<Record<string, string>> = {}) {
    const env = {
      PATH: process.env.PATH,
      HOME: directory,
      ACCESS_ID: moto.accessKeyId,
      ACCESS_SECRET: moto.secretAccessKey,
      DB_PASSWORD: 'none',
      ...more,
    };
    const common = ['--spec', at('spec.yaml'), '--state', at('state'), '--json'];
    const { code, out, err } = await new Promise<{ code: number; out: string; err: string }>((resolve) =>
      execFile(process.execPath, [program, ...words.split(' '), ...common], { cwd: directory, env, timeout: 60_000 }, (error, out, err) =>
        resolve({ code: error === null ? 0 : Number(error.code ?? 1), out, err }),
      ),
    );
    const last = out.trim().split('\n').at(-1) ?? '';
    return { code, err, json: (last === '' ? {} : JSON.parse(last)) as Record<string, unknown> & { error?: { code: string } } };
  }

  /** The code of what stands in the way of whoever has only what the spec names; undefined: nothing. */
  async function whyNotOpen(): Promise<string | undefined> {
    const { code, json } = await run('repository check main');
    const [{ ok, problems = [] } = {}] = json.repositories as { ok?: boolean; problems?: { code: string }[] }[];
    expect(code).toBe(ok ? 0 : 3);
    return problems[0]?.code;
  }

  const writeSpec = (encryption: string) =>
    writeFile(
      at('spec.yaml'),
      `holdfast: v1
name: orders
regions: { east: { role: active }, west: { role: standby } }
components:
  db:
    driver: postgresql
    replication: asynchronous
    sites:
      east: { url: "postgresql://holdfast@127.0.0.1:1/postgres", password: { env: DB_PASSWORD } }
      west: { url: "postgresql://holdfast@127.0.0.1:2/postgres", password: { env: DB_PASSWORD } }
    backup: [{ what: base, every: daily }]
repositories:
  main:
    driver: s3
    bucket: ${bucket}
    region: ${moto.region}
    endpoint: ${moto.endpoint}
    key-service-endpoint: ${moto.endpoint}
    access-key-id: { env: ACCESS_ID }
    secret-access-key: { env: ACCESS_SECRET }
    lock-mode: governance
    encryption: ${encryption}
`,
    );

  beforeAll(async () => {
    moto = await startMoto();
    directory = await temporaryDirectory('key-service');
    await moto.makeBucket(bucket);
    const credentials = { accessKeyId: moto.accessKeyId, secretAccessKey: moto.secretAccessKey };
    const kms = new KMSClient({ endpoint: moto.endpoint, region: moto.region, credentials });
    const id = (await kms.send(new CreateKeyCommand({}))).KeyMetadata?.KeyId ?? '';
    await kms.send(new CreateAliasCommand({ AliasName: 'alias/holdfast', TargetKeyId: id }));
    kms.destroy();
    await writeSpec(`{ key: { file: ${at('key')} } }`);
    const made = await run(`repository create main --recovery-key-file ${at('recovery')}`);
    expect(made, JSON.stringify(made)).toMatchObject({ code: 0 });
    recoveryKey = (await readFile(at('recovery'), 'utf8')).trim();
  });
  afterAll(async () => {
    await moto?.stop();
    await removeDirectory(directory);
  });

  it('is refused where the spec names no service', async () => {
    const refused = await run('repository add-key --key-service', { HOLDFAST_KEY: recoveryKey });
    expect(refused.code).toBe(2);
    expect(refused.json.error?.code).toBe('USAGE');
  });

  it('opens nothing before its slot is there, and adds none without a key that opens the repository', async () => {
    await writeSpec('{ key-service: alias/holdfast }');
    expect(await whyNotOpen()).toBe('KEY_WRONG');
    expect((await run('repository add-key --key-service')).json.error?.code).toBe('KEY_MISSING');
    const wrong = recoveryKey.replace(/.$/, (last) => (last === '0' ? '1' : '0'));
    expect((await run('repository add-key --key-service', { HOLDFAST_KEY: wrong })).json.error?.code).toBe('KEY_WRONG');
    expect(await whyNotOpen()).toBe('KEY_WRONG');
  });

  it('opens it from then on; the machine needs no key any more, and the old slot can be revoked', async () => {
    const added = await run('repository add-key --key-service', { HOLDFAST_KEY: recoveryKey });
    expect(added, added.err).toMatchObject({ code: 0, json: { repository: 'main', slot: expect.stringMatching(/^kms-/) } });
    expect(await whyNotOpen()).toBeUndefined();
    expect((await run('repository show main')).json.slots).toEqual(
      expect.arrayContaining([{ slot: added.json.slot, kind: 'kms' }, expect.objectContaining({ kind: 'machine' })]),
    );
    // What the command answers and what it logs must not hold the key that opened the repository.
    expect(JSON.stringify(added.json) + added.err).not.toContain(recoveryKey);
    const kms = String(added.json.slot);
    const revoked = await run(`repository revoke-key ${kms}`);
    expect(revoked.code).toBe(0);
    expect(await whyNotOpen()).toBe('KEY_WRONG');
  });
});
