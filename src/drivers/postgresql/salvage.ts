/**
 * Keeps aside what a former primary acknowledged and the survivor never got: the diverging part of its log, and the rows that its transactions wrote, one per line.
 *
 * Invariant: the former primary's data is only read; it is started as a barred standby that nobody but its own system user reaches, and never takes a write. The report is
 * written last, so a report that is there is whole. When the process dies before, the next run starts over in the same directory.
 */
import { asHoldfastError, fail } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import type { Inspection, SalvageReport, StepContext, Verb } from '../../contracts/verbs.ts';
import type { Access } from './access.ts';
import { awaitUpstream } from './await-upstream.ts';
import { formatLsn, type Lsn, parseLsn, parseTimelineHistory, positionAt } from './lsn.ts';
import type { ClusterState } from './ports.ts';

const salvageTimeoutMs = 6 * 3_600_000;

export function salvageVerb(access: Access): Verb {
  return {
    inspect: (want, context) => inspectSalvage(access, want, context),
    apply: (want, context) => salvage(access, want, context),
  };
}

function parseWant(want: JsonObject): { survivor: string; into: string } {
  const { survivor, into } = want;
  if (typeof survivor !== 'string' || typeof into !== 'string' || !into.startsWith('/')) {
    throw fail('BUG_BROKEN_BELIEF', { message: `salvage needs a survivor and an absolute directory, not ${JSON.stringify(want)}` });
  }
  return { survivor, into };
}

async function inspectSalvage(access: Access, want: JsonObject, context: StepContext): Promise<Inspection> {
  const { into } = parseWant(want);
  const text = await access.requireMachine().readSalvageReport(into, access.limit(context.signal));
  if (text === undefined) return { state: 'absent', why: `there is no report in ${into}` };
  const report = JSON.parse(text) as { executionId: string; output: SalvageReport };
  // Another execution's report tells of another divergence.
  if (report.executionId !== context.executionId) return { state: 'absent', why: `the report in ${into} is of ${report.executionId}` };
  return { state: 'done', output: report.output };
}

async function salvage(access: Access, want: JsonObject, context: StepContext): Promise<void> {
  const { survivor, into } = parseWant(want);
  const machine = access.requireMachine();
  const limit = access.limit(context.signal, salvageTimeoutMs);
  const state = await machine.readState(limit);
  const fork = await forkOf(access, survivor, state, context);
  let output: SalvageReport;
  if (fork === undefined) {
    output = { diverged: false, files: [], detail: `${survivor} is on the same timeline and has not left it` };
  } else {
    if (state.processes > 0) await stopBarred(access, context, state);
    const { user, database } = access.address();
    const request = { timeline: state.timeline, forkLsn: fork, into, user, database };
    context.progress(`reading the log from ${fork}`);
    const found = await machine.salvage(request, limit);
    output = {
      diverged: found.diverged,
      ...(found.diverged
        ? {
            from: positionAt(state.systemIdentifier, state.timeline, parseLsn(fork)),
            to: positionAt(state.systemIdentifier, state.timeline, parseLsn(found.endLsn)),
            writes: found.writes,
          }
        : {}),
      files: found.files,
      detail: detailOf(found),
    };
  }
  const report = { executionId: context.executionId, component: access.context.component, region: access.region, survivor, output };
  await machine.writeSalvageReport(into, `${JSON.stringify(report, null, 2)}\n`, limit);
}

function detailOf(found: {
  diverged: boolean;
  transactions: number;
  writes: number;
  updates: number;
  deletes: number;
  notes: readonly string[];
}): string {
  if (!found.diverged) return 'the former primary has nothing that the survivor lacks';
  const counts = `${found.transactions} transactions that the survivor lacks; ${found.writes} rows written by them kept (${found.updates} updates and ${found.deletes} deletes among the changes)`;
  return [counts, ...found.notes].join('; ');
}

/** It may have come back as a barred standby. A running primary is nobody's former primary yet. */
async function stopBarred(access: Access, context: StepContext, state: ClusterState): Promise<void> {
  const machine = access.requireMachine();
  if (!state.barred) {
    throw fail('SYSTEM_WRONG_ROLE', { subject: access.subject, message: `${access.subject} still runs and is not barred: fence it first` });
  }
  try {
    await machine.stop('orderly', access.limit(context.signal, 60_000));
  } catch (thrown) {
    context.signal.throwIfAborted();
    context.log.warn('salvage.orderly-stop-failed', { region: access.region, error: asHoldfastError(thrown).message });
    await machine.stop('now', access.limit(context.signal, 60_000));
  }
}

/** Where the survivor left the former primary's timeline; undefined when it is still on it. */
async function forkOf(access: Access, survivor: string, state: ClusterState, context: StepContext): Promise<string | undefined> {
  const { status, history } = await awaitUpstream(access, survivor, context, async (connection, limit) => {
    const seen = await connection.readStatus(limit);
    return { status: seen, history: await connection.readTimelineHistory(seen.timeline, limit) };
  });
  if (status.systemIdentifier !== state.systemIdentifier) {
    throw fail('SYSTEM_WRONG_IDENTITY', {
      subject: access.subject,
      message: `${survivor} is system ${status.systemIdentifier}, the former primary is ${state.systemIdentifier}`,
    });
  }
  const theirs = parseTimelineHistory(history);
  const parted = whereParted(state, theirs);
  if (parted !== undefined) return formatLsn(parted);
  if (status.timeline === state.timeline) return undefined;
  const fork = theirs.get(state.timeline);
  if (fork === undefined) {
    throw fail('SYSTEM_WRONG_IDENTITY', {
      subject: access.subject,
      message: `timeline ${state.timeline} of the former primary is no ancestor of ${survivor}'s timeline ${status.timeline}`,
    });
  }
  return formatLsn(fork);
}

/** Two servers that were promoted apart from each other are on timelines of one number: they parted where the first of them left the one that they had in common. */
function whereParted(state: ClusterState, theirs: ReadonlyMap<number, Lsn>): Lsn | undefined {
  if (state.timelineHistory === undefined) return undefined;
  const own = parseTimelineHistory(state.timelineHistory);
  for (const [timeline, place] of [...own].sort(([one], [other]) => one - other)) {
    const their = theirs.get(timeline);
    if (their !== undefined && their < place) return their;
    if (their !== undefined && their > place) return place;
  }
  return undefined;
}
