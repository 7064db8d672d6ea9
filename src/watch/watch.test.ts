import { afterEach, describe, expect, it } from 'vitest';
import { fakeHost } from '../../test/fakes/host.ts';
import { memoryState } from '../../test/fakes/memory-store.ts';
import { ToyWorld, toyCatalog, toySpecText } from '../../test/fakes/toy-platform.ts';
import { fail } from '../base/errors.ts';
import type { Site } from '../contracts/driver.ts';
import type { StateStore } from '../contracts/state-store.ts';
import { loadSpec } from '../spec/load-spec.ts';
import { type SiteKey, siteKey } from './site-key.ts';
import { Watch } from './watch.ts';
import { readCanaryRecords, readPresences, readSiteRecords } from './watch-records.ts';

const world = () => new ToyWorld('east');
const opened: { watch: Watch; host: ReturnType<typeof fakeHost> }[] = [];
afterEach(async () => {
  for (const { watch } of opened.splice(0)) await watch.stop();
});

async function rig(
  parts: { world?: ToyWorld; host?: ReturnType<typeof fakeHost>; store?: StateStore; publish?: boolean; name?: string } = {},
) {
  const toys = parts.world ?? world();
  const host = parts.host ?? fakeHost({ files: { 'toy.yaml': toySpecText() } });
  const store = parts.store ?? memoryState(host.clock).open();
  const catalog = toyCatalog(toys);
  const spec = await loadSpec(['toy.yaml'], { catalog, host });
  const sites = new Map<SiteKey, Site>();
  for (const component of spec.components.values())
    for (const region of component.sites.keys())
      sites.set(
        siteKey(component.name, region),
        (catalog.get(component.driver) as { open(context: unknown): Site }).open({ component: component.name, region, host }),
      );
  const watch = new Watch({ spec, sites, store, host, controller: parts.name ?? 'serve-1', publish: parts.publish ?? true, pid: 1 });
  opened.push({ watch, host });
  return { watch, host, store, world: toys };
}

describe('the watch', () => {
  it('leaves a record of each site, of each canary and of itself, and takes its presence away when it ends', async () => {
    const { watch, host, store } = await rig();
    await watch.load();
    watch.start();
    watch.aim('east', 1);
    await host.clock.advance(3_000);
    expect([...(await readSiteRecords(store)).keys()].sort()).toEqual([
      'api@east',
      'api@west',
      'db@east',
      'db@west',
      'name@east',
      'name@west',
    ]);
    expect((await readSiteRecords(store)).get('db@west')).toMatchObject({
      latest: { health: 'up', role: 'standby' },
      standbyCanary: { number: expect.any(Number) },
    });
    expect((await readCanaryRecords(store)).get('db')).toMatchObject({ newest: { region: 'east', epoch: 1 }, firstOfEpoch: { number: 1 } });
    expect([...(await readPresences(store)).keys()]).toEqual(['serve-1']);
    await watch.stop();
    expect([...(await readPresences(store)).keys()]).toEqual([]);
    expect(host.clock.waiting).toBe(0);
  });

  it('that only looks leaves no trace', async () => {
    const { watch, host, store, world: toys } = await rig({ publish: false });
    await watch.load();
    watch.start();
    watch.aim('east', 1);
    await host.clock.advance(3_000);
    await watch.stop();
    expect(await store.range('')).toEqual([]);
    expect(toys.site('db', 'east').row).toBeUndefined();
  });

  it('goes on where an earlier one ended: canary numbers, and what a lost site was like when it was last up', async () => {
    const first = await rig();
    await first.watch.load();
    first.watch.start();
    first.watch.aim('east', 1);
    await first.host.clock.advance(5_000);
    await first.watch.stop();
    const last = first.watch.canaries.get('db')?.newest.number ?? 0;
    expect(last).toBeGreaterThan(3);
    first.world.kill('east');
    const second = await rig({ world: first.world, host: first.host, store: first.store, name: 'serve-2' });
    await second.watch.load();
    expect(second.watch.observations.size).toBe(6);
    second.watch.start();
    // Only what it sees itself counts from here on.
    expect(second.watch.observations.size).toBe(0);
    second.watch.aim('east', 1);
    await second.host.clock.advance(2_000);
    expect(second.watch.observations.get(siteKey('db', 'east'))).toMatchObject({ health: 'down' });
    expect(second.watch.lastUp.get(siteKey('db', 'east'))).toMatchObject({ role: 'primary', replication: { synchronous: true } });
    first.world.revive('east');
    await second.host.clock.advance(2_000);
    expect(second.watch.canaries.get('db')?.newest.number).toBeGreaterThan(last);
  });

  it('follows the active region with its canaries: the first row of a new epoch is remembered', async () => {
    const { watch, host, store, world: toys } = await rig();
    await watch.load();
    watch.start();
    watch.aim('east', 1);
    await host.clock.advance(3_000);
    const before = watch.canaries.get('db')?.newest.number ?? 0;
    Object.assign(toys.site('db', 'east'), { barred: true });
    Object.assign(toys.site('db', 'west'), { role: 'primary', follows: undefined });
    watch.aim('west', 2);
    await host.clock.advance(2_500);
    const record = (await readCanaryRecords(store)).get('db');
    expect(record).toMatchObject({ newest: { region: 'west', epoch: 2 }, firstOfEpoch: { region: 'west', epoch: 2, number: before + 1 } });
    expect(record?.newest.number).toBe(before + 3);
  });

  it('tells of each change at once, and the standby is asked again what it has got', async () => {
    const { watch, host, world: toys } = await rig();
    const told: string[] = [];
    watch.onChange((observation) => told.push(`${observation.component}@${observation.region} ${observation.health}`));
    await watch.load();
    watch.start();
    watch.aim('east', 1);
    await host.clock.advance(2_000);
    told.length = 0;
    const readAtMs = watch.standbyCanaries.get(siteKey('db', 'west'))?.readAtMs ?? 0;
    await host.clock.advance(300);
    toys.kill('east');
    await host.clock.advance(0);
    expect(told).toContain('db@east unknown');
    expect(told).toContain('db@east down');
    expect(watch.standbyCanaries.get(siteKey('db', 'west'))?.readAtMs).toBeGreaterThan(readAtMs);
  });

  it('records that could not be written go with the next ones, although nothing changes any more', async () => {
    const host = fakeHost({ files: { 'toy.yaml': toySpecText() } });
    const plain = memoryState(host.clock).open();
    let broken = false;
    const store: StateStore = {
      ...plain,
      commit: async (changes) => {
        if (broken) throw fail('STATE_LOCKED', { message: 'the disk does not answer' });
        return plain.commit(changes);
      },
    };
    const { watch, world: toys } = await rig({ host, store });
    await watch.load();
    watch.start();
    await host.clock.advance(2_000);
    broken = true;
    toys.site('api', 'west').alive = false;
    await host.clock.advance(900);
    broken = false;
    await host.clock.advance(1_200);
    expect((await readSiteRecords(plain)).get('api@west')?.latest.health).toBe('down');
    expect(host.logLines.some((line) => line.event === 'watch.records-not-written')).toBe(true);
  });
});
