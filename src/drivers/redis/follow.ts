/**
 * follow: this site is a live replica of the upstream, also after a restart.
 *
 * Invariants: an upstream that is empty, that holds another data set or that was promoted before this site was is never followed, for following it would wipe what is
 * here. Nothing is overwritten while clients can still write here: a master with data is barred first, and its barrier is lifted only once it is a read-only replica.
 * A server that is down is started barred, with its data, so that the comparison can be made before they are given up.
 * When the process dies in between, the server is barred or a replica, now and after a restart, and all of it may be done again.
 */
import { fail } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import type { Inspection, StepContext, Verb } from '../../contracts/verbs.ts';
import { readDirective } from './config-file.ts';
import { peerAddressOf } from './options.ts';
import { addressOf } from './port.ts';
import { barredMaster, fileSays, siteConfigFile, startServer } from './process-control.ts';
import { type RedisSiteParts, type Server, type ServerView, tryServer, withServer } from './server.ts';
import { hasReached, linkOf, positionOf } from './server-state.ts';
import { copySnapshot } from './snapshot-copy.ts';
import { barrierSettings, readBarrier } from './write-barrier.ts';

interface FollowNote {
  readonly lasts: true;
  /** The upstream's count of full copies before this one asked for the data. */
  readonly fullSyncs: number;
}

export function followVerb(parts: RedisSiteParts): Verb {
  return { inspect: (want, step) => inspect(parts, want, step), apply: (want, step) => apply(parts, want, step) };
}

function upstreamOf(parts: RedisSiteParts, want: JsonObject): { readonly region: string; readonly host: string; readonly port: number } {
  const region = String(want.upstream);
  const site = parts.context.sites.get(region);
  if (site === undefined || region === parts.context.region)
    throw fail('SPEC_INVALID', { message: `${parts.context.component} can't follow ${region}: it is no other site of it` });
  return { region, ...peerAddressOf(site) };
}

async function inspect(parts: RedisSiteParts, want: JsonObject, step: StepContext): Promise<Inspection> {
  const upstream = upstreamOf(parts, want);
  const note = step.note as unknown as FollowNote | undefined;
  // The upstream first: what it had then, this site must have by the time that it is asked.
  const above = await tryServer(parts, upstream.region, step.signal, (server) => server.read());
  const seen = await tryServer(parts, parts.context.region, step.signal, (server) => server.readFully());
  if (!('answer' in seen)) return { state: 'absent', why: `it does not answer: ${seen.why}` };
  const { state, settings } = seen.answer;
  if (state.loading) return { state: 'pending', why: 'it reads its data set' };
  if (state.upstream === undefined) return { state: 'absent', why: 'it is a master' };
  if (state.upstream.host !== upstream.host || state.upstream.port !== upstream.port)
    return { state: 'absent', why: `it follows ${addressOf(state.upstream)}` };
  const lasts =
    note?.lasts ??
    (await fileSays(
      parts,
      step.signal,
      (text) => readDirective(text, 'replicaof') === `${upstream.host} ${upstream.port}`,
      state.configFile,
    ));
  if (!state.upstream.readOnly || readBarrier(settings.minReplicasToWrite).barrier !== 'none' || !lasts)
    return { state: 'absent', why: 'it follows, and not all of its settings are as they should be for good' };
  if (!('answer' in above)) return { state: 'pending', why: `the upstream does not answer: ${above.why}` };
  if (state.upstream.syncInProgress) return { state: 'pending', why: 'it is being copied anew' };
  if (linkOf(state) !== 'up') return { state: 'pending', why: `its link to ${addressOf(upstream)} is ${linkOf(state)}; its log says why` };
  const there = positionOf(above.answer.state, above.answer.epoch);
  if (hasReached(state, there) !== true) return { state: 'pending', why: `at ${positionOf(state, 0).text} of ${there.text}` };
  const method = note === undefined ? 'found in place' : above.answer.state.fullSyncs > note.fullSyncs ? 'copied' : 'continued';
  return { state: 'done', output: { method } };
}

