/** The simulated name server accepts and rejects what BIND accepts and rejects: the same updates are sent to both. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { HoldfastError } from '../../src/base/errors.ts';
import { sendUpdate, type UpdateParts } from '../../src/drivers/dns-rfc2136/client.ts';
import { parseServerAddress } from '../../src/drivers/dns-rfc2136/options.ts';
import { recordClasses, recordTypes, type WireRecord } from '../../src/drivers/dns-rfc2136/wire.ts';
import type { Host } from '../../src/host/host.ts';
import { type RunningBind, startBind } from '../systems/bind.ts';
import { describeSystem } from '../systems/requirement.ts';
import { addresses, bindTarget, type DnsTarget, realHost, record, startFakeNameServers } from './dns-route-subjects.ts';

const { A, TXT, ANY, CNAME } = recordTypes;
const nothing = new Uint8Array();
const address = (text: string) => Uint8Array.from(text.split('.').map(Number));
const make = (name: string, type: number, recordClass: number, data: Uint8Array, ttl = 0): WireRecord => ({
  name,
  type,
  class: recordClass,
  ttl,
  data,
});
const { IN, NONE, ANY: ANY_CLASS } = recordClasses;
const add = make(record, A, IN, address('203.0.113.9'), 60);
const east = address(addresses.east);

const updates: readonly (readonly [string, Partial<UpdateParts>])[] = [
  ['an exact value that holds', { prerequisites: [make(record, A, IN, east)], changes: [add] }],
  ['an exact value that does not hold', { prerequisites: [make(record, A, IN, address('9.9.9.9'))], changes: [add] }],
  ['a part of the values', { prerequisites: [make(record, A, IN, east), make(record, A, IN, address('9.9.9.9'))], changes: [add] }],
  ['a prerequisite with a TTL', { prerequisites: [make(record, A, IN, east, 60)], changes: [add] }],
  ['a set that must exist and does not', { prerequisites: [make(record, TXT, ANY_CLASS, nothing)], changes: [add] }],
  ['a set that must not exist and does', { prerequisites: [make(record, A, NONE, nothing)], changes: [add] }],
  ['a set that must not exist and does not', { prerequisites: [make(record, TXT, NONE, nothing)], changes: [add] }],
  ['a name that must exist and does not', { prerequisites: [make(`no.${record}`, ANY, ANY_CLASS, nothing)], changes: [add] }],
  ['a name that must not exist and does', { prerequisites: [make(record, ANY, NONE, nothing)], changes: [add] }],
  ['a prerequisite of existence with data', { prerequisites: [make(record, A, ANY_CLASS, east)], changes: [add] }],
  ['a prerequisite outside the zone', { prerequisites: [make('api.other.test', A, NONE, nothing)], changes: [add] }],
  ['a change outside the zone', { changes: [make('api.other.test', A, IN, east, 60)] }],
  ['removing a set', { changes: [make(record, A, ANY_CLASS, nothing), add] }],
  ['removing a set with data', { changes: [make(record, A, ANY_CLASS, east)] }],
  ['removing a set with a TTL', { changes: [make(record, A, ANY_CLASS, nothing, 60)] }],
  ['an address of three bytes', { changes: [make(record, A, IN, Uint8Array.from([1, 2, 3]), 60)] }],
  ['an address without data', { changes: [make(record, A, IN, nothing, 60)] }],
  ['a CNAME beside an address', { changes: [make(record, CNAME, IN, Uint8Array.from([1, 120, 0]), 60)] }],
  ['another zone', { zone: 'other.test', changes: [add] }],
  ['a part of the zone', { zone: record, changes: [add] }],
];

async function outcome(host: Host, target: DnsTarget, parts: Partial<UpdateParts>): Promise<unknown> {
  const server = parseServerAddress(target.server);
  if (server === undefined) throw new Error(`${target.server} is no address`);
  const key = { name: 'holdfast', algorithm: 'hmac-sha256', secret: target.secret } as const;
  try {
    await sendUpdate(
      host,
      server,
      key,
      { zone: 'example.test', prerequisites: [], changes: [], ...parts },
      { timeoutMs: 5_000, signal: AbortSignal.timeout(5_000) },
    );
    return 'NOERROR';
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    return error.details.rcode ?? error.code;
  }
}

describeSystem('bind', 'updates, simulated and on BIND', () => {
  let bind: RunningBind;
  const reset = () => bind.update(`update delete ${record}`, `update add ${record} 30 A ${addresses.east}`);
  beforeAll(async () => {
    bind = await startBind();
  });
  afterAll(() => bind.stop());

  it.each(updates)('%s', async (_, parts) => {
    await reset();
    const serial = await bind.serial();
    const { fake, host, target } = startFakeNameServers();
    const fakeBefore = fake.serial({ host: '10.0.0.53', port: 53 });
    expect(await outcome(host, target, parts)).toBe(await outcome(realHost, bindTarget(bind), parts));
    expect(fake.serial({ host: '10.0.0.53', port: 53 }) - fakeBefore).toBe((await bind.serial()) - serial);
  });
});
