import { describe, expect, it } from 'vitest';
import { failFirst, MemoryBackend } from '../../test/fakes/memory-backend.ts';
import { makeWorld, readParts, startMs, testFacts, testHost, writeBackup } from '../../test/fakes/repository-world.ts';
import { fail } from '../base/errors.ts';
import { Secret } from '../base/secret.ts';
import { createRepository } from './create-repository.ts';
import { openRepository } from './open-repository.ts';

const host = () => testHost({ nowMs: startMs }, 5);
const secret = (text: string) => new Secret(text, 'test');
/** What a guess costs is the matter of one test only. */
const cheap = { N: 1_024, r: 8, p: 1 };
const typesItBack = async (key: string) => key;
const words = new TextEncoder().encode('content');

/** An encrypted repository with a passphrase, and its recovery key. */
async function createWithPassphrase(backend: MemoryBackend) {
  let recoveryKey = '';
  const repository = await createRepository({
    backend,
    host: host(),
    platform: 'orders',
    encryption: { passphrase: secret('correct horse battery'), cost: cheap },
    confirmRecoveryKey: async (key) => {
      recoveryKey = key;
      return ` ${key.toUpperCase().replaceAll('0', 'o')} `;
    },
  });
  return { repository, recoveryKey };
}

const open = (backend: MemoryBackend, text?: string, platform = 'orders') =>
  openRepository({ backend, host: host(), platform, ...(text === undefined ? {} : { secret: secret(text) }) });

describe('creating a repository', () => {
  it('[S5-09] fails, and leaves nothing, until the recovery key has opened its slot as it was typed', async () => {
    for (const typed of ['', 'hfk1-wrong', 'something else entirely']) {
      const backend = new MemoryBackend();
      const request = { backend, host: host(), platform: 'orders', encryption: {}, confirmRecoveryKey: async () => typed };
      await expect(createRepository(request)).rejects.toMatchObject({ code: 'KEY_NOT_PROVEN' });
      expect(backend.names()).toEqual([]);
    }
    // A recovery key that is right in form, but of another repository.
    const other = await createWithPassphrase(new MemoryBackend());
    const backend = new MemoryBackend();
    const request = { backend, host: testHost({ nowMs: startMs }, 9), platform: 'orders', encryption: {} };
    const another = createRepository({ ...request, confirmRecoveryKey: async () => other.recoveryKey });
    await expect(another).rejects.toMatchObject({ code: 'KEY_NOT_PROVEN' });
    expect(backend.names()).toEqual([]);
  });

  it('[S5-09] is opened by the passphrase and by the recovery key, each alone, and by nothing else', async () => {
    const backend = new MemoryBackend();
    const { repository, recoveryKey } = await createWithPassphrase(backend);
    await writeBackup(repository, { part: words });
    for (const text of ['correct horse battery', recoveryKey, recoveryKey.replaceAll('-', '').replace('hfk1', 'hfk1-')]) {
      const reader = await (await open(backend, text)).openBackup('db', 'b1');
      expect(await readParts(reader)).toEqual({ part: words });
    }
    await expect(open(backend, 'correct horse batterie')).rejects.toMatchObject({ code: 'KEY_WRONG' });
    await expect(open(backend)).rejects.toMatchObject({ code: 'KEY_MISSING' });
    const mistyped = `${recoveryKey.slice(0, -1)}${recoveryKey.endsWith('0') ? '1' : '0'}`;
    await expect(open(backend, mistyped)).rejects.toMatchObject({ code: 'KEY_WRONG', message: expect.stringContaining('checksum') });
  });

  it('refuses a store that writes twice, a place that is taken, and backups whose repository lost its head', async () => {
    const unsound = new MemoryBackend({ capabilities: { putIfAbsent: false } });
    const request = { host: host(), platform: 'orders', confirmRecoveryKey: typesItBack };
    await expect(createRepository({ ...request, backend: unsound })).rejects.toMatchObject({ code: 'STORE_UNSOUND' });
    expect(unsound.names()).toEqual([]);
    await expect(createRepository({ ...request, backend: new MemoryBackend(), lockMs: 1_000 })).rejects.toMatchObject({
      code: 'STORE_NO_LOCK',
    });
    const { backend, repository } = await makeWorld();
    await expect(createRepository({ ...request, backend })).rejects.toMatchObject({ code: 'REPOSITORY_EXISTS' });
    await writeBackup(repository, { part: words });
    backend.objects.delete('repo');
    await expect(createRepository({ ...request, backend })).rejects.toMatchObject({ code: 'REPOSITORY_EXISTS' });
    await expect(open(backend)).rejects.toMatchObject({ code: 'REPOSITORY_MISSING' });
  });

  it('makes one repository where two make one at once', async () => {
    const backend = new MemoryBackend();
    const make = (seed: number) =>
      createRepository({
        backend,
        host: testHost({ nowMs: startMs }, seed),
        platform: 'orders',
        encryption: { passphrase: secret('correct horse battery') },
        confirmRecoveryKey: typesItBack,
      });
    const outcomes = await Promise.allSettled([make(1), make(2)]);
    expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    expect(outcomes.find((outcome) => outcome.status === 'rejected')).toMatchObject({ reason: { code: 'REPOSITORY_EXISTS' } });
    await expect(open(backend, 'correct horse battery')).resolves.toMatchObject({ encrypted: true });
  });

  it('[X-06] never has a repository that can not be opened, whenever its making is killed', async () => {
    for (const keepsAll of [true, false]) {
      for (let at = 1, isOver = false; !isOver; at += 1) {
        for (const when of ['before', 'after'] as const) {
          const backend = new MemoryBackend();
          backend.dieAt(at, when);
          let recoveryKey = '';
          const request = { backend, host: host(), platform: 'orders', encryption: {} };
          const made = await createRepository({
            ...request,
            confirmRecoveryKey: async (key) => {
              recoveryKey = key;
              return key;
            },
          }).catch(() => undefined);
          isOver = !backend.isDead;
          backend.restart(() => keepsAll);
          if (backend.objects.has('repo')) await expect(open(backend, recoveryKey)).resolves.toMatchObject({ encrypted: true });
          else expect(made).toBeUndefined();
        }
      }
    }
  });

  it('goes on through a store that answers late, and does not take its own object for somebody else’s', async () => {
    const backend = new MemoryBackend();
    const lost = (name: string) =>
      failFirst(
        1,
        (call) => call.operation === 'put' && call.name.startsWith(name),
        () => fail('STORE_OUTCOME_UNKNOWN'),
        true,
      );
    const [key, repo] = [lost('keys/'), lost('repo')];
    backend.fault = (call) => key(call) ?? repo(call);
    const { repository } = await createWithPassphrase(backend);
    await writeBackup(repository, { part: words });
    expect(await readParts(await repository.openBackup('db', 'b1'))).toEqual({ part: words });
  });
});

