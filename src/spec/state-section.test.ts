import { describe, expect, test } from 'vitest';
import { env, expectFaults, good, load, noticesIn } from '../../test/spec/expect-faults.ts';
import { Secret } from '../base/secret.ts';

const etcd = 'state: { etcd: { endpoints: ["https://10.0.1.5:2379"] } }\n';

test('without the sections the state is embedded, and controllers have their defaults', async () => {
  const spec = await load({ 'orders.yaml': good });
  expect(spec.state).toBeUndefined();
  expect(spec.controllers).toEqual({
    ttlMs: 5_000,
    renewEveryMs: 1_000,
    regions: ['us-east-1', 'us-west-2', 'eu-west-1'],
    withoutState: 'fence',
    afterFence: 'return',
    keepExecutions: 500,
  });
});

test('all that may be said of etcd and of controllers is read', async () => {
  const text = `${good}state:
  etcd:
    endpoints: ["https://10.0.1.5:2379", "https://[fd00::5]:2379"]
    ca: /etc/holdfast/ca.pem
    certificate: /etc/holdfast/own.pem
    key: /etc/holdfast/own-key.pem
    user: holdfast
    password: { env: DB_PASSWORD }
    prefix: /dr/orders
    timeout: 2s
controllers: { ttl: 3s, renew-every: 1s, regions: [us-east-1, eu-west-1], keep-executions: 50 }
`;
  const spec = await load({ 'orders.yaml': text });
  expect(spec.state?.etcd).toMatchObject({
    endpoints: ['https://10.0.1.5:2379', 'https://[fd00::5]:2379'],
    caFile: '/etc/holdfast/ca.pem',
    certificateFile: '/etc/holdfast/own.pem',
    keyFile: '/etc/holdfast/own-key.pem',
    user: 'holdfast',
    prefix: '/dr/orders/',
    timeoutMs: 2_000,
  });
  expect(spec.state?.etcd.password).toBeInstanceOf(Secret);
  expect(spec.state?.etcd.password?.reveal()).toBe(env.DB_PASSWORD);
  expect(spec.controllers).toMatchObject({ ttlMs: 3_000, renewEveryMs: 1_000, regions: ['us-east-1', 'eu-west-1'], keepExecutions: 50 });
});

test('the prefix is that of the platform where none is given', async () => {
  expect((await load({ 'orders.yaml': good + etcd })).state?.etcd.prefix).toBe('/holdfast/orders/');
});

test('controllers that share nothing are noticed', async () => {
  const text = `${good}controllers: { ttl: 10s }\n`;
  expect(await noticesIn(text)).toContainEqual(
    expect.objectContaining({ path: 'controllers', message: 'the state is embedded: there is one controller, and nothing shares it' }),
  );
  expect(await noticesIn(text + etcd)).toEqual([]);
});

describe('faults', () => {
  const cases: readonly (readonly [string, string | RegExp, string | RegExp])[] = [
    ['state: { etcd: { endpoints: ["https://a:1"], ▲usr: u } }', /unknown key "usr"/, 'Did you mean "user"?'],
    ['state: { etcd: { endpoints: ▲[] } }', '"endpoints" may not be empty', /./],
    ['state: { etcd: { endpoints: [▲"10.0.1.5:2379"] } }', 'this is not an address of etcd', /https:\/\/10.0.1.5:2379/],
    ['state: { etcd: { endpoints: [▲"https://a:b@10.0.1.5:2379"] } }', /holds no user and no password/, /"user" and "password"/],
    ['state: { etcd: { endpoints: ["https://a:1", ▲"http://b:1"] } }', /this one not/, /https: for all/],
    ['state: { etcd: { endpoints: ["http://a:1", ▲"http://a:1"] } }', 'this member is named twice', /Take one/],
    ['state: { etcd: { endpoints: [▲"http://a:1"], ca: /c.pem } }', /does without TLS/, /https:/],
    ['state: { etcd: { endpoints: ["https://a:1"], ca: ▲c.pem } }', /not an absolute path/, /./],
    ['state: { etcd: { endpoints: ["https://a:1"], key: ▲/k.pem } }', '"key" without "certificate" is of no use', /Add certificate:/],
    ['state: { etcd: { endpoints: ["https://a:1"], user: ▲u } }', '"user" without "password" is of no use', /Add password:/],
    ['state: { etcd: { endpoints: ["https://a:1"], user: u, password: { env: ▲NOT_SET } } }', /NOT_SET/, /./],
    ['state: { etcd: { endpoints: ["https://a:1"], timeout: ▲1ms } }', '1 ms is too short', /200 ms/],
    ['controllers: { ttl: ▲2s }', /is too short for a renewal every/, /^Write at least 3.* or renew more often.$/],
    ['controllers: { regions: [▲us-east-2] }', /no such region/, 'Did you mean "us-east-1"?'],
    ['controllers: { regions: [us-east-1, ▲us-east-1] }', 'us-east-1 has a controller twice', /one controller/],
    ['controllers: { without-state: ▲keep-serving }', /orders-db replicates asynchronously/, /without-state: fence/],
  ];
  test.each(cases)('%s', (line, message, hint) => expectFaults(`${good}${line}\n`, { message, hint }));
});
