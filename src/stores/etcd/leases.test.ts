import { expect, test } from 'vitest';
import type { Lease } from '../../contracts/state-store.ts';
import type { GuardedCluster } from './guarded-cluster.ts';
import { Keys } from './keys.ts';
import { Leases } from './leases.ts';

interface Script {
  /** The term that the member knew when it passed each keep-alive on. */
  readonly keptInTerms: readonly string[];
  readonly ttlSeconds?: number;
  readonly heldLeaseId?: string;
}

/** A cluster that is in term 7, and whose clock goes on by 100 ms at each look. */
function clusterOf({ keptInTerms, ttlSeconds = 5, heldLeaseId = '77' }: Script) {
  const asked: string[] = [];
  let nowMs = 0;
  const cluster = {
    keys: new Keys('/p/'),
    identity: { tokenBase: 1_000 },
    host: { clock: { monotonicMs: () => (nowMs += 100), sleep: async () => {} } },
    ask: async (name: string) => {
      asked.push(name);
      if (name === 'Lease/LeaseKeepAlive') {
        const turn = asked.filter((each) => each === name).length - 1;
        return { header: { raft_term: keptInTerms[turn] ?? '7' }, TTL: String(ttlSeconds) };
      }
      const kv = {
        key: Buffer.from('/p/held/l'),
        value: Buffer.from('one'),
        create_revision: '42',
        mod_revision: '42',
        lease: heldLeaseId,
      };
      return { header: { raft_term: '7' }, kvs: [kv] };
    },
  };
  return { leases: new Leases(cluster as unknown as GuardedCluster), asked, nowMs: () => nowMs };
}

const lease: Lease = { name: 'l', holder: 'one', token: 1_042, ttlMs: 5_000, validUntilMonotonicMs: 0 };

test('a keep-alive that the majority confirms counts from before it was sent', async () => {
  const { leases, nowMs } = clusterOf({ keptInTerms: ['7'] });
  expect((await leases.renew(lease)).validUntilMonotonicMs).toBe(nowMs() + 5_000);
});

test('one that a deposed leader may have answered does not count: it is sent again, and counts from then', async () => {
  const { leases, asked } = clusterOf({ keptInTerms: ['6', '6', '7'] });
  expect((await leases.renew(lease)).validUntilMonotonicMs).toBe(300 + 5_000);
  expect(asked.filter((name) => name === 'Lease/LeaseKeepAlive')).toHaveLength(3);
});

test('with leaders that change all the time nothing is promised', async () => {
  const { leases } = clusterOf({ keptInTerms: ['3', '4', '5', '6'] });
  await expect(leases.renew(lease)).rejects.toMatchObject({ code: 'STATE_UNREACHABLE' });
});

test('a lease that its leader no longer knows is lost, though its key is still to be seen', async () => {
  const { leases } = clusterOf({ keptInTerms: [], ttlSeconds: 0 });
  await expect(leases.renew(lease)).rejects.toMatchObject({ code: 'STATE_LEASE_LOST' });
});

test('another token, or another holder, is lost at once', async () => {
  const { leases } = clusterOf({ keptInTerms: [] });
  await expect(leases.renew({ ...lease, token: 1_041 })).rejects.toMatchObject({ code: 'STATE_LEASE_LOST' });
  await expect(leases.renew({ ...lease, holder: 'two' })).rejects.toMatchObject({ code: 'STATE_LEASE_LOST', details: { holder: 'one' } });
});
