/** A spec that can't be acted on is refused by the real program before it touches anything: exit 2, each fault with file, line and column, what stands there, and a hint. */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { removeDirectory, temporaryDirectory } from '../systems/temporary-directory.ts';
import { runHoldfast } from './holdfast-program.ts';

const sound = `holdfast: v1
name: orders
regions:
  us-east-1: { role: active }
  us-west-2: { role: standby }
components:
  orders-db:
    driver: postgresql
    vital: true
    replication: synchronous
    sites:
      us-east-1:
        url: "postgresql://holdfast@127.0.0.1:9/orders"
        password: { env: ORDERS_DB_PASSWORD }
      us-west-2:
        url: "postgresql://holdfast@127.0.0.1:9/orders"
        password: { env: ORDERS_DB_PASSWORD }
  orders:
    driver: http-service
    needs: [orders-db]
    sites:
      us-east-1: { url: "http://127.0.0.1:9" }
      us-west-2: { url: "http://127.0.0.1:9" }
`;

interface Case {
  readonly name: string;
  readonly text: string;
  readonly at: string;
  readonly says: RegExp;
  readonly hint: RegExp;
  readonly unset?: boolean;
}

const cases: readonly Case[] = [
  {
    name: 'malformed YAML',
    text: sound.replace('needs: [orders-db]', 'needs: [orders-db'),
    at: '21:5',
    says: /not well-formed YAML.*\]/,
    hint: /\S/,
  },
  {
    name: 'needs in a circle',
    text: sound.replace('    vital: true\n', '    vital: true\n    needs: [orders]\n'),
    at: '10:13',
    says: /orders-db -> orders -> orders-db/,
    hint: /Take one of these needs away/,
  },
  {
    name: 'an unknown driver',
    text: sound.replace('driver: postgresql', 'driver: postgresl'),
    at: '8:13',
    says: /no driver "postgresl"/,
    hint: /Did you mean "postgresql"/,
  },
  {
    name: 'a secret that is not set',
    text: sound,
    unset: true,
    at: '14:26',
    says: /ORDERS_DB_PASSWORD is not set/,
    hint: /Set the environment variable/,
  },
  {
    name: 'two active regions',
    text: sound.replace('role: standby', 'role: active'),
    at: '5:22',
    says: /us-west-2 is a second active region/,
    hint: /One region is active at a time/,
  },
  {
    name: 'a component with no site in the target',
    text: sound.replace('      us-west-2: { url: "http://127.0.0.1:9" }\n', ''),
    at: '21:5',
    says: /component orders has no site in us-west-2/,
    hint: /Add us-west-2 below sites of orders/,
  },
];

describe('a spec that can not be acted on', () => {
  let directory: string;
  beforeAll(async () => {
    directory = await temporaryDirectory('bad-input');
  });
  afterAll(() => removeDirectory(directory));

  it.each(cases)('$name: exit 2, with file, line, column and a hint', async ({ name, text, at, says, hint, unset }) => {
    const place = join(directory, name.replaceAll(' ', '-'));
    await mkdir(place);
    const specFile = join(place, 'holdfast.yaml');
    await writeFile(specFile, text);
    const where = { specFile, stateDirectory: join(place, 'state'), env: unset ? {} : { ORDERS_DB_PASSWORD: 'not-to-be-seen' } };
    const plain = await runHoldfast(where, ['validate'], { plain: true });
    expect(plain.exitCode).toBe(2);
    expect(plain.err).toContain(`${specFile}:${at}`);
    expect(plain.err).toMatch(says);
    expect(plain.err).toMatch(/^ +hint: \S/m);
    expect(plain.err).toMatch(hint);
    // The line itself, with a mark below the column.
    const [line, column] = at.split(':').map(Number) as [number, number];
    expect(plain.err).toContain(text.split('\n')[line - 1]?.trimEnd());
    expect(plain.err).toMatch(new RegExp(`\\| {${column}}\\^$`, 'm'));

    for (const args of [['serve'], ['failover', '--yes']]) {
      const { exitCode, json } = await runHoldfast(where, args);
      expect(exitCode, args.join(' ')).toBe(2);
      expect(json.error.details.faults).toContainEqual(
        expect.objectContaining({ file: specFile, line, column, message: expect.stringMatching(says), hint: expect.stringMatching(hint) }),
      );
    }
    expect(plain.err).not.toContain('not-to-be-seen');
    // Nothing was begun: there is not even a state.
    expect(await readdir(place)).toEqual(['holdfast.yaml']);
    expect(await readFile(specFile, 'utf8')).toBe(text);
  });

  it('a missing file, an unknown command and an unknown option are bad usage: exit 2', async () => {
    const where = { specFile: join(directory, 'nowhere.yaml'), stateDirectory: join(directory, 'state'), env: {} };
    for (const args of [['check'], ['fialover'], ['status', '--wach'], ['failover', '--accept-loss', 'lots']]) {
      const { exitCode, err } = await runHoldfast(where, args, { plain: true });
      expect(exitCode, args.join(' ')).toBe(2);
      expect(err.trim()).not.toBe('');
      expect(err).not.toMatch(/\n\s+at /);
    }
  });
});
