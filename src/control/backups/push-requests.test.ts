import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { makeWorld, type RepositoryWorld } from '../../../test/fakes/repository-world.ts';
import { fail } from '../../base/errors.ts';
import { nodeHost } from '../../host/node/node-host.ts';
import { PushRequests, type PushRequestsParts } from './push-requests.ts';

const client = fileURLToPath(new URL('../../wal-push.ts', import.meta.url));
const host = nodeHost({ logTo: 'silent' });
const identity = '7000000000000000001';
const segment = '000000010000000000000003';

let directory = '';
let world: RepositoryWorld;
let server: PushRequests | undefined;
let opened = 0;

/** As much of a spec and a catalogue as a push looks at. */
function parts(): PushRequestsParts {
  const component = { name: 'orders-db', driver: 'log-store', backup: [{ what: 'wal', to: 'main' }] };
  const identifyLog = async (_: unknown, path: string) => {
    await host.fileStreams.stat(path);
    return identity;
  };
  return {
    spec: {
      components: new Map([[component.name, component]]),
      repositories: new Map([['main', { name: 'main' }]]),
    } as unknown as PushRequestsParts['spec'],
    catalog: new Map([['log-store', { backups: { identifyLog } }]]) as unknown as PushRequestsParts['catalog'],
    host,
    socketPath: join(directory, 'wal-push.sock'),
    openRepository: async () => {
      opened += 1;
      return world.repository;
    },
  };
}

/** Runs the client as a database does. */
function push(...words: string[]): Promise<{ code: number; out: string; err: string }> {
  const env = { PATH: process.env.PATH, HOME: directory, HOLDFAST_STATE: directory };
  return new Promise((resolve) =>
    execFile(process.execPath, [client, ...words], { cwd: directory, env, timeout: 30_000 }, (error, out, err) =>
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), out, err }),
    ),
  );
}

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'holdfast-push-'));
  world = await makeWorld({ encrypted: true });
  opened = 0;
  await writeFile(join(directory, segment), 'the log as it was written');
});
afterEach(async () => {
  await server?.close();
  server = undefined;
  await rm(directory, { recursive: true, force: true });
});

it('archives what a client names, says so only then, and opens the repository once', async () => {
  server = new PushRequests(parts());
  await server.start();
  expect(await push(segment, '--component', 'orders-db')).toMatchObject({ code: 0, out: `${segment} of orders-db is kept in main\n` });
  const again = await push(segment, '--component', 'orders-db', '--json');
  expect(JSON.parse(again.out)).toMatchObject({ name: segment, identity, outcome: 'same', bytes: 25 });
  expect(opened).toBe(1);
  const found = await (await world.repository.openArchive('orders-db', identity)).fetch(segment);
  expect(Buffer.from(found?.bytes ?? []).toString()).toBe('the log as it was written');
});

it('fails the client where the content is another one, and where there is no such component', async () => {
  server = new PushRequests(parts());
  await server.start();
  await push(segment, '--component', 'orders-db');
  await writeFile(join(directory, segment), 'something else');
  const conflict = await push(segment, '--component', 'orders-db');
  expect(conflict.code).toBe(1);
  expect(conflict.err).toContain('ARCHIVE_CONFLICT');
  expect((await push(segment, '--component', 'nothing')).err).toContain('NOT_FOUND');
});

it('takes many at once, and tries to open a repository again that could not be opened', async () => {
  let isDown = true;
  server = new PushRequests({
    ...parts(),
    openRepository: async () => {
      if (isDown) throw fail('STORE_UNREACHABLE', { message: 'not now' });
      return world.repository;
    },
  });
  await server.start();
  expect((await push(segment, '--component', 'orders-db')).err).toContain('STORE_UNREACHABLE');
  isDown = false;
  const names = Array.from({ length: 6 }, (_, i) => `00000001000000000000001${i}`);
  for (const name of names) await writeFile(join(directory, name), name);
  const answers = await Promise.all(names.map((name) => push(name, '--component', 'orders-db')));
  expect(answers.map(({ code }) => code)).toEqual(names.map(() => 0));
});

it('takes the place of a killed process, and leaves a live one its place', async () => {
  server = new PushRequests(parts());
  await server.start();
  const second = new PushRequests(parts());
  await second.start();
  expect((await push(segment, '--component', 'orders-db')).code).toBe(0);
  await second.close();
  await server.close();
  const path = join(directory, 'wal-push.sock');
  const dies = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
  await new Promise((resolve) => execFile(process.execPath, ['-e', dies], resolve));
  expect((await host.fileStreams.stat(path))?.kind).toBe('other');
  server = new PushRequests(parts());
  await server.start();
  expect((await push(segment, '--component', 'orders-db')).code).toBe(0);
});

it('does without a socket where something else lies at its path, and leaves that alone', async () => {
  const path = join(directory, 'wal-push.sock');
  await writeFile(path, 'precious');
  server = new PushRequests(parts());
  await server.start();
  expect(await host.files.readText(path)).toBe('precious');
});

it('is not needed: with nobody there the client loads the program and does it by itself', async () => {
  const alone = await push(segment, '--component', 'orders-db', '--spec', join(directory, 'absent.yaml'));
  expect(alone.code).toBe(2);
  expect(alone.err).toContain('SPEC_UNREADABLE');
});

it('understands nothing but a request', async () => {
  server = new PushRequests(parts());
  await server.start();
  const answer = await new Promise<string>((resolve, reject) => {
    host.net
      .connectUnix({ path: join(directory, 'wal-push.sock'), timeoutMs: 1_000 })
      .then((connection) => {
        connection.onData((data) => {
          connection.close();
          resolve(Buffer.from(data).toString());
        });
        connection.write('GET / HTTP/1.1\r\n\r\n');
      })
      .catch(reject);
  });
  expect(JSON.parse(answer)).toMatchObject({ ok: false, error: { code: 'USAGE' } });
});
