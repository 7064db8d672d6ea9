/** A state in three members of etcd, of which one is killed, one hangs, and the majority is lost. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import type { StateStore } from '../../src/contracts/state-store.ts';
import { makeMembers, type RunningEtcd, startEtcd } from '../systems/etcd.ts';
import { describeSystem } from '../systems/requirement.ts';
import { EtcdStoreWorld, failureOf, host, put, short, until } from './etcd-store-world.ts';

describeSystem('etcd', 'a state in three members of etcd', () => {
  const world = new EtcdStoreWorld();
  let servers: readonly RunningEtcd[] = [];
  const timeoutMs = 1_500;
  const urls = (first = 0) => [...servers.slice(first), ...servers.slice(0, first)].map(({ url }) => url);

  beforeAll(async () => {
    const members = await makeMembers(3);
    servers = await Promise.all(members.map(({ name }) => startEtcd({ members, name })));
  });
  afterAll(() => Promise.all(servers.map((server) => server.stop())));
  beforeEach(async () => {
    await world.begin();
    for (const server of servers) {
      server.resume();
      if (server.pids().length === 0) await server.start();
    }
    // Whatever the test before did is over once a write goes through every member.
    for (const server of servers) await expect.poll(() => server.ctl('put', '/ready', '1').catch(String), { timeout: 30_000 }).toBe('OK');
  });
  afterEach(async () => {
    for (const server of servers) server.resume();
    await world.closeAll();
  });

  const leader = async (): Promise<number> => {
    const states = await Promise.all(servers.map((server) => server.ctl('endpoint', 'status', '-w', 'json').catch(() => '')));
    const leads = (text: string) => {
      const status = JSON.parse(text)[0].Status as { header: { member_id: number }; leader: number };
      return status.header.member_id === status.leader;
    };
    return states.findIndex((text) => text !== '' && leads(text));
  };

  /** Commits numbers one after another until told to stop; resolves to those that were acknowledged. */
  const writeOn = (store: StateStore) => {
    let over = false;
    const acknowledged: number[] = [];
    const done = (async () => {
      for (let number = 1; !over; number += 1) {
        const outcome = await store.commit([put('w/n', number)]).catch((error: { kind: string }) => error.kind);
        if (typeof outcome === 'number') acknowledged.push(number);
        else expect(['transient', 'unknown-outcome']).toContain(outcome);
        await host.clock.sleep(5);
      }
    })();
    return {
      acknowledged,
      stop: async () => {
        over = true;
        await done;
      },
    };
  };

  it.each([
    ['is killed', (server: RunningEtcd) => server.kill()],
    ['hangs', async (server: RunningEtcd) => server.pause()],
  ])('a leader that %s: writes, watches and leases go on at the others; nothing acknowledged is missed', async (_, strike) => {
    const struck = await leader();
    const store = await world.open(urls(struck), { timeoutMs });
    const told: number[] = [];
    const errors: Error[] = [];
    store.watch('w/', (event) => told.push(Number(event.value)), { onError: (error) => errors.push(error) });
    const lease = await store.acquireLease('l', 'one', 20_000);
    const writing = writeOn(store);
    await until(() => writing.acknowledged.length > 5);
    await strike(servers[struck] as RunningEtcd);
    const before = writing.acknowledged.length;
    await until(() => writing.acknowledged.length > before + 10, 20_000);
    await expect.poll(async () => (await store.renewLease(lease)).token, { timeout: 10_000 }).toBe(lease.token);
    await writing.stop();
    await until(() => writing.acknowledged.every((number) => told.includes(number)));
    expect(told).toEqual([...new Set(told)].toSorted((left, right) => left - right));
    expect(errors).toEqual([]);
    // The token grows over the change of leader, too.
    await store.releaseLease(lease);
    expect((await store.acquireLease('l', 'two', 5_000)).token).toBeGreaterThan(lease.token);
    const { members } = await store.readReport();
    expect(members.filter(({ fault }) => fault !== undefined)).toHaveLength(1);
    expect(members.filter(({ leads }) => leads)).toHaveLength(1);
  });

  it('with the majority gone nothing is answered, least of all old data; all goes on when it is back', async () => {
    const store = await world.open(urls(), { timeoutMs });
    const other = await world.open(urls(1), { timeoutMs, directory: `${world.directory}/other` });
    await store.commit([put('a', 'seen')]);
    const told: string[] = [];
    other.watch('a', (event) => told.push(short(event)));
    const lease = await store.acquireLease('l', 'one', 30_000);
    for (const server of servers.slice(1)) server.pause();
    const startedMs = host.clock.monotonicMs();
    for (const attempt of [() => store.get('a'), () => store.range(''), () => store.readLease('l'), () => store.renewLease(lease)]) {
      const error = await failureOf(attempt());
      expect(error.code, error.message).toBe('STATE_UNREACHABLE');
      expect(error.kind).toBe('transient');
    }
    expect(host.clock.monotonicMs() - startedMs).toBeLessThan(4 * (timeoutMs + 500));
    expect(['STATE_UNREACHABLE', 'SYSTEM_OUTCOME_UNKNOWN']).toContain((await failureOf(store.commit([put('b', 1)]))).code);
    for (const server of servers) server.resume();
    await expect.poll(() => store.commit([put('a', 'again')]).then(String, String), { timeout: 20_000 }).toMatch(/^\d+$/);
    await until(() => told.at(-1) === 'a="again"');
    expect((await store.renewLease(lease)).token).toBe(lease.token);
  });

  it('a member that is cut off from the others answers with an error, not with what it knows', async () => {
    const cutOff = ((await leader()) + 1) % 3;
    const store = await world.open(urls(), { timeoutMs });
    await store.commit([put('a', 'old')]);
    const lonely = await world.open([(servers[cutOff] as RunningEtcd).url], { timeoutMs, directory: `${world.directory}/lonely` });
    expect((await lonely.get('a'))?.value).toBe('old');
    for (const [index, server] of servers.entries()) if (index !== cutOff) server.pause();
    await expect
      .poll(
        () =>
          lonely.get('a').then(
            () => 'answered',
            (error) => error.code,
          ),
        { timeout: 10_000 },
      )
      .toBe('STATE_UNREACHABLE');
    // At once, once the member knows that nobody leads.
    await expect.poll(async () => (await failureOf(lonely.get('a'))).message, { timeout: 15_000 }).toMatch(/no leader/);
  });
});
