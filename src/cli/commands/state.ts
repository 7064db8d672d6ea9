/** state show, copy, accept: the state as a whole. */
import { asHoldfastError, fail } from '../../base/errors.ts';
import { formatSize } from '../../base/sizes.ts';
import type { Host } from '../../host/host.ts';
import type { Spec, StateSpec } from '../../spec/spec.ts';
import { abandonMove, moveState } from '../../state/move-state.ts';
import { stateText } from '../render/state-text.ts';
import { loadSpecOrExplain, openHost, personOf, stateDirectory } from '../session.ts';
import type { SharedStateOptions, Wiring } from '../wiring.ts';
import type { CommandContext } from './context.ts';

interface Opened {
  readonly host: Host;
  readonly spec: Spec;
  readonly directory: string;
}

async function open({ options, wiring }: CommandContext): Promise<Opened> {
  const host = openHost(options, wiring);
  return { host, spec: await loadSpecOrExplain(options, wiring, host), directory: stateDirectory(options, wiring) };
}

export async function show(context: CommandContext): Promise<void> {
  const { host, spec, directory } = await open(context);
  const store = await context.wiring.openStore({ directory, host, platform: spec.name, ...(spec.state ? { state: spec.state } : {}) });
  try {
    const report = await store.readReport?.();
    if (report === undefined) throw fail('SYSTEM_REFUSED', { message: 'this state tells nothing of itself' });
    context.answer(stateText(report, context.palette), report);
    if (report.isFull || report.members.some(({ fault }) => fault !== undefined)) context.exitCode = 3;
  } finally {
    await store.close();
  }
}

export interface CopyOptions {
  readonly to?: 'etcd';
  readonly abandon?: boolean;
  readonly yes?: boolean;
}

export async function copy(context: CommandContext, options: CopyOptions): Promise<void> {
  const opened = await open(context);
  const { host, spec, directory } = opened;
  if ((options.to === undefined) === (options.abandon !== true))
    throw fail('USAGE', { message: 'nothing says where to', hint: 'Give --to etcd, or --abandon to take back a copy that has not ended.' });
  const shared = options.abandon === true ? undefined : requireShared(context.wiring, opened);
  const store = await context.wiring.openStore({ directory, host, platform: spec.name });
  try {
    if (shared === undefined) {
      await abandonMove(store);
      context.answer('the copy is abandoned: the embedded state is the state', { abandoned: true });
      return;
    }
    await confirm(context, options, `Move the state of ${spec.name} from ${directory} to etcd ${shared.options.state.etcd.prefix}?`);
    const into = await shared.open();
    try {
      const moved = await moveState(store, into, { by: personOf(context.options, context.wiring), host });
      context.answer(
        `${moved.entries} entries (${formatSize(moved.bytes)}) moved to ${moved.to} and compared; the embedded state is marked as moved`,
        {
          ...moved,
          from: directory,
        },
      );
    } finally {
      await into.close();
    }
  } finally {
    await store.close();
  }
}

export async function accept(context: CommandContext, options: { readonly reason: string; readonly yes?: boolean }): Promise<void> {
  const opened = await open(context);
  const shared = requireShared(context.wiring, opened);
  if (options.reason.trim() === '') throw fail('USAGE', { message: 'a reason is needed', hint: 'Say what happened with --reason TEXT.' });
  await confirm(context, options, 'Go on with the state as it is in etcd now? What was decided after it may be done twice, or not at all.');
  const was = await shared.accept(personOf(context.options, context.wiring), options.reason);
  context.answer(
    `accepted (it was: ${was.message}). Look at holdfast status and holdfast executions before holdfast serve is started again.`,
    {
      accepted: true,
      was: asHoldfastError(was).toJSON(),
    },
  );
}

function requireShared(wiring: Wiring, { host, spec, directory }: Opened) {
  const state: StateSpec | undefined = spec.state;
  const { sharedState } = wiring;
  if (state === undefined || sharedState === undefined)
    throw fail('USAGE', { message: 'the spec has no shared state', hint: 'Add state: { etcd: { endpoints: [...] } } to the spec.' });
  const options: SharedStateOptions = { directory, host, platform: spec.name, state };
  return {
    options,
    open: () => sharedState.openImport(options),
    accept: (by: string, reason: string) => sharedState.accept(options, by, reason),
  };
}

async function confirm({ wiring: { terminal } }: CommandContext, options: { readonly yes?: boolean }, question: string): Promise<void> {
  if (options.yes) return;
  if (!terminal.interactive) throw fail('USAGE', { message: 'nobody is there to confirm', hint: 'Add --yes.' });
  const answer = await terminal.ask(`${question} [y/N] `);
  if (answer === undefined || !/^y(es)?$/i.test(answer.trim()))
    throw fail('USAGE', { message: 'not confirmed', hint: 'Nothing was changed.' });
}
