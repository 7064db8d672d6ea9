import { afterEach, expect, it } from 'vitest';
import { ToyPlatform } from '../../../test/fakes/toy-control.ts';
import { toyFleetText } from '../../../test/fakes/toy-platform.ts';
import type { Change, StateStore } from '../../contracts/state-store.ts';
import { readSiteRecords } from '../../watch/watch-records.ts';

let platform: ToyPlatform;
afterEach(() => platform.close());

it('with a thousand sites a state that is shared is written less than five times a second', async () => {
  const count = 500;
  const more = Array.from(
    { length: count - 3 },
    (_, index) => `  svc-${index}: { driver: toy-workload, vital: false, needs: [db], sites: { east: {}, west: {} } }\n`,
  ).join('');
  const text = toyFleetText('{ automatic: true, grace: 2s }').replace('watch: {', `${more}watch: {`).replace('every: 500ms', 'every: 1s');
  platform = new ToyPlatform(text);
  const commits: (readonly Change[])[] = [];
  const counted = (store: StateStore): StateStore => ({
    get: store.get,
    range: store.range,
    commit: (changes) => {
      commits.push(changes);
      return store.commit(changes);
    },
    watch: store.watch,
    acquireLease: store.acquireLease,
    renewLease: store.renewLease,
    releaseLease: store.releaseLease,
    readLease: store.readLease,
    close: store.close,
  });
  const { control } = await platform.serve({ region: 'north', wrap: counted });
  await platform.host.clock.advance(5_000);
  expect(control.sites.size).toBe(2 * count);
  expect(await readSiteRecords(platform.state.open())).toHaveProperty('size', 2 * count);
  commits.length = 0;
  const seconds = 5;
  await platform.host.clock.advance(seconds * 1_000);
  expect(commits.length / seconds).toBeLessThan(5);
  // etcd takes 128 changes and a megabyte and a half at a time.
  for (const changes of commits) {
    expect(changes.length).toBeLessThanOrEqual(100);
    expect(JSON.stringify(changes).length).toBeLessThan(500_000);
  }
});