describe('opening a repository', () => {
  it('[S5-09] tells another platform, a newer format, damage and a lost head apart', async () => {
    const { backend } = await makeWorld();
    await expect(open(backend, undefined, 'billing')).rejects.toMatchObject({ code: 'REPOSITORY_OTHER_PLATFORM' });
    const repo = JSON.parse(new TextDecoder().decode(backend.content('repo')));
    backend.overwrite('repo', new TextEncoder().encode(JSON.stringify({ ...repo, format: 2, id: 17 })));
    await expect(open(backend)).rejects.toMatchObject({ code: 'REPOSITORY_NEWER_FORMAT' });
    for (const text of [
      '',
      'null',
      '[]',
      '{"holdfast":"repository"',
      '{"holdfast":"repository","format":1}',
      '{"holdfast":"manifest","format":1}',
    ]) {
      backend.overwrite('repo', new TextEncoder().encode(text));
      await expect(open(backend)).rejects.toMatchObject({ code: 'REPOSITORY_DAMAGED' });
    }
  });

  it('[S5-09] never makes a key where one is missing', async () => {
    const backend = new MemoryBackend();
    const { recoveryKey } = await createWithPassphrase(backend);
    for (const name of backend.names('keys/')) backend.objects.delete(name);
    const before = backend.names();
    await expect(open(backend, recoveryKey)).rejects.toMatchObject({ code: 'KEY_MISSING' });
    await expect(open(backend, 'correct horse battery')).rejects.toMatchObject({ code: 'KEY_MISSING' });
    expect(backend.names()).toEqual(before);
  });

  it('refuses a repository that says it is not encrypted to whoever brings a key', async () => {
    const { backend } = await makeWorld();
    await expect(open(backend, 'correct horse battery')).rejects.toMatchObject({ code: 'KEY_WRONG' });
  });

  it('opens without a key for what needs none, and for nothing else', async () => {
    const backend = new MemoryBackend();
    const { repository } = await createWithPassphrase(backend);
    await writeBackup(repository, { part: words }, { facts: testFacts() });
    const closed = await openRepository({ backend, host: host(), platform: 'orders', withoutKey: true });
    expect((await closed.readCatalogue()).entries).toHaveLength(1);
    expect(await closed.verifyPieces('db', 'b1', new AbortController().signal, () => undefined)).toEqual([]);
    await expect(closed.openBackup('db', 'b1')).rejects.toMatchObject({ code: 'KEY_MISSING' });
    await expect(closed.openArchive('db', 'x')).rejects.toMatchObject({ code: 'KEY_MISSING' });
    const request = { component: 'db', backupId: 'b2', what: 'base', signal: new AbortController().signal };
    await expect(closed.beginBackup(request)).rejects.toMatchObject({ code: 'KEY_MISSING' });
  });
});

