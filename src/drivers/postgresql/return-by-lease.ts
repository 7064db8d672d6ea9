/**
 * thaw {byLease}: a server that was fenced because the lease of its region ran out serves again under a lease that is held anew. Every other site is asked all the same: while the state was
 * away for everybody, a person may have promoted one of them without it.
 *
 * A fence at the end of a lease puts a bar with a word of chance, and each later one puts another word. The bar is lifted only while it says what was read while the lease was held: a
 * process that stood still in between, and whose region was fenced meanwhile, lifts nothing. A bar without a word was put by an execution, and is lifted only where a person told to
 * (`told`): it is given a word first.
 * Invariant: between the reading of the word and the lifting a note is kept, which is refused when the lease may be over. A server that was stopped by somebody else, without a bar, is
 * left alone. When the process dies: barred, or started as it was before the fence.
 */
import { asHoldfastError } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import type { Inspection, StepContext } from '../../contracts/verbs.ts';
import type { Access } from './access.ts';
import { proveNobodyTookOver } from './nobody-took-over.ts';

const wordBytes = 8;
const startTimeoutMs = 60_000;
const stopTimeoutMs = 10_000;

export function newBarWord({ context }: Access): string {
  return `lease ${Buffer.from(context.host.random.bytes(wordBytes)).toString('hex')}`;
}

export async function inspectReturn(access: Access, want: JsonObject, context: StepContext): Promise<Inspection> {
  if ((await readRole(access, context)) === 'primary') return { state: 'done', output: {} };
  const state = await access.requireMachine().readState(access.limit(context.signal));
  if (!state.barred) return { state: 'unknown', why: 'it was stopped by somebody who put no bar: whoever did that starts it' };
  if (state.rewinding) return { state: 'unknown', why: 'a rewind of it was begun: holdfast reprotect ends it' };
  if (state.barWord === '' && want.told !== true)
    return { state: 'unknown', why: 'it is barred by an execution, not by the end of a lease' };
  return { state: 'absent', why: 'it is barred since the lease of its region ran out' };
}

export async function returnByLease(access: Access, want: JsonObject, context: StepContext): Promise<void> {
  const machine = access.requireMachine();
  const { signal } = context;
  const before = await machine.readState(access.limit(signal));
  await refuseBesideAnother(access, want, context);
  // Brought up by its host meanwhile, as the standby that the bar makes of it.
  if (before.processes > 0) await machine.stop('now', access.limit(signal, stopTimeoutMs));
  let word = before.barWord;
  if (word === '' && want.told === true) {
    word = newBarWord(access);
    await machine.changeBar('', word, access.limit(signal));
  }
  await context.keepNote({ lifting: word });
  signal.throwIfAborted();
  await machine.unbar(word, access.limit(signal));
  await machine.start(access.limit(signal, startTimeoutMs));
}

async function readRole(access: Access, context: StepContext): Promise<'primary' | 'standby' | undefined> {
  const limit = access.limit(context.signal);
  try {
    return (await access.read('verb', limit, (connection) => connection.isInRecovery(limit))) ? 'standby' : 'primary';
  } catch (thrown) {
    const error = asHoldfastError(thrown);
    if (error.details.evidence === 'refused') return undefined;
    throw error;
  }
}

/** One who takes the responsibility may know of a site that can't be asked; of one that is a primary nobody may say that there is none. */
async function refuseBesideAnother(access: Access, want: JsonObject, context: StepContext): Promise<void> {
  try {
    await proveNobodyTookOver(access, context);
  } catch (thrown) {
    const error = asHoldfastError(thrown);
    const isUnknown = error.kind !== 'bug' && error.code !== 'EXECUTION_NOT_ALLOWED' && !context.signal.aborted;
    if (want.told !== true || !isUnknown) throw thrown;
  }
}
