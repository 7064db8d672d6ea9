/**
 * The worked example of docs/reference/repository-format.md: made by the real code from fixed chance and a fixed clock, taken apart here with nothing but node:crypto and the formulas
 * of the document, and compared with the document line by line. Whoever changes the format has to change the document.
 */
import { createDecipheriv, createHash, createHmac, hkdfSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { expect, it } from 'vitest';
import { createRepository } from '../../src/backups/create-repository.ts';
import { MemoryBackend } from '../fakes/memory-backend.ts';
import { startMs, testFacts, testHost } from '../fakes/repository-world.ts';

const document = resolve(import.meta.dirname, '../../docs/reference/repository-format.md');

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const sha256 = (bytes: Uint8Array | string) => createHash('sha256').update(bytes).digest('hex');
const hmac = (key: Uint8Array, data: Uint8Array | string) => createHmac('sha256', key).update(data).digest('hex');
const hkdf = (key: Uint8Array, info: string, salt = new Uint8Array(0)) => Buffer.from(hkdfSync('sha256', key, salt, info, 32));

function unseal(key: Uint8Array, nonce: string, sealed: Uint8Array, words: string): Buffer {
  const decipher = createDecipheriv('aes-256-gcm', key, Buffer.from(nonce, 'base64'));
  decipher.setAAD(Buffer.from(words));
  decipher.setAuthTag(sealed.subarray(-16));
  return Buffer.concat([decipher.update(sealed.subarray(0, -16)), decipher.final()]);
}

it('the worked example of the format is what the code writes, and can be read with the formulas of the document alone', async () => {
  const state = { nowMs: startMs };
  const backend = new MemoryBackend({ nowMs: () => state.nowMs });
  let recoveryKey = '';
  const repository = await createRepository({
    backend,
    platform: 'orders',
    host: testHost(state, 42),
    encryption: {},
    confirmRecoveryKey: async (key) => {
      recoveryKey = key;
      return key;
    },
  });
  const writing = await repository.beginBackup({ component: 'db', backupId: 'b1', what: 'base', signal: new AbortController().signal });
  const part = writing.sink.openPart('greeting.txt', { compressed: true });
  await part.write(Buffer.from('hello, world'));
  await part.end();
  await writing.commit(testFacts({ identity: 'id-1', dataBytes: 12 }));
  await (await repository.openArchive('db', 'id-1')).push('000000010000000000000001', Buffer.from('a log'));

  const read = (name: string) => Buffer.from(backend.content(name));
  const [slotObject] = backend.names('keys/') as [string];
  const [pieceObject] = backend.names('backups/db/b1/pieces/') as [string];
  const [chapterObject] = backend.names('backups/db/b1/chapters/') as [string];
  const logObject = 'wal/db/id-1/000000010000000000000001';

  const repo = JSON.parse(read('repo').toString());
  const slot = JSON.parse(read(slotObject).toString());
  const alphabet = '0123456789abcdefghjkmnpqrstvwxyz';
  const bits = [...recoveryKey.slice(5).replaceAll('-', '')].map((each) => alphabet.indexOf(each).toString(2).padStart(5, '0')).join('');
  const recoveryBytes = Buffer.from((bits.match(/.{8}/g) as string[]).slice(0, 32).map((byte) => Number.parseInt(byte, 2)));
  const slotKey = hkdf(recoveryBytes, `holdfast/1/slot-key\n${slot.slot}`, Buffer.from(slot.derivation.salt, 'base64'));
  const slotWords = `holdfast/1/slot\n${repo.id}\n${slot.slot}\nrecovery`;
  const repositoryKey = unseal(slotKey, slot.wrapped.nonce, Buffer.from(slot.wrapped.sealed, 'base64'), slotWords);

  const manifest = read('backups/db/b1/manifest').toString();
  const lines = manifest
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  const body = manifest.slice(0, manifest.lastIndexOf('\n', manifest.length - 2) + 1);
  const { key } = lines[0];
  const backupWords = `holdfast/1/backup-key\n${repo.id}\ndb\nb1`;
  const backupKey = unseal(hkdf(repositoryKey, 'holdfast/1/wrap-backup'), key.nonce, Buffer.from(key.sealed, 'base64'), backupWords);
  const macKey = hkdf(repositoryKey, 'holdfast/1/manifest-mac');
  expect(lines.at(-1).end).toEqual({ lines: 4, digest: sha256(body), mac: hmac(macKey, sha256(body)) });
  expect(lines[2].chapter).toBe(sha256(read(chapterObject)));

  const piece = JSON.parse(read(chapterObject).toString());
  expect(pieceObject).toBe(`backups/db/b1/pieces/${sha256(read(pieceObject))}`);
  const pieceWords = `holdfast/1/piece\n${repo.id}\ndb\nb1\ngreeting.txt\n0`;
  const plain = unseal(hkdf(backupKey, 'holdfast/1/pieces'), piece.nonce, read(pieceObject), pieceWords);
  expect(plain.toString()).toBe('hello, world');
  expect(piece.plain).toBe(hmac(hkdf(backupKey, 'holdfast/1/plain-digests'), plain));
  expect(lines[3].digest).toBe(sha256(piece.plain));

  const archiveKey = hkdf(repositoryKey, 'holdfast/1/archive\ndb\nid-1');
  const log = read(logObject);
  const header = JSON.parse(log.subarray(0, log.indexOf(10)).toString());
  const payload = log.subarray(log.indexOf(10) + 1);
  const logWords = `holdfast/1/log\n${repo.id}\ndb\nid-1\n000000010000000000000001`;
  const logPlain = unseal(hkdf(archiveKey, 'holdfast/1/logs'), header.nonce, payload, logWords);
  expect(logPlain.toString()).toBe('a log');
  expect(header).toMatchObject({ stored: sha256(payload), digest: hmac(hkdf(archiveKey, 'holdfast/1/plain-digests'), logPlain) });

  const example = [
    `recovery key        ${recoveryKey}`,
    `its bytes           ${hex(recoveryBytes)}`,
    `slot key            ${hex(slotKey)}`,
    `repository key      ${hex(repositoryKey)}`,
    `MAC key             ${hex(macKey)}`,
    `backup key          ${hex(backupKey)}`,
    `archive key         ${hex(archiveKey)}`,
    '',
    ...['repo', slotObject, chapterObject, 'backups/db/b1/manifest'].flatMap((name) => [`== ${name}`, read(name).toString().trimEnd(), '']),
    `== ${pieceObject}`,
    hex(read(pieceObject)),
    '',
    `== ${logObject}`,
    `${log.subarray(0, log.indexOf(10))}`,
    `${hex(payload)}`,
  ].join('\n');
  const shown = /<!-- example -->\n```\n([\s\S]*?)\n```/.exec(readFileSync(document, 'utf8'))?.[1];
  expect(shown, `the document should show:\n${example}`).toBe(example);
});
