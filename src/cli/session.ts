/** What every command that works on a platform needs: the spec, the state, a control; opened from the global options, closed whatever happens. */
import { resolve } from 'node:path';
import { asHoldfastError, fail } from '../base/errors.ts';
import type { StateStore } from '../contracts/state-store.ts';
import { RepositoryOpener } from '../control/backups/repository-opener.ts';
import { Control } from '../control/control.ts';
import { presenceLease } from '../control/fleet/opinion-records.ts';
import { ownRegion } from '../control/fleet/own-region.ts';
import { stateIsAway } from '../control/fleet/state-is-away.ts';
import type { GuardLocation } from '../control/primary/open-keeper.ts';
import type { Host } from '../host/host.ts';
import { formatFaults } from '../spec/fault.ts';
import { faultsOf, type LoadOptions, loadSpec, readSpecSources } from '../spec/load-spec.ts';
import type { Spec } from '../spec/spec.ts';
import { refuseMoved } from '../state/move-state.ts';
import { isPresent, readPresences } from '../watch/watch-records.ts';
import { lastKnownFile, openState } from './open-state.ts';
import type { Wiring } from './wiring.ts';

const stateAwaitedEveryMs = 1_000;

export interface GlobalOptions {
  readonly spec?: readonly string[];
  readonly state?: string;
  readonly json?: boolean;
  readonly logLevel?: string;
  readonly by?: string;
}

export interface Session {
  readonly spec: Spec;
  readonly host: Host;
  readonly store: StateStore;
  readonly control: Control;
  /** Whether another process serves the platform now. */
  readonly served: boolean;
  readonly repositories: RepositoryOpener;
}

export function specFiles(options: GlobalOptions, wiring: Wiring): readonly string[] {
  if (options.spec && options.spec.length > 0) return options.spec;
  return [wiring.environment.HOLDFAST_SPEC ?? 'holdfast.yaml'];
}

export function stateDirectory(options: GlobalOptions, wiring: Wiring): string {
  return options.state ?? wiring.environment.HOLDFAST_STATE ?? '.holdfast';
}

export function openHost(options: GlobalOptions, wiring: Wiring): Host {
  return wiring.openHost({ logLevel: options.logLevel ?? 'warn', logTo: 'stderr' });
}

/**
 * Loads the spec; on faults prints all of them, each with its line, and throws.
 * @param showsContradictions the command itself shows where the spec contradicts itself
 */
export async function loadSpecOrExplain(
  options: GlobalOptions,
  wiring: Wiring,
  host: Host,
  resolveSecrets: LoadOptions['resolveSecrets'] = true,
  showsContradictions = false,
): Promise<Spec> {
  const files = specFiles(options, wiring);
  try {
    const spec = await loadSpec(files, { catalog: wiring.catalog, repositories: wiring.repositories, host, resolveSecrets });
    for (const notice of spec.notices) if (!notice.other) wiring.terminal.err(`note: ${notice.file}:${notice.line}: ${notice.message}`);
    const count = contradictionsOf(spec).length;
    if (count > 0 && !showsContradictions)
      wiring.terminal.err(
        `note: the spec contradicts itself in ${count} place${count === 1 ? '' : 's'}: holdfast check shows both lines of each`,
      );
    return spec;
  } catch (thrown) {
    const faults = faultsOf(thrown);
    if (faults.length > 0 && !options.json) wiring.terminal.err(formatFaults(faults, await readSpecSources(files, host)));
    throw thrown;
  }
}

/** The notices that have two places. */
export const contradictionsOf = (spec: Spec) => spec.notices.filter((notice) => notice.other !== undefined);

export interface SessionExtras {
  /** The command itself shows where the spec contradicts itself. */
  readonly showsContradictions?: boolean;
  /** The region that this machine is in, where it was given; else HOLDFAST_REGION says it. */
  readonly region?: string;
  /** Whether the work can do without a shared state that can't be reached, and says so. */
  readonly evenCutOff?: boolean;
}

/**
 * Opens everything, runs the work, closes everything.
 * @param mode `look`: leaves no trace · `act`: writes canaries and records while no other process serves · `serve`: always does
 */
export async function withSession<T>(
  options: GlobalOptions,
  wiring: Wiring,
  mode: 'look' | 'act' | 'serve',
  work: (session: Session) => Promise<T>,
  extras: SessionExtras = {},
): Promise<T> {
  const host = openHost(options, wiring);
  const spec = await loadSpecOrExplain(options, wiring, host, true, extras.showsContradictions);
  const region = regionOf(spec, extras.region, wiring, mode === 'serve');
  const open = () => openSession(options, wiring, mode, spec, host, { ...extras, ...(region === undefined ? {} : { region }) });
  const session = await (mode === 'serve' && spec.state ? untilTheStateAnswers(open, host, wiring.signal) : open());
  try {
    return await work(session);
  } finally {
    await session.control.close().catch((thrown) => host.log.warn('session.close-failed', { message: asHoldfastError(thrown).message }));
  }
}

