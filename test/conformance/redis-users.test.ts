/** Redis through users that may do no more than the driver's documentation asks for. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import type { JsonObject } from '../../src/base/json.ts';
import { Secret } from '../../src/base/secret.ts';
import type { SiteVerb } from '../../src/contracts/verbs.ts';
import { describeSystem } from '../systems/requirement.ts';
import { directive, startRealPair } from './redis-pair.ts';
import { soon, withHands } from './redis-steps.ts';
import { runStep } from './step-runner.ts';

/** The privileges that the driver's README asks for. */
function documentedPrivileges(): string[] {
  const readme = readFileSync(new URL('../../src/drivers/redis/README.md', import.meta.url), 'utf8');
  const words = /ACL SETUSER holdfast on >PASSWORD (.*)/.exec(readme)?.[1];
  if (words === undefined) throw new Error('the README names no privileges');
  return words.split(' ');
}

function suiteOfUsers(): void {
  it('does everything as a user with the documented privileges, and follows as another', async () => {
    const pair = await startRealPair(withHands);
    try {
      for (const region of ['east', 'west'] as const) {
        await pair.command(region, 'ACL', 'SETUSER', 'holdfast', 'on', '>of-holdfast', ...documentedPrivileges());
        await pair.command(region, 'ACL', 'SETUSER', 'follower', 'on', '>of-follower', '+ping', '+psync', '+replconf');
        await pair.command(region, 'CONFIG', 'REWRITE');
      }
      const changes = {
        password: new Secret('of-holdfast', 'test'),
        'replication-user': 'follower',
        'replication-password': new Secret('of-follower', 'test'),
      };
      const site = (region: 'east' | 'west') => pair.openWith(region, changes, 'holdfast');
      const step = (region: 'east' | 'west', verb: SiteVerb, want: JsonObject = {}) => runStep(pair.host, site(region), verb, want);
      expect(await site('east').observe(soon())).toMatchObject({ health: 'up', writable: true, facts: { minReplicasToWrite: 0 } });
      await site('east').canary?.write({ number: 1, atMs: 1, epoch: 1 }, soon());
      await pair.settle();
      const mend = await pair.cutReplication();
      await pair.write('east', 'lost');
      await step('east', 'freeze');
      await step('east', 'thaw');
      await step('east', 'fence', { survivors: ['west'], clean: false });
      await step('west', 'promote', { epoch: 2, standbys: [] });
      await mend();
      const report = await step('east', 'salvage', { survivor: 'west', into: await pair.salvageDirectory('east') });
      expect(report).toMatchObject({ diverged: true, writes: 1 });
      await step('east', 'follow', { upstream: 'west' });
      expect(await step('west', 'protect', { standbys: ['east'], mode: 'asynchronous' })).toEqual({ inSync: ['east'] });
      expect(await directive(pair, 'east', 'masteruser')).toBe('follower');
    } finally {
      await pair.dispose();
    }
  });
}

describeSystem('redis', 'Redis users (real)', suiteOfUsers);