describe('key slots', () => {
  it('[S5-09] rotation adds and revokes slots, and touches no backup', async () => {
    const backend = new MemoryBackend();
    const { repository, recoveryKey } = await createWithPassphrase(backend);
    await writeBackup(repository, { part: words });
    const before = backend.names('backups/').map((name) => [name, Buffer.from(backend.content(name)).toString('hex')]);
    let newRecovery = '';
    await expect(repository.addSlot({ kind: 'recovery' }, async () => 'no')).rejects.toMatchObject({ code: 'KEY_NOT_PROVEN' });
    await repository.addSlot({ kind: 'recovery' }, async (key) => (newRecovery = key));
    await repository.addSlot({ kind: 'passphrase', passphrase: secret('another passphrase') }, typesItBack);
    const old = (await repository.slots()).filter(({ createdAtMs }) => createdAtMs === startMs);
    // Where nobody says how much a guess is to cost, it costs 64 MiB and two passes.
    expect(
      old
        .filter(({ kind }) => kind === 'passphrase')
        .map(({ derivation }) => derivation['N'])
        .sort(),
    ).toEqual([1_024, 65_536]);
    expect(old.map(({ kind }) => kind).sort()).toEqual(['passphrase', 'passphrase', 'recovery', 'recovery']);
    const [firstRecovery] = (await repository.slots()).filter(({ kind }) => kind === 'recovery');
    const opensFirst = async () =>
      await open(backend, recoveryKey).then(
        () => true,
        () => false,
      );
    await repository.revokeSlot(firstRecovery?.slot ?? '');
    const oldKeyOpens = await opensFirst();
    const newKeyOpens = await open(backend, newRecovery).then(
      () => true,
      () => false,
    );
    expect([oldKeyOpens, newKeyOpens].sort()).toEqual([false, true]);
    const left = (await repository.slots()).find(({ kind }) => kind === 'recovery');
    await expect(repository.revokeSlot(left?.slot ?? '')).rejects.toMatchObject({ code: 'KEY_NOT_PROVEN' });
    await expect(open(backend, 'another passphrase')).resolves.toBeDefined();
    expect(backend.names('backups/').map((name) => [name, Buffer.from(backend.content(name)).toString('hex')])).toEqual(before);
  });

  it('[S5-09] a revoked slot stays revoked where the store could not remove it', async () => {
    const backend = new MemoryBackend();
    const { repository } = await createWithPassphrase(backend);
    const slot = (await repository.slots()).find(({ kind }) => kind === 'passphrase');
    const object = `keys/${slot?.slot}`;
    const content = backend.content(object);
    await repository.revokeSlot(slot?.slot ?? '');
    backend.overwrite(object, content);
    await expect(open(backend, 'correct horse battery')).rejects.toMatchObject({ code: 'KEY_WRONG' });
  });

  it('[S5-09] keys, passphrases and the repository key are in no object', async () => {
    const backend = new MemoryBackend();
    const { repository, recoveryKey } = await createWithPassphrase(backend);
    await writeBackup(repository, { part: words });
    const all = Buffer.concat(backend.names().map((name) => backend.content(name))).toString('latin1');
    expect(all).not.toContain('correct horse');
    expect(all).not.toContain(recoveryKey);
    expect(all).not.toContain('content');
    expect(JSON.stringify(repository)).not.toContain('key');
  });
});
