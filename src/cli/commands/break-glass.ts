/**
 * failover --break-glass: moves the platform to the region that is left when the shared state is gone for good; and state reconcile, which brings that into the state afterwards.
 *
 * Invariant: it is refused while the shared state can be reached. What can't be known without it is asked of a named person and written down before anything is touched. Run again, it goes
 * on with what it began.
 */
import { join } from 'node:path';
import { asHoldfastError, fail } from '../../base/errors.ts';
import { formatInstant } from '../../base/instants.ts';
import type { StateStore } from '../../contracts/state-store.ts';
import { beginBreakGlass, findUnreconciled } from '../../control/break-glass/begin-break-glass.ts';
import type { BreakGlassRecord } from '../../control/break-glass/break-glass-record.ts';
import { findEpochs } from '../../control/break-glass/find-epochs.ts';
import { reconcile } from '../../control/break-glass/reconcile.ts';
import { Control } from '../../control/control.ts';
import { beginExecution } from '../../control/executions.ts';
import { readLastKnown } from '../../control/fleet/last-known.ts';
import { makePlan } from '../../control/make-plan.ts';
import type { Host } from '../../host/host.ts';
import type { ComponentSpec, SiteSpec, Spec } from '../../spec/spec.ts';
import type { PlatformState } from '../../state/platform-state.ts';
import { requestApprove } from '../../state/requests.ts';
import { chooseTarget } from '../../watch/readiness.ts';
import { lastKnownFile } from '../open-state.ts';
import { planText } from '../render/plan-text.ts';
import { loadSpecOrExplain, openHost, personOf, type Session, stateDirectory } from '../session.ts';
import { type ChangeOptions, confirm, runAndReport } from './change.ts';
import type { CommandContext } from './context.ts';

export interface BreakGlassOptions extends ChangeOptions {
  readonly from?: string;
  readonly to?: string;
  readonly reason?: string;
  readonly epoch?: number;
  /** Loss is accepted by who breaks the glass: nothing is left to compare with. */
  readonly acceptLoss?: number | 'any';
}

const askMaxMs = 3_000;
const reachMaxMs = 10_000;
/** Whoever calls it dead and is wrong would have two platforms. */
const answering: ReadonlySet<string> = new Set(['STATE_UNREACHABLE', 'SYSTEM_OUTCOME_UNKNOWN', 'TIMED_OUT', 'SYSTEM_UNREACHABLE']);

const localDirectory = (directory: string): string => join(directory, 'break-glass');

export async function breakGlass(context: CommandContext, options: BreakGlassOptions): Promise<void> {
  const { wiring } = context;
  const host = openHost(context.options, wiring);
  const spec = await loadSpecOrExplain(context.options, wiring, host);
  const directory = stateDirectory(context.options, wiring);
  await requireGone(context, spec, host, directory);
  const local = await wiring.openStore({ directory: localDirectory(directory), host, platform: spec.name });
  let control: Control | undefined;
  try {
    const begun = await findUnreconciled(local);
    const { from, to } = begun ?? (await chooseRegions(spec, host, directory, options));
    const stripped = standAlone(spec, to);
    const parts = { spec: stripped, catalog: wiring.catalog, host, store: local, openHands: wiring.openHands(host) };
    if (!begun) await writeDown(context, options, { spec, local, host, directory, from, to, parts });
    control = await Control.open({
      ...parts,
      controller: `break-glass-${wiring.pid}`,
      version: wiring.version,
      pid: wiring.pid,
      publish: true,
    });
    const session = { spec: stripped, host, store: local, control, served: false } as unknown as Session;
    await control.startWatching();
    await control.watch.probeAll();
    await runIt(context, session, options, from, to, begun);
  } finally {
    if (control) await control.close();
    else await local.close();
  }
}

