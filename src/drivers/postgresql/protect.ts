/**
 * On the primary: the standbys stream and, in synchronous mode, an acknowledged write is on one of them.
 *
 * Invariant: a standby that does not stream is never named in synchronous_standby_names, for all writes would wait for it. A crash between leaves the list as it was
 * before or as it is wanted.
 */
import { fail } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import type { Inspection, StepContext, Verb } from '../../contracts/verbs.ts';
import type { Access } from './access.ts';
import type { ServerStatus, StandbyRow } from './ports.ts';
import { formatStandbyNames } from './synchronous.ts';

interface Wanted {
  readonly regions: readonly string[];
  readonly mode: 'synchronous' | 'asynchronous';
}

export function protectVerb(access: Access): Verb {
  return {
    inspect: (want, context) => inspectProtection(access, parseWant(want), context),
    apply: (want, context) => protect(access, parseWant(want), context),
  };
}

function parseWant(want: JsonObject): Wanted {
  const { standbys, mode } = want;
  if (!Array.isArray(standbys) || (mode !== 'synchronous' && mode !== 'asynchronous')) {
    throw fail('BUG_BROKEN_BELIEF', { message: `protect needs standbys and a mode, not ${JSON.stringify(want)}` });
  }
  return { regions: standbys.map(String), mode };
}

function wantedNames(access: Access, { regions, mode }: Wanted): string {
  return mode === 'synchronous' ? formatStandbyNames(regions.map((region) => access.member(region))) : '';
}

async function readPrimary(access: Access, context: StepContext): Promise<ServerStatus> {
  const limit = access.limit(context.signal);
  const status = await access.read('verb', limit, (connection) => connection.readStatus(limit));
  if (status.inRecovery)
    throw fail('SYSTEM_WRONG_ROLE', {
      subject: access.subject,
      message: `${access.subject} is a standby: only a primary can be protected`,
    });
  return status;
}

function rowsOf(access: Access, status: ServerStatus, { regions }: Wanted): { missing: string[]; rows: Map<string, StandbyRow> } {
  const rows = new Map<string, StandbyRow>();
  for (const region of regions) {
    const row = status.standbys.find((standby) => standby.member === access.member(region) && standby.state === 'streaming');
    if (row) rows.set(region, row);
  }
  return { missing: regions.filter((region) => !rows.has(region)), rows };
}

async function inspectProtection(access: Access, wanted: Wanted, context: StepContext): Promise<Inspection> {
  const status = await readPrimary(access, context);
  const { missing, rows } = rowsOf(access, status, wanted);
  const set = (status.settings.synchronous_standby_names ?? '') === wantedNames(access, wanted);
  if (missing.length > 0) {
    // Taking names away needs nobody's presence; adding them does.
    const why = `${missing.map((region) => access.member(region)).join(', ')} does not stream`;
    return !set && wanted.mode === 'asynchronous' ? { state: 'absent', why } : { state: 'pending', why };
  }
  if (!set) return { state: 'absent', why: `synchronous_standby_names is "${status.settings.synchronous_standby_names}"` };
  const inSync = [...rows].filter(([, row]) => row.syncState === 'sync' || row.syncState === 'quorum').map(([region]) => region);
  if (wanted.mode === 'synchronous' && inSync.length === 0) return { state: 'pending', why: 'the list is set, no standby is in sync yet' };
  return { state: 'done', output: { inSync } };
}

async function protect(access: Access, wanted: Wanted, context: StepContext): Promise<void> {
  const { missing } = rowsOf(access, await readPrimary(access, context), wanted);
  if (missing.length > 0 && wanted.mode === 'synchronous') {
    throw fail('SYSTEM_UNREACHABLE', {
      subject: access.subject,
      message: `${missing.map((region) => access.member(region)).join(', ')} stopped streaming: naming it now would hold up all writes`,
    });
  }
  const limit = access.limit(context.signal);
  const connection = await access.connection('verb', limit);
  await connection.changeSettings({ synchronous_standby_names: wantedNames(access, wanted) }, limit);
}
