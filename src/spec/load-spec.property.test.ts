import fc from 'fast-check';
import { expect, test } from 'vitest';
import { fakeCatalog, fakeRepositories } from '../../test/fakes/driver-catalog.ts';
import { fakeHost } from '../../test/fakes/host.ts';
import { HoldfastError } from '../base/errors.ts';
import { findCycles } from './cross-references.ts';
import { faultsOf, formatFaults, loadSpec } from './load-spec.ts';

const good = `holdfast: v1
name: orders
objectives: { rto: 5m, rpo: 0s, availability: 99.9% }
regions:
  us-east-1: { role: active }
  us-west-2: { role: standby }
watch: { every: 250ms, failures: 2 }
failover: { automatic: true, grace: 10s, ready-share: 80% }
failback: { canary: [10%, 100%], abort-when: { error-rate: "> 1%" } }
components:
  orders-db: &db
    driver: memory-store
    replication: synchronous
    sites:
      us-east-1: { url: "store://east", password: { env: DB_PASSWORD }, hands: { ssh: { host: a } } }
      us-west-2: { url: "store://west", tls: { ca: /ca.pem, key: { env: DB_PASSWORD } }, hands: local }
    backup:
      - { what: base, every: "0 * * * *", keep: { proven: 7 }, prove: { every: weekly, level: P4 }, to: main }
  api:
    driver: fake-workload
    needs: [orders-db]
    replicas: { full: 2 }
    start: [run, api]
    ready: { by: share, share: 50% }
    sites: { us-east-1: {}, us-west-2: { port: 80 } }
  name: { driver: fake-route, needs: [api], record: api.example.com }
repositories: { main: { driver: filesystem, path: /r } }
drills: [{ kind: failover, every: quarterly, window: "Sat 02:00-06:00 UTC" }]
tell: { on-call: { channel: pagerduty, key: { env: PD } } }
`;

const secretText = 'correct horse battery staple';

/** The faults of a text; throws when the loader ends in any other way than it may. */
async function faultsOfText(text: string) {
  const host = fakeHost({ env: { DB_PASSWORD: secretText }, files: { 'a.yaml': text } });
  try {
    await loadSpec(['a.yaml'], { catalog: fakeCatalog, repositories: fakeRepositories, host });
    return [];
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.code !== 'SPEC_INVALID') throw error;
    const faults = faultsOf(error);
    const lines = text.split('\n');
    expect(faults.length).toBeGreaterThan(0);
    for (const fault of faults) {
      expect(fault.line).toBeGreaterThanOrEqual(1);
      expect(fault.line).toBeLessThanOrEqual(lines.length);
      expect(fault.column).toBeGreaterThanOrEqual(1);
      expect(fault.column).toBeLessThanOrEqual((lines[fault.line - 1] as string).length + 1);
      expect(fault.message).not.toBe('');
      expect(fault.hint).not.toBe('');
    }
    expect(`${JSON.stringify(faults)}${formatFaults(faults, new Map([['a.yaml', text]]))}${error.message}`).not.toContain(secretText);
    return faults;
  }
}

const tokens = [
  '{',
  '}',
  '[',
  ']',
  ':',
  ': ',
  '- ',
  '\n',
  '  ',
  '\t',
  '"',
  "'",
  '#',
  '&a ',
  '*a',
  '*db',
  '<<: *db',
  '!!x ',
  '---\n',
  '|',
  '>',
  '~',
  '0',
  '-1',
  '1e999',
  '.nan',
  'true',
  '%',
  '__proto__: 1',
  'constructor',
  '\u0000',
  '🦆',
  '{ env: }',
  '{ env: X }',
  ', ',
];

const edit = fc.record({
  at: fc.nat(),
  remove: fc.nat({ max: 12 }),
  insert: fc.oneof(fc.constantFrom(...tokens), fc.string({ maxLength: 6 }), fc.constant('')),
});

const mutant = fc.array(edit, { minLength: 1, maxLength: 6 }).map((edits) =>
  edits.reduce((text, { at, remove, insert }) => {
    const start = at % (text.length + 1);
    return text.slice(0, start) + insert + text.slice(start + remove);
  }, good),
);

/** Mutations that leave the YAML sound: whole lines swapped, doubled or taken away, and values replaced by values of another kind. */
const shuffled = fc
  .array(
    fc.record({ from: fc.nat(), to: fc.nat(), how: fc.constantFrom('swap', 'double', 'drop', 'value'), value: fc.json({ maxDepth: 2 }) }),
    { minLength: 1, maxLength: 4 },
  )
  .map((edits) => {
    const lines = good.split('\n');
    for (const { from, to, how, value } of edits) {
      const [left, right] = [from % lines.length, to % lines.length];
      const [first, second] = [lines[left] as string, lines[right] as string];
      if (how === 'swap') [lines[left], lines[right]] = [second, first];
      else if (how === 'double') lines.splice(left, 0, first);
      else if (how === 'drop' && lines.length > 1) lines.splice(left, 1);
      else lines[left] = first.replace(/: (.+)$/, `: ${value}`);
    }
    return lines.join('\n');
  });

test('the spec that is mutated has no faults', async () => {
  expect(await faultsOfText(good)).toEqual([]);
});

test('whatever is done to the text of a spec ends in faults with places, and nothing worse', async () => {
  await fc.assert(
    fc.asyncProperty(mutant, async (text) => void (await faultsOfText(text))),
    { numRuns: 150 },
  );
}, 60_000);

test('whatever is done to the content of a spec ends in faults with places, and nothing worse', async () => {
  await fc.assert(
    fc.asyncProperty(shuffled, async (text) => void (await faultsOfText(text))),
    { numRuns: 150 },
  );
}, 60_000);

test('cycles are found exactly where there are some', () => {
  const graph = fc
    .integer({ min: 1, max: 8 })
    .chain((size) => fc.array(fc.uniqueArray(fc.nat({ max: size - 1 }), { maxLength: 3 }), { minLength: size, maxLength: size }));
  fc.assert(
    fc.property(graph, (edges) => {
      const needs = new Map(edges.map((targets, index) => [`c${index}`, targets.map((target) => `c${target}`)]));
      const cycles = findCycles(needs);
      for (const cycle of cycles)
        for (const [index, name] of cycle.entries()) expect(needs.get(name)).toContain(cycle[(index + 1) % cycle.length]);
      const reach = (from: string, seen = new Set<string>()): Set<string> => {
        for (const need of needs.get(from) ?? []) if (!seen.has(need)) reach(need, seen.add(need));
        return seen;
      };
      expect(cycles.length > 0).toBe([...needs.keys()].some((name) => reach(name).has(name)));
    }),
  );
});
