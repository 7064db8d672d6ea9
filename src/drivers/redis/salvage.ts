/**
 * salvage: what a former primary acknowledged and the survivor does not have is kept aside, before the former primary is made to follow.
 *
 * Two forms: a list of the keys that differ, for people, and an RDB file of the whole data set, for everything that the list can't say (deleted keys, what was too large or
 * too much to be listed). Both on the host of the former primary.
 *
 * Invariant: the former primary refuses writes while it is looked at, also when it had to be started for that. The report is noted once all files are whole.
 */
import { fail } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import type { Position } from '../../contracts/observation.ts';
import type { SalvageReport, StepContext, Verb } from '../../contracts/verbs.ts';
import { KeyComparison } from './key-comparison.ts';
import { barredMaster, siteConfigFile, startServer } from './process-control.ts';
import { type RedisSiteParts, type Server, type ServerView, tryServer, withServer } from './server.ts';
import { hasReached, positionOf } from './server-state.ts';
import { copySnapshot, writeByHands } from './snapshot-copy.ts';
import { barrierSettings, readBarrier } from './write-barrier.ts';

export function salvageVerb(parts: RedisSiteParts): Verb {
  return {
    inspect: async (_want, step) => {
      const report = (step.note as { report?: SalvageReport } | undefined)?.report;
      return report ? { state: 'done', output: report } : { state: 'absent', why: 'nothing was kept aside yet' };
    },
    apply: (want, step) => apply(parts, want, step),
  };
}

async function apply(parts: RedisSiteParts, want: JsonObject, step: StepContext): Promise<void> {
  const { context } = parts;
  const here = await tryServer(parts, context.region, step.signal, async () => true);
  if (!('answer' in here)) {
    if (here.absence !== 'refused') throw fail('SYSTEM_UNREACHABLE', { message: here.why });
    step.progress('starting the former primary, barred, to read it');
    await siteConfigFile(parts, step.signal).change(barredMaster);
    await startServer(parts, step.signal);
  }
  const report = await withServer(parts, context.region, step.signal, (server) =>
    withServer(parts, String(want.survivor), step.signal, (survivor) => salvage(parts, server, survivor, want, step)),
  );
  await step.keepNote({ report });
}

async function salvage(
  parts: RedisSiteParts,
  server: Server,
  survivor: Server,
  want: JsonObject,
  step: StepContext,
): Promise<SalvageReport> {
  const there = await survivor.read();
  const before = await server.readFully();
  if (there.state.loading || before.state.loading)
    throw fail('SYSTEM_UNREACHABLE', { message: `${there.state.loading ? survivor.address : server.address} still reads its data set` });
  if (before.state.role === 'slave' && before.state.replid === there.state.replid)
    return {
      diverged: false,
      files: [],
      detail: `${server.address} is a replica of ${survivor.address} already: it has nothing of its own`,
    };
  if (before.state.role === 'master' && readBarrier(before.settings.minReplicasToWrite).barrier !== 'fence') {
    await server.set(barrierSettings('fence', before.settings));
    await server.makeLast();
  }
  const here = await server.read();
  const to = positionOf(here.state, here.epoch);
  const from = forkOf(there, want);
  if (here.state.backlogActive && hasReached(there.state, to) === true)
    return { diverged: false, ...(from ? { from } : {}), to, files: [], detail: `${survivor.address} has all of it, up to ${to.text}` };
  const comparison = new KeyComparison({ here: server.connection, there: survivor.connection, keys: parts.keys, signal: step.signal });
  const found = await comparison.run(here.state.databases, (keys) => step.progress(`compared ${keys} of ${here.state.keys} keys`));
  const ends = { ...(from ? { from } : {}), to };
  if (found.count === 0)
    return { diverged: false, ...ends, files: [], detail: `${survivor.address} has every key of ${server.address} with the same value` };
  const directory = String(want.into).replace(/\/+$/, '');
  const list = `${directory}/${parts.context.component}-${parts.context.region}.keys.jsonl`;
  await writeByHands(parts, list, `${found.lines.join('\n')}\n`, step.signal);
  const snapshot = await copySnapshot(parts, directory, step.signal);
  const unlisted = found.unlisted > 0 ? `; ${found.unlisted} of them only in the RDB file` : '';
  return {
    diverged: true,
    ...ends,
    writes: found.count,
    files: [list, snapshot],
    detail: `${found.count} key(s) of ${server.address} are not on ${survivor.address}, or otherwise (there they may be newer)${unlisted}`,
  };
}

/** Where the survivor left the common history: the end of the one that it was promoted out of. */
function forkOf({ state, epoch }: ServerView, want: JsonObject): (Position & JsonObject) | undefined {
  if (typeof want.since === 'object' && want.since !== null) return want.since as unknown as Position & JsonObject;
  if (state.secondOffset <= 0n) return undefined;
  const offset = state.secondOffset - 1n;
  return {
    history: state.replid2,
    timeline: Math.max(0, epoch - 1),
    offset: String(offset),
    text: `${state.replid2.slice(0, 8)}:${offset}`,
  };
}
