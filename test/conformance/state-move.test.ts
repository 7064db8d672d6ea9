/** An embedded state moves to etcd: whole, once, and back to where it was when that fails. */
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { fail } from '../../src/base/errors.ts';
import type { StateImport } from '../../src/contracts/state-import.ts';
import type { StateStore } from '../../src/contracts/state-store.ts';
import { createExecution } from '../../src/state/journal.ts';
import { abandonMove, moveState, refuseMoved } from '../../src/state/move-state.ts';
import { openEtcdImport } from '../../src/stores/etcd/etcd-import.ts';
import { openSqliteStore } from '../../src/stores/sqlite/sqlite-store.ts';
import { madeUpPlan, madeUpStep } from '../engine/fake-platform.ts';
import { type RunningEtcd, startEtcd } from '../systems/etcd.ts';
import { repositoryDirectory } from '../systems/programs.ts';
import { describeSystem } from '../systems/requirement.ts';
import { EtcdStoreWorld, failureOf, host, put } from './etcd-store-world.ts';

describeSystem('etcd', 'moving an embedded state to etcd', () => {
  const world = new EtcdStoreWorld();
  let server: RunningEtcd;
  let embedded: StateStore;
  beforeAll(async () => {
    server = await startEtcd();
  });
  afterAll(() => server.stop());
  beforeEach(async () => {
    await world.begin();
    embedded = await openSqliteStore({ path: join(world.directory, 'state', 'state.sqlite'), host, platform: 'test' });
    // More than one request holds, and values of every size.
    for (let from = 0; from < 450; from += 150)
      await embedded.commit(Array.from({ length: 150 }, (_, index) => put(`many/${from + index}`, 'ü'.repeat(index * 20))));
    await embedded.commit([put('platform', 'test')]);
  });
  afterEach(async () => {
    await embedded.close();
    await world.closeAll();
  });

  const move = (into: StateImport) => moveState(embedded, into, { by: 'ada', host });
  const openImport = async () => {
    const into = await openEtcdImport(world.options([server.url]));
    world.onEnd(() => into.close());
    return into;
  };
  const contentOf = async (store: StateStore) =>
    (await store.range('')).filter(({ key }) => key !== 'moved').map(({ key, value }) => [key, value] as const);
  /** The import, with something that goes wrong at one of its steps. */
  const failingAt = (into: StateImport, step: keyof StateImport): StateImport =>
    new Proxy(into, {
      get: (target, name) => {
        if (name === step) return async () => Promise.reject(fail('STATE_UNREACHABLE', { message: 'cut by a test' }));
        const found: unknown = Reflect.get(target, name);
        return typeof found === 'function' ? found.bind(target) : found;
      },
    });

  it('copies all of it, compares, and leaves the old one to nobody', async () => {
    const lease = await embedded.acquireLease('primary/a', 'one', 1_000);
    await embedded.releaseLease(lease);
    const moved = await move(await openImport());
    expect(moved).toMatchObject({ entries: 451, to: `etcd ${world.prefix}` });
    const shared = await world.open([server.url]);
    expect(await contentOf(shared)).toEqual(await contentOf(embedded));
    expect((await shared.acquireLease('primary/a', 'one', 1_000)).token).toBeGreaterThan(lease.token);
    expect(await failureOf(refuseMoved(embedded))).toMatchObject({ code: 'STATE_MOVED', details: { complete: true } });
    // Once more: it is there.
    expect(await move(await openImport())).toMatchObject({ entries: 451, digest: moved.digest });
  });

  it.each(['begin', 'add', 'read'] as const)('that fails at "%s" leaves everything as it was, and can be done again', async (step) => {
    expect(await failureOf(move(failingAt(await openImport(), step)))).toMatchObject({ code: 'STATE_UNREACHABLE' });
    await refuseMoved(embedded);
    await embedded.commit([put('platform', 'on')]);
    expect((await failureOf(world.open([server.url], { mayBegin: false }))).code).toBe('NOT_FOUND');
  });

  it('that ends before the copy counts is finished by the same command; meanwhile neither is served', async () => {
    const error = await failureOf(move(failingAt(await openImport(), 'finish')));
    expect(error.hint).toMatch(/state copy --to etcd again/);
    expect(await failureOf(refuseMoved(embedded))).toMatchObject({ code: 'STATE_MOVED' });
    expect(await failureOf(world.open([server.url]))).toMatchObject({ code: 'STATE_NOT_EMPTY' });
    expect(await move(await openImport())).toMatchObject({ entries: 451 });
    expect(await contentOf(await world.open([server.url]))).toEqual(await contentOf(embedded));
  });

  it('that another process ended in the middle of goes on, or is abandoned', async () => {
    const into = await openImport();
    await embedded.commit([
      { kind: 'put', key: 'moved', value: { copyId: 'c', to: into.place, by: 'ada', atMs: 1, complete: false }, expected: 'absent' },
    ]);
    await into.begin('c');
    await into.add([{ key: 'left-over', value: 1 }]);
    expect(await failureOf(refuseMoved(embedded))).toMatchObject({ code: 'STATE_MOVED', hint: expect.stringMatching(/--abandon/) });
    await abandonMove(embedded);
    await refuseMoved(embedded);
    expect(await failureOf(abandonMove(embedded))).toMatchObject({ code: 'USAGE' });
    await embedded.commit([
      { kind: 'put', key: 'moved', value: { copyId: 'c', to: into.place, by: 'ada', atMs: 1, complete: false }, expected: 'absent' },
    ]);
    await move(into);
    expect(await contentOf(await world.open([server.url]))).toEqual(await contentOf(embedded));
  });

  it('is refused while something runs or has not ended, and where something is already', async () => {
    const lease = await embedded.acquireLease('serve', 'serve-7', 60_000);
    expect(await failureOf(move(await openImport()))).toMatchObject({ code: 'STATE_LEASE_HELD', details: { holders: ['serve-7'] } });
    await embedded.releaseLease(lease);
    const { id } = await createExecution(embedded, host, {
      plan: madeUpPlan([madeUpStep('a')]),
      startedBy: 'ada',
      reason: '',
      specDigest: '',
    });
    expect(await failureOf(move(await openImport()))).toMatchObject({ code: 'EXECUTION_WRONG_STATE', details: { executions: [id] } });
    await embedded.commit([{ kind: 'delete', key: `execution-open/${id}`, expected: 'any' }]);
    await world.open([server.url]);
    expect(await failureOf(move(await openImport()))).toMatchObject({ code: 'STATE_NOT_EMPTY' });
    await refuseMoved(embedded);
  });

  it('by its commands: copy, show, and what is refused then', async () => {
    const spec = (state: string) => `holdfast: v1
name: test
regions: { a: { role: active }, b: { role: standby } }
components: { web: { driver: http-service, sites: { a: { url: "http://127.0.0.1:9/" }, b: { url: "http://127.0.0.1:9/" } } } }
${state}`;
    await writeFile(join(world.directory, 'embedded.yaml'), spec(''));
    await writeFile(
      join(world.directory, 'shared.yaml'),
      spec(`state: { etcd: { endpoints: ["${server.url}"], prefix: ${world.prefix} } }`),
    );
    const run = (file: string, ...words: string[]) =>
      new Promise<{ readonly code: number; readonly json: Record<string, never> }>((resolve) => {
        const main = [join(repositoryDirectory, 'src', 'main.ts'), '--spec', file, '--state', 'state', '--by', 'ada', '--json'];
        const child = execFile(process.execPath, [...main, ...words], { cwd: world.directory, timeout: 30_000 }, (_, out) =>
          resolve({ code: child.exitCode ?? -1, json: JSON.parse(out.trim().split('\n').at(-1) ?? '{}') }),
        );
      });
    expect(await run('shared.yaml', 'status')).toMatchObject({
      code: 2,
      json: { error: { code: 'NOT_FOUND', hint: expect.stringMatching(/state copy/) } },
    });
    expect(await run('shared.yaml', 'state', 'copy', '--to', 'etcd')).toMatchObject({ code: 2, json: { error: { code: 'USAGE' } } });
    expect(await run('shared.yaml', 'state', 'copy', '--to', 'etcd', '--yes')).toMatchObject({ code: 0, json: { entries: 451 } });
    expect(await run('embedded.yaml', 'status')).toMatchObject({ code: 1, json: { error: { code: 'STATE_MOVED' } } });
    const { code, json } = await run('shared.yaml', 'state', 'show');
    expect(code).toBe(0);
    expect(json).toMatchObject({ kind: 'etcd', place: world.prefix, members: [{ leads: true }] });
    expect(await run('shared.yaml', 'state', 'accept', '--reason', 'none', '--yes')).toMatchObject({
      code: 2,
      json: { error: { code: 'USAGE' } },
    });
  });
});
