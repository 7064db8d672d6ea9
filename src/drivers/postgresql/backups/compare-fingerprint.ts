/** Takes a backup's fingerprint again in a running copy and says, table by table, whether it is the same (P4). */
import type { CheckResult, Fingerprint, FingerprintEntry } from '../../../contracts/backup.ts';
import type { RunningCopyRequest } from './copy-request.ts';
import { parseSample } from './fingerprint-plan.ts';
import { type FingerprintTable, readTables } from './fingerprint-tables.ts';
import { SqlSession } from './sql-session.ts';
import { countTable, digestSettings, digestTable } from './table-digest.ts';

export async function compareFingerprint(
  request: RunningCopyRequest,
  expected: Fingerprint,
  key: Uint8Array,
): Promise<readonly CheckResult[]> {
  const place = judgePlace(request, expected);
  if (!place.ok) return [place];
  const sessions = new Map<string, SqlSession>();
  try {
    const tables = await enterAll(request, sessions);
    const results: CheckResult[] = [place];
    for (const entry of expected.entries) results.push(await compareEntry(entry, tables.get(entry.name), sessions, key));
    return results;
  } finally {
    for (const session of sessions.values()) session.close();
  }
}

/** A copy of another moment may differ and be right, or be the same and be wrong. */
function judgePlace({ target, reached, details }: RunningCopyRequest, { position }: Fingerprint): CheckResult {
  const name = 'it is where its fingerprint was taken';
  if (details.logical) return { name, level: 'P4', ok: true, detail: 'a dump holds the snapshot that its fingerprint was taken in' };
  if (!position) return { name, level: 'P4', ok: false, detail: 'the fingerprint does not say at which place of the log it was taken' };
  const aimed = target.kind === 'position' ? target.text === position.text : reached.position?.offset === position.offset;
  const there = aimed && position.history === details.systemIdentifier;
  return {
    name,
    level: 'P4',
    ok: there,
    detail: there ? `${position.text}: ${reached.detail}` : `it was taken at ${position.text}; the copy ${reached.detail}`,
  };
}

async function enterAll(
  { address, context, details, session }: RunningCopyRequest,
  sessions: Map<string, SqlSession>,
): Promise<ReadonlyMap<string, FingerprintTable>> {
  const rows = await session.query('SELECT datname AS name FROM pg_database WHERE datallowconn AND NOT datistemplate');
  const tables = new Map<string, FingerprintTable>();
  for (const row of rows) {
    const database = String(row['name']);
    const entered = await SqlSession.open(context.host, { ...address, database }, context.signal);
    sessions.set(database, entered);
    await entered.query(digestSettings);
    for (const table of (await readTables(entered, database, details.database)).tables) tables.set(table.name, table);
  }
  return tables;
}

async function compareEntry(
  expected: FingerprintEntry,
  table: FingerprintTable | undefined,
  sessions: ReadonlyMap<string, SqlSession>,
  key: Uint8Array,
): Promise<CheckResult> {
  const name = `${expected.name} equals its fingerprint`;
  const result = (ok: boolean, detail: string): CheckResult => ({ name, level: 'P4', ok, detail });
  const session = table && sessions.get(table.database);
  if (!table || !session) return result(false, 'there is no such table in the copy');
  const stripes = expected.sample === undefined ? undefined : parseSample(expected.sample);
  if (expected.sample !== undefined && stripes === undefined) return result(false, `the sample "${expected.sample}" can not be read`);
  try {
    const { count, digest } =
      expected.digest === undefined
        ? { ...(await countTable(session, table)), digest: undefined }
        : await digestTable(session, { ...table, stripes }, key);
    const part = expected.sample === undefined ? '' : ` in ${expected.sample}`;
    if (count !== expected.count) return result(false, `${count} rows instead of ${expected.count}${part}`);
    if (digest !== expected.digest) return result(false, `${count} rows${part}, and their content is another one`);
    return result(true, `${count} rows${part}${digest === undefined ? ', only counted' : ''}`);
  } catch (error) {
    return result(false, `it can not be read: ${(error as Error).message}`);
  }
}