async function apply(parts: RedisSiteParts, want: JsonObject, step: StepContext): Promise<void> {
  const { context } = parts;
  const upstream = upstreamOf(parts, want);
  const above = await withServer(parts, upstream.region, step.signal, (server) => server.readFully());
  requireLeader(above, addressOf(upstream));
  const here = await tryServer(parts, context.region, step.signal, async () => true);
  if (!('answer' in here)) {
    if (here.absence !== 'refused') throw fail('SYSTEM_UNREACHABLE', { message: here.why });
    step.progress('starting the server, barred, with its data');
    await siteConfigFile(parts, step.signal).change(barredMaster);
    await startServer(parts, step.signal);
  }
  await withServer(parts, context.region, step.signal, async (server) => {
    const view = await server.readFully();
    requireSameData(server, view, above, addressOf(upstream));
    const { barrier, former } = readBarrier(view.settings.minReplicasToWrite);
    if (view.state.role === 'master' && view.state.keys > 0 && barrier !== 'fence')
      await server.set(barrierSettings('fence', view.settings));
    if (typeof want.keep === 'string') await copySnapshot(parts, want.keep, step.signal);
    await server.set(upstreamCredentials(parts));
    // In this order: at no moment does it take writes as a master, and the file is written last.
    await server.command('REPLICAOF', upstream.host, String(upstream.port));
    await server.set([
      ['replica-read-only', 'yes'],
      ['min-replicas-to-write', String(former)],
    ]);
    if (!(await server.makeLast()))
      throw fail('SYSTEM_REFUSED', {
        message: `${server.address} runs without a configuration file: after a restart it would come back as a master`,
        hint: 'Start it with a configuration file that it may write.',
      });
    await step.keepNote({ lasts: true, fullSyncs: above.state.fullSyncs } satisfies FollowNote);
  });
}

function requireLeader({ state, settings }: ServerView, address: string): void {
  const fenced = settings !== undefined && readBarrier(settings.minReplicasToWrite).barrier === 'fence';
  if (state.role === 'master' && !state.loading && !fenced) return;
  throw fail('SYSTEM_WRONG_ROLE', {
    message: `${address} can't be followed: it ${state.loading ? 'still reads its data set' : fenced ? 'is fenced' : 'is a replica itself'}`,
  });
}

/** Whoever follows gives up its own data for the upstream's: these must be the same data set, grown further. */
function requireSameData(server: Server, own: ServerView, above: ServerView, upstream: string): void {
  if (own.state.keys > 0 && above.state.keys === 0)
    throw fail('SYSTEM_REFUSED', {
      message: `${upstream} is empty and ${server.address} holds ${own.state.keys} key(s): following it would wipe them`,
      hint: 'Find out why the upstream lost its data; make the site that has them the primary.',
    });
  if (own.dataset !== undefined && own.dataset !== above.dataset)
    throw fail('SYSTEM_WRONG_IDENTITY', {
      message: `${server.address} holds the data set ${own.dataset}, and ${upstream} ${above.dataset === undefined ? 'one without a name' : above.dataset}`,
      hint: 'If the data here are not needed any more, empty this site with FLUSHALL; else find out which data set is the right one.',
    });
  if (own.epoch > above.epoch)
    throw fail('SYSTEM_WRONG_ROLE', {
      message: `${server.address} was promoted under epoch ${own.epoch}, and ${upstream} only under ${above.epoch}`,
      hint: 'The newer one is to be followed: look at holdfast status.',
    });
}

function upstreamCredentials({ context }: RedisSiteParts): readonly (readonly [string, string])[] {
  const password = context.site['replication-password'] ?? context.site.password;
  const user = context.site['replication-user'];
  return [
    ...(password === undefined ? [] : [['masterauth', password.reveal()] as const]),
    ...(user === undefined ? [] : [['masteruser', user] as const]),
  ];
}