/** A controller that begins while the shared state is away, or while its machine is too busy to hear it, has nothing better to do than to wait; whoever runs a command wants to know at once. */
async function untilTheStateAnswers(open: () => Promise<Session>, host: Host, signal: AbortSignal): Promise<Session> {
  for (;;) {
    try {
      return await open();
    } catch (thrown) {
      if (signal.aborted || !stateIsAway(thrown)) throw thrown;
      host.log.warn('serve.state-awaited', { message: asHoldfastError(thrown).message });
      await host.clock.sleep(stateAwaitedEveryMs, signal).catch(() => undefined);
    }
  }
}

async function openSession(
  options: GlobalOptions,
  wiring: Wiring,
  mode: 'look' | 'act' | 'serve',
  spec: Spec,
  host: Host,
  { region, evenCutOff = false }: SessionExtras,
): Promise<Session> {
  const directory = stateDirectory(options, wiring);
  const { store, cutOff } = await openState({ spec, host, directory, wiring, evenCutOff });
  try {
    if (spec.state === undefined) await refuseMoved(store);
    const served = await isServed(spec, store, host);
    const publish = mode === 'serve' || (mode === 'act' && !served);
    const repositories = new RepositoryOpener({ catalog: wiring.repositories, host, platform: spec.name });
    const control = await Control.open({
      spec,
      catalog: wiring.catalog,
      host,
      store,
      openHands: wiring.openHands(host),
      controller: controllerName(spec, mode === 'serve' ? 'serve' : 'command', region, wiring, host),
      version: wiring.version,
      ...(region === undefined ? {} : { region }),
      ...(cutOff === undefined ? {} : { cutOff }),
      lastKnownFile: lastKnownFile(directory),
      ...(mode === 'serve' && wiring.guardCommand ? { guard: guardLocation(wiring.guardCommand, directory, wiring) } : {}),
      pid: wiring.pid,
      publish,
      leadsAlone: mode === 'act' && !served,
      openRepository: (repository) => repositories.open(repository),
      scratchDirectory: scratchDirectory(wiring),
    });
    return { spec, host, store, control, served, repositories };
  } catch (thrown) {
    await store.close();
    throw thrown;
  }
}

function regionOf(spec: Spec, given: string | undefined, wiring: Wiring, needed: boolean): string | undefined {
  if (given !== undefined && !spec.state)
    throw fail('USAGE', {
      message: `${spec.name} has one controller: a region says nothing about it`,
      hint: 'Leave --region out; or give the spec a state: section, which several controllers share.',
    });
  return ownRegion(spec, given ?? wiring.environment.HOLDFAST_REGION, needed);
}

/** Whether a controller is there now. */
async function isServed(spec: Spec, store: StateStore, host: Host): Promise<boolean> {
  if (spec.state) {
    const leases = await Promise.all(spec.controllers.regions.map((region) => store.readLease(presenceLease(region))));
    return leases.some((lease) => lease?.held === true);
  }
  const nowMs = host.clock.nowMs();
  return [...(await readPresences(store)).values()].some((presence) => isPresent(presence, nowMs, host.processes));
}

const nameBytes = 3;

/** Ids of processes are used again, and machines of several regions use the same ones: among several controllers the region and chance tell them apart. */
function controllerName(spec: Spec, what: string, region: string | undefined, { pid }: Wiring, host: Host): string {
  if (!spec.state) return `${what}-${pid}`;
  const chance = Buffer.from(host.random.bytes(nameBytes)).toString('hex');
  return `${region === undefined ? '' : `${region}/`}${what}-${pid}-${chance}`;
}

/** It outlives this process, which may stand elsewhere by then. */
const guardLocation = (command: readonly string[], directory: string, wiring: Wiring): GuardLocation => ({
  command,
  directory: resolve(wiring.workingDirectory ?? '.', directory),
});

/** A place with room for a restored copy of everything; not the memory of the machine, which /tmp often is. */
const scratchDirectory = (wiring: Wiring): string => wiring.environment.HOLDFAST_SCRATCH ?? '/var/tmp';

export function personOf(options: GlobalOptions, wiring: Wiring): string {
  const name = options.by ?? wiring.person;
  if (name.trim() === '') throw fail('USAGE', { message: 'nobody is named', hint: 'Say who you are with --by NAME.' });
  return name;
}