/** The word for the fence is the person's who was asked at the beginning; without it the failover would stop at every fence that nothing else proves. */
async function runIt(
  context: CommandContext,
  session: Session,
  options: BreakGlassOptions,
  from: string,
  to: string,
  begun: BreakGlassRecord | undefined,
): Promise<void> {
  const { control } = session;
  const fencedBy = options.fencedBy ?? begun?.fencedBy;
  const [open] = await control.openExecutions();
  if (open !== undefined) return await runAndReport(context, session, open, { ...options, ...(fencedBy ? { fencedBy } : {}) });
  if ((await control.view()).platform.activeRegion === to) {
    context.answer(`${to} is the active region; holdfast state reconcile brings that into the shared state once it is back`, {
      to,
      done: true,
    });
    return;
  }
  const because = `break-glass: ${options.reason ?? begun?.because ?? 'the shared state is gone'}`;
  const plan = await makePlan(control, { kind: 'failover', from, to, acceptLoss: options.acceptLoss ?? 'any', because });
  context.progress(planText(plan, context.palette));
  await confirm(context, plan, options);
  const by = personOf(context.options, context.wiring);
  const id = await beginExecution(control, plan, by);
  context.progress(`\nexecution ${id}`);
  for (const approver of options.approver ?? []) await requestApprove(session.store, session.host, id, approver);
  const word = fencedBy ?? (await wordOf(session.store));
  await runAndReport(context, session, id, { ...options, ...(word ? { fencedBy: word } : {}) });
}

async function wordOf(local: StateStore): Promise<string | undefined> {
  return (await findUnreconciled(local))?.fencedBy;
}

async function requireGone(context: CommandContext, spec: Spec, host: Host, directory: string): Promise<void> {
  if (!spec.state)
    throw fail('USAGE', {
      message: 'the state of this platform is not shared: there is no glass to break',
      hint: 'Run holdfast failover without --break-glass.',
    });
  const { promise: tooLate, reject } = Promise.withResolvers<never>();
  const cancel = host.clock.after(reachMaxMs, () => reject(fail('TIMED_OUT', { message: 'the shared state does not answer' })));
  let store: StateStore | undefined;
  const ask = async () => {
    store = await context.wiring.openStore({ directory, host, platform: spec.name, ...(spec.state ? { state: spec.state } : {}) });
    return await store.get('platform');
  };
  try {
    await Promise.race([ask(), tooLate]);
  } catch (thrown) {
    if (!answering.has(asHoldfastError(thrown).code)) throw thrown;
    return;
  } finally {
    cancel();
    await store?.close().catch(() => undefined);
  }
  throw fail('EXECUTION_NOT_ALLOWED', {
    message: 'the shared state can be reached: a failover beside it would make two platforms',
    hint: 'Run holdfast failover without --break-glass.',
  });
}

async function chooseRegions(spec: Spec, host: Host, directory: string, options: BreakGlassOptions): Promise<{ from: string; to: string }> {
  const known = await readLastKnown(host.files, lastKnownFile(directory), spec.name);
  const last = known?.entries.find(({ key }) => key === 'platform')?.value as PlatformState | undefined;
  const bySpec = [...spec.regions.values()].find(({ role }) => role === 'active')?.name;
  const from = options.from ?? last?.activeRegion ?? bySpec;
  const to = options.to ?? (from === undefined ? undefined : chooseTarget(spec, from));
  if (from === undefined || to === undefined || from === to || !spec.regions.has(from) || !spec.regions.has(to))
    throw fail('USAGE', {
      message: `from ${from ?? 'nowhere'} to ${to ?? 'nowhere'} is no failover`,
      hint: 'Name the regions with --from and --to.',
    });
  return { from, to };
}

/** Without the shared state, its leases and other controllers; and with no other hands of this machine than those of the region that is left. */
function standAlone(spec: Spec, here: string): Spec {
  const withoutForeignHands = (component: ComponentSpec): ComponentSpec => ({
    ...component,
    sites: new Map(
      [...component.sites].map(([region, site]): [string, SiteSpec] => {
        if (region === here || site.hands?.kind !== 'local') return [region, site];
        const { hands: _hands, ...rest } = site;
        return [region, rest];
      }),
    ),
  });
  const { state: _state, ...rest } = spec;
  return { ...rest, components: new Map([...spec.components].map(([name, component]) => [name, withoutForeignHands(component)])) };
}

