import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { driverCatalog, repositoryCatalog } from '../../src/registry.generated.ts';
import { faultsOf, loadSpec } from '../../src/spec/load-spec.ts';
import { fakeHost } from '../fakes/host.ts';

const file = join(fileURLToPath(new URL('../../', import.meta.url)), 'examples/backups/holdfast.yaml');

async function loadExample(text: string) {
  const host = fakeHost({ files: { 'holdfast.yaml': text } });
  return loadSpec(['holdfast.yaml'], { catalog: driverCatalog, repositories: repositoryCatalog, host, resolveSecrets: false });
}

it('[S3-38] the example of backups loads, with nothing in it that contradicts itself but what its comment names', async () => {
  const spec = await loadExample(await readFile(file, 'utf8'));
  const kinds = [...spec.components.values()].map(({ driver, backup }) => [driver, (backup ?? []).map(({ what }) => what)]);
  expect(kinds).toEqual([
    ['postgresql', ['base', 'increment', 'wal']],
    ['redis', ['snapshot']],
    ['files', ['files']],
    ['etcd', ['snapshot']],
  ]);
  expect(spec.notices.map(({ message }) => message)).toEqual([
    expect.stringMatching(/^wal of orders-db is kept for 7 d, and base/),
    expect.stringMatching(/^wal of orders-db is kept for 7 d, and increment/),
  ]);
});

it.each([
  ['an increment without a base', '- what: base\n', '- what: dump\n'],
  ['a kind that the driver does not have', 'what: snapshot', 'what: dump'],
  ['a repository that is not there', 'to: nearby', 'to: elsewhere'],
  ['a directory that is no absolute path', 'path: /srv/vectors', 'path: srv/vectors'],
  ['a password over plain HTTP', 'https://10.0.1.11:2379', 'http://10.0.1.11:2379'],
])('%s is a fault', async (_name, sound, wrong) => {
  const text = await readFile(file, 'utf8');
  expect(text).toContain(sound);
  const error = await loadExample(text.replace(sound, wrong)).catch((thrown: unknown) => thrown);
  expect(faultsOf(error)).toHaveLength(1);
});
