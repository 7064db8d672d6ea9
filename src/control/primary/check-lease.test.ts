import { expect, it } from 'vitest';
import { fakeClock } from '../../../test/fakes/host.ts';
import { memoryState } from '../../../test/fakes/memory-store.ts';
import type { ComponentSpec, Spec } from '../../spec/spec.ts';
import { ensurePlatformState } from '../../state/platform-state.ts';
import { checkLease } from './check-lease.ts';
import { readLeaseProof } from './lease-proof.ts';
import { type GuardRecord, guardRecordChange, primaryKeys } from './primary-records.ts';

const store = (name: string, replication: ComponentSpec['replication']) =>
  [
    name,
    {
      name,
      kind: 'data',
      replication,
      sites: new Map([
        ['east', {}],
        ['west', {}],
      ]),
    },
  ] as unknown as [string, ComponentSpec];
const spec = {
  state: {},
  controllers: { withoutState: 'fence' },
  components: new Map([store('orders', 'asynchronous'), store('ledger', 'asynchronous'), store('users', 'synchronous')]),
} as unknown as Spec;

it('check names what no lease would prove fenced, and a region that a bar keeps from serving', async () => {
  const state = memoryState(fakeClock(0)).open();
  await ensurePlatformState(state, 'shop', 'east');
  expect(await checkLease(spec, state)).toEqual([]);
  const lease = await state.acquireLease(primaryKeys.lease('east'), 'keeper', 5_000);
  const record: GuardRecord = {
    token: lease.token,
    activeEpoch: 0,
    components: ['orders'],
    uncovered: { ledger: 'its hands are not on the machine of its controller' },
    ttlMs: 5_000,
    marginMs: 1_000,
    triedMs: 1,
    atMs: 0,
  };
  await state.commit([guardRecordChange('east', record, lease, undefined)]);
  expect(await checkLease(spec, state)).toMatchObject([{ component: 'ledger', region: 'east', severity: 'warning' }]);
  expect((await checkLease(spec, state))[0]?.message).toContain('(its hands are not on the machine of its controller)');
  // Its lease proves nothing either, bar or not.
  const proof = () => readLeaseProof(state, { region: 'east', component: 'ledger', epoch: 2 }, () => 0);
  expect(await proof()).toMatchObject({ mayCome: false });
  const wait = { token: lease.token, why: 'west can not be asked' };
  await state.commit([{ kind: 'put', key: primaryKeys.waiting('east'), value: wait, expected: 'absent' }]);
  expect((await checkLease(spec, state))[0]).toMatchObject({
    severity: 'problem',
    message: expect.stringContaining('west can not be asked'),
  });
  await state.commit([
    { kind: 'put', key: primaryKeys.bar('east'), value: { epoch: 2, execution: 'failover-1', atMs: 0 }, expected: 'absent' },
  ]);
  expect((await checkLease(spec, state)).map(({ component, severity }) => `${component} ${severity}`)).toEqual([
    'orders problem',
    'ledger problem',
    'users problem',
  ]);
  expect(await proof()).toEqual({ why: 'the guard of east does not cover ledger', mayCome: false });
});