interface WriteDown {
  readonly spec: Spec;
  readonly local: StateStore;
  readonly host: Host;
  readonly directory: string;
  readonly from: string;
  readonly to: string;
  readonly parts: Omit<Parameters<typeof Control.open>[0], 'controller' | 'pid' | 'publish'>;
}

async function writeDown(context: CommandContext, options: BreakGlassOptions, given: WriteDown): Promise<void> {
  const { spec, local, host, directory, from, to, parts } = given;
  const known = await readLastKnown(host.files, lastKnownFile(directory), spec.name);
  const fencedBy = await answerOf(
    context,
    options.fencedBy,
    `Who vouches that nothing in ${from} can acknowledge writes any more?`,
    '--fenced-by NAME',
  );
  const because = await answerOf(context, options.reason, 'Why is the shared state given up?', '--reason TEXT');
  // A look of its own, before there is a state at all: what the systems carry decides the epoch.
  const { openSites } = await import('../../control/open-sites.ts');
  const open = openSites(parts.spec, parts.catalog, host, parts.openHands);
  const epochs = await findEpochs(open.sites, host.clock, askMaxMs).finally(() => open.close());
  const record = await beginBreakGlass(local, {
    id: `break-glass-${formatInstant(host.clock.nowMs())}`.replace(/[^a-z0-9-]/gi, '').toLowerCase(),
    platform: spec.name,
    from,
    to,
    by: personOf(context.options, context.wiring),
    fencedBy,
    because,
    atMs: host.clock.nowMs(),
    ...(options.epoch === undefined ? {} : { toldEpoch: options.epoch }),
    lastKnown: known?.entries ?? [],
    epochs,
  });
  for (const [where, epoch] of Object.entries(record.found)) context.progress(`${where}: epoch ${epoch}`);
  for (const [where, why] of Object.entries(record.silent)) context.progress(context.palette.warn(`${where} says nothing: ${why}`));
  context.progress(`the local journal begins with epoch ${record.baseEpoch}; ${fencedBy} vouches for the fence of ${from}`);
}

async function answerOf(context: CommandContext, given: string | undefined, question: string, flag: string): Promise<string> {
  if (given !== undefined && given.trim() !== '') return given.trim();
  const { terminal } = context.wiring;
  const answer = terminal.interactive ? (await terminal.ask(`${question} `))?.trim() : undefined;
  if (answer) return answer;
  throw fail('USAGE', { message: `nobody answered: ${question}`, hint: `Give ${flag}.` });
}

export async function reconcileState(context: CommandContext, options: { readonly yes?: boolean }): Promise<void> {
  const { wiring, palette } = context;
  const host = openHost(context.options, wiring);
  const spec = await loadSpecOrExplain(context.options, wiring, host);
  if (!spec.state) throw fail('USAGE', { message: 'the state of this platform is not shared: there is nothing to reconcile with' });
  const directory = stateDirectory(context.options, wiring);
  const local = await wiring.openStore({ directory: localDirectory(directory), host, platform: spec.name });
  try {
    const shared = await wiring.openStore({ directory, host, platform: spec.name, state: spec.state });
    try {
      await askToReconcile(context, options);
      const done = await reconcile(local, shared, host.clock.nowMs());
      context.answer(
        `${palette.good('reconciled')}: ${done.activeRegion} is active under epoch ${done.epoch} (it was ${done.before.activeRegion}, epoch ${done.before.epoch}); ${done.executions.join(', ')} is in the shared state`,
        done,
      );
    } finally {
      await shared.close();
    }
  } finally {
    await local.close();
  }
}

async function askToReconcile({ wiring: { terminal } }: CommandContext, { yes }: { readonly yes?: boolean }): Promise<void> {
  if (yes) return;
  const answer = terminal.interactive
    ? await terminal.ask('Make what was done by break-glass the truth of the shared state? [y/N] ')
    : undefined;
  if (answer === undefined || !/^y(es)?$/i.test(answer.trim()))
    throw fail('USAGE', { message: 'not confirmed; nothing was changed', hint: 'Give --yes, or answer y.' });
}
