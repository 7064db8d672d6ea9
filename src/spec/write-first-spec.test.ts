import { expect, test } from 'vitest';
import { fakeCatalog } from '../../test/fakes/driver-catalog.ts';
import { fakeHost } from '../../test/fakes/host.ts';
import type { AnyDriver } from '../contracts/driver.ts';
import { loadSpec } from './load-spec.ts';
import { componentQuestions, firstSpecFromFlags, questions, writeFirstSpec } from './write-first-spec.ts';

const load = (text: string) =>
  loadSpec(['a.yaml'], { catalog: fakeCatalog, host: fakeHost({ env: { DB_PASSWORD: 'x' }, files: { 'a.yaml': text } }) });

const flags = {
  name: 'orders',
  active: 'us-east-1',
  standby: 'us-west-2',
  witness: 'eu-west-1',
  component: ['orders-db=memory-store', 'api=fake-workload'],
  set: [
    'orders-db.us-east-1.url=store://10.0.1.5/orders',
    'orders-db.us-west-2.url=store://10.1.1.5/orders',
    'orders-db.us-west-2.password=DB_PASSWORD',
    'api.replicas={ full: 3 }',
    'api.start=[run, "the api: now"]',
    'api.us-east-1.port=8080',
  ],
};

test('the text that flags give loads without faults and says what was asked', async () => {
  const text = writeFirstSpec(firstSpecFromFlags(flags, fakeCatalog));
  const spec = await load(text);
  expect([...spec.regions.values()]).toEqual([
    { name: 'us-east-1', role: 'active' },
    { name: 'us-west-2', role: 'standby' },
    { name: 'eu-west-1', role: 'witness' },
  ]);
  expect(spec.components.get('api')).toMatchObject({ options: { replicas: { full: 3, standby: 0 }, start: ['run', 'the api: now'] } });
  expect(spec.components.get('api')?.sites.get('us-east-1')?.options).toEqual({ port: 8_080 });
  expect(spec.objectives).toEqual({ rtoMs: 300_000, rpoMs: 60_000 });
  expect(spec.failover.automatic).toBe(false);
  expect(spec.notices).toEqual([]);
  expect(text.split('\n').filter((line) => line.includes('#')).length).toBeGreaterThan(8);
});

test('texts that YAML would take for something else stay texts', async () => {
  const text = writeFirstSpec({
    name: 'orders',
    regions: [
      { name: 'a', role: 'active' },
      { name: 'b', role: 'standby' },
    ],
    components: [
      {
        name: 'db',
        driver: 'memory-store',
        options: { database: '1.10' },
        replication: 'synchronous',
        sites: { a: { url: 'store://a # b' }, b: { url: 'store://"b": {c}' } },
      },
      { name: 'probe', driver: 'fake-check', needs: ['db'], sites: {} },
    ],
    automatic: true,
  });
  const spec = await load(text);
  expect(spec.components.get('db')).toMatchObject({ options: { database: '1.10' }, replication: 'synchronous' });
  expect(spec.components.get('db')?.sites.get('b')?.options).toEqual({ url: 'store://"b": {c}' });
  expect(spec.failover.automatic).toBe(true);
});

test.each([
  [{ name: 'Orders' }, /--name: "Orders" is not a name/],
  [{ rto: '5' }, /--rto: "5" is not a duration/],
  [{ witness: 'us-east-1' }, /two regions have the same name/],
  [{ component: [] }, /at least one component/],
  [{ component: ['db'] }, /--component db: a name and a driver are missing/],
  [{ component: ['db=memory-stor'] }, /there is no driver "memory-stor"/],
  [{ set: [] }, /not given: orders-db.us-east-1.url, orders-db.us-west-2.url, api.replicas, api.start/],
  [{ set: [...flags.set, 'nope.url=x'] }, /--set nope.url: no component/],
  [{ set: [...flags.set, 'orders-db.eu-west-1.url=x'] }, /no region "eu-west-1" for it/],
  [{ set: [...flags.set, 'orders-db.urll=x'] }, /has no key "urll"/],
  [{ set: [...flags.set, 'orders-db.us-east-1.url=http://x'] }, /the address must begin with store/],
  [{ set: [...flags.set, 'orders-db.us-east-1.password=not a name'] }, /Name an environment variable/],
])('flags %j are refused', (change, message) => {
  expect(() => firstSpecFromFlags({ ...flags, ...change }, fakeCatalog)).toThrow(
    expect.objectContaining({ code: 'USAGE', message: expect.stringMatching(message) }),
  );
});

test('every question takes its own default, and refuses nonsense', () => {
  for (const question of questions) {
    expect(question.validate(question.default ?? ''), question.id).toBeUndefined();
    expect(question.validate('no such Thing!'), question.id).toBeTypeOf('string');
  }
});

test('a driver is asked about by what it demands', () => {
  const asked = componentQuestions('orders-db', fakeCatalog.get('memory-store') as AnyDriver, ['us-east-1', 'us-west-2']);
  expect(asked.map(({ id }) => id)).toEqual(['orders-db.us-east-1.url', 'orders-db.us-west-2.url']);
  expect(asked[0]?.prompt).toBe('url of orders-db in us-east-1: Address of the store (such as store://10.0.1.5/orders)');
  expect(asked[0]?.validate('http://x')).toBe('the address must begin with store://');
  expect(asked[0]?.validate('store://x')).toBeUndefined();
});
