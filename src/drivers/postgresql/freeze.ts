/**
 * Freeze: clients are sent away and new sessions are read-only, so that the standby can catch up before the switch. Thaw undoes it, and with it a fence by hands, as long
 * as nobody else took over.
 *
 * Freezing is advisory: a client can ask for a read-write transaction all the same. What makes a switchover sound is the fence after it, an orderly stop that sends all of
 * the log to the standbys. Thaw never brings up a primary unless every other site of the component was just seen to be a standby under no higher epoch.
 */
import { asHoldfastError, fail } from '../../base/errors.ts';
import type { Inspection, StepContext, Verb } from '../../contracts/verbs.ts';
import type { Access } from './access.ts';
import { parseLsn, positionAt } from './lsn.ts';
import { proveNobodyTookOver } from './nobody-took-over.ts';
import type { ServerStatus } from './ports.ts';
import { inspectReturn, returnByLease } from './return-by-lease.ts';

const pollMs = 10;
const reloadTimeoutMs = 5_000;
const startTimeoutMs = 60_000;
const stopTimeoutMs = 60_000;

export function freezeVerb(access: Access): Verb {
  return {
    async inspect(_want, context) {
      const status = await readOwn(access, context);
      if (status.inRecovery)
        throw fail('SYSTEM_WRONG_ROLE', { subject: access.subject, message: `${access.subject} is a standby: it takes no writes anyway` });
      if (status.settings.default_transaction_read_only !== 'on') return { state: 'absent', why: 'sessions may write' };
      return { state: 'done', output: { position: positionAt(status.systemIdentifier, status.timeline, parseLsn(status.lsn)) } };
    },
    async apply(_want, context) {
      const limit = access.limit(context.signal);
      const connection = await access.connection('verb', limit);
      await connection.changeSettings({ default_transaction_read_only: 'on' }, limit);
      await untilReadOnly(access, context);
      // Sessions from before the change keep their own setting: they have to come back.
      const ended = await connection.terminateClients(limit);
      context.progress(`${ended} client sessions ended`);
    },
  };
}

async function readOwn(access: Access, context: StepContext): Promise<ServerStatus> {
  const limit = access.limit(context.signal);
  return access.read('verb', limit, (connection) => connection.readStatus(limit));
}

async function untilReadOnly(access: Access, context: StepContext): Promise<void> {
  const { clock } = access.context.host;
  const startedMs = clock.monotonicMs();
  while ((await readOwn(access, context)).settings.default_transaction_read_only !== 'on') {
    if (clock.monotonicMs() - startedMs > reloadTimeoutMs) {
      throw fail('TIMED_OUT', { subject: access.subject, message: 'default_transaction_read_only did not take effect after a reload' });
    }
    await clock.sleep(pollMs, context.signal);
  }
}

export function thawVerb(access: Access): Verb {
  return {
    inspect: (want, context) => (want.byLease === undefined ? inspectThaw(access, context) : inspectReturn(access, want, context)),
    async apply(want, context) {
      if (want.byLease !== undefined) return await returnByLease(access, want, context);
      const status = await readOwnOrNothing(access, context);
      if (status === undefined || status.inRecovery) await startAsPrimary(access, context, status !== undefined);
      const limit = access.limit(context.signal);
      const connection = await access.connection('verb', limit);
      await connection.changeSettings({ default_transaction_read_only: null }, limit);
    },
  };
}

async function inspectThaw(access: Access, context: StepContext): Promise<Inspection> {
  const status = await readOwnOrNothing(access, context);
  if (status === undefined) return { state: 'absent', why: 'the server does not run' };
  if (status.inRecovery) return { state: 'absent', why: 'the server runs as a standby' };
  if (status.settings.default_transaction_read_only === 'on') return { state: 'absent', why: 'sessions are read-only' };
  return { state: 'done', output: {} };
}

/** Undefined when nothing listens; every other failure is an error, for a server that can't be seen must not be started a second time. */
async function readOwnOrNothing(access: Access, context: StepContext): Promise<ServerStatus | undefined> {
  try {
    return await readOwn(access, context);
  } catch (thrown) {
    const error = asHoldfastError(thrown);
    if (error.details['evidence'] === 'refused') return undefined;
    throw error;
  }
}

async function startAsPrimary(access: Access, context: StepContext, running: boolean): Promise<void> {
  await proveNobodyTookOver(access, context);
  const machine = access.requireMachine();
  if (running) await machine.stop('orderly', access.limit(context.signal, stopTimeoutMs));
  const { barWord } = await machine.readState(access.limit(context.signal));
  await machine.unbar(barWord, access.limit(context.signal));
  await machine.start(access.limit(context.signal, startTimeoutMs));
}
