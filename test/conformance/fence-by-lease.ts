/** What a driver that fences by hands owes to leases: a fence at the end of one is taken back under the next, and by nobody else. */
import { expect } from 'vitest';
import type { Site } from '../../src/contracts/driver.ts';
import type { Host } from '../../src/host/host.ts';
import { Step } from './step.ts';

interface LeasedPair {
  readonly host: Host;
  openSite(region: 'east' | 'west'): Site;
  kill(region: 'east' | 'west'): Promise<void>;
  boot(region: 'east' | 'west'): Promise<void>;
  runs(region: 'east' | 'west'): boolean;
  write(region: 'east' | 'west', record: string, timeoutMs?: number): Promise<string>;
}

const quick = { survivors: ['west'], clean: false };

export const fenceByLeaseTitle = 'a fence at the end of a lease is taken back under the next one, and by nobody who stood still in between';

async function neverAcknowledges(pair: LeasedPair): Promise<void> {
  if (!pair.runs('east')) await pair.boot('east');
  expect(await pair.write('east', 'after the fence', 1_000)).not.toBe('acknowledged');
}

export async function fenceByLease(pair: LeasedPair): Promise<void> {
  const east = pair.openSite('east');
  if (east.fencesByHands !== true) return;
  const byLease = { byLease: true };
  const fence = () => new Step(pair.host, 'fence', { survivors: [], clean: false, byHands: true });
  const thaw = () => new Step(pair.host, 'thaw', byLease);
  expect(await pair.write('east', 'before')).toBe('acknowledged');
  expect((await thaw().inspect(east)).state).toBe('done');
  await fence().run(east);
  await neverAcknowledges(pair);
  // An execution does not take such a bar for its own proof: it could be lifted again.
  await pair.kill('east');
  expect((await new Step(pair.host, 'fence', quick).inspect(pair.openSite('east'))).state).toBe('absent');
  await thaw().run(east);
  expect(await pair.write('east', 'serves again')).toBe('acknowledged');
  // One who was held up right before it lifts the bar finds another bar there.
  await fence().run(east);
  const heldUp = thaw();
  heldUp.beforeNote = async () => {
    await fence().run(pair.openSite('east'));
  };
  await expect(heldUp.apply(east)).rejects.toMatchObject({ code: 'SYSTEM_REFUSED' });
  await neverAcknowledges(pair);
  // What an execution has stopped is started only where a person says so.
  await pair.kill('east');
  await new Step(pair.host, 'fence', quick).run(pair.openSite('east'));
  expect((await thaw().inspect(east)).state).toBe('unknown');
  await new Step(pair.host, 'thaw', { byLease: true, told: true }).run(east);
  expect(await pair.write('east', 'told to')).toBe('acknowledged');
  // Beside another primary never, whoever says so; nor by itself where the other can't be asked.
  await fence().run(east);
  await pair.kill('west');
  await expect(thaw().apply(east)).rejects.toThrow();
  await pair.boot('west');
  await new Step(pair.host, 'promote', { epoch: 2, standbys: [] }).run(pair.openSite('west'));
  await expect(new Step(pair.host, 'thaw', { byLease: true, told: true }).apply(east)).rejects.toMatchObject({
    code: 'EXECUTION_NOT_ALLOWED',
  });
  await neverAcknowledges(pair);
}
