/**
 * The process that is killed: takes backups of a directory of random files, archives a log, restores and proves, prunes, for ever, in an order drawn from its seed. Says on its output what it
 * begins and what it was told is done, one JSON text a line: whoever kills it knows from that what must be there afterwards.
 *
 *   backup-crash-child.ts DIRECTORY SEED [forgetful]
 *
 * `forgetful`: the store says of some pieces that it has them, and does not. Then the checks must find broken backups.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { applyRetention } from '../../src/backups/prune.ts';
import type { Repository } from '../../src/backups/repository.ts';
import { computeRetention } from '../../src/backups/retention.ts';
import type { RetentionPolicy } from '../../src/backups/retention-policy.ts';
import type { RepositoryBackend } from '../../src/contracts/repository-backend.ts';
import { seededRandom } from '../fakes/host.ts';
import {
  changeFiles,
  component,
  crashPlace,
  openOrCreate,
  restoredDigest,
  segmentBytes,
  segmentName,
  takeBackup,
} from './backup-crash-steps.ts';

const policy: RetentionPolicy = {
  proven: 2,
  timezone: 'UTC',
  provenFrom: 'P1',
  unprovenForMs: 0,
  graceMs: 0,
  deleteShareMax: 1,
  leapMaxMs: Number.MAX_SAFE_INTEGER,
  skewMaxMs: Number.MAX_SAFE_INTEGER,
};

const [directory = '', seedText = '1', mood] = process.argv.slice(2);
const random = seededRandom(Number(seedText));
const never = new AbortController().signal;
const say = (line: object): void => void process.stdout.write(`${JSON.stringify(line)}\n`);
const pick = (count: number) => Math.floor(random.next() * count);

/** Forgets about every third piece. */
function forgetful(backend: RepositoryBackend): RepositoryBackend {
  return new Proxy(backend, {
    get(target, key) {
      const value = Reflect.get(target, key, target) as unknown;
      if (key === 'put')
        return async (name: string, ...rest: [Uint8Array]) =>
          name.includes('/pieces/') && pick(3) === 0 ? 'created' : await target.put(name, ...rest);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

async function take(repository: Repository): Promise<void> {
  await changeFiles(directory, random);
  const backupId = `b-${Date.now()}-${pick(1_000_000)}`;
  say({ begin: 'take', backupId });
  const digest = await takeBackup(repository, directory, backupId);
  say({ done: 'take', backupId, digest });
}

async function archive(repository: Repository, number: number): Promise<void> {
  const name = segmentName(number);
  say({ begin: 'archive', name });
  const log = await repository.openArchive(component, 'history');
  await log.push(name, segmentBytes(number));
  say({ done: 'archive', name });
}

async function prove(repository: Repository): Promise<void> {
  const { entries } = await repository.readCatalogue();
  const entry = entries.filter(({ tombstone }) => tombstone === undefined)[pick(entries.length)] ?? entries.at(-1);
  if (entry === undefined || entry.tombstone !== undefined) return;
  const { backupId, facts } = entry.backup;
  say({ begin: 'prove', backupId });
  const lease = await repository.takeLease({ component, backupId, holder: `child-${process.pid}`, what: 'proof', ttlMs: 60_000 });
  const isRight = (await restoredDigest(repository, backupId, join(directory, 'scratch'))) === facts.more?.digest;
  if (!isRight) say({ wrong: backupId });
  await repository.writeProof({
    proofId: `p-${Date.now()}-${pick(1_000_000)}`,
    component,
    backupId,
    atMs: Date.now(),
    wanted: 'P4',
    reached: isRight ? 'P4' : 'P1',
    ok: isRight,
    target: 'drawn at random',
    checks: [],
    phases: { fetchMs: 0, startMs: 0, checkMs: 0 },
    reachedDetail: 'all files',
    by: 'child',
  });
  await lease.release();
  say({ done: 'prove', backupId });
}

async function prune(repository: Repository): Promise<void> {
  const plan = computeRetention({ catalogue: await repository.readCatalogue(), policyOf: () => policy, nowMs: Date.now() });
  // From here on these may be gone, whatever we come to say of it.
  say({ begin: 'prune', mayGo: [...plan.remove, ...plan.due].map(({ entry }) => entry.backup.backupId) });
  const outcome = await applyRetention({
    repository,
    plan,
    by: 'child',
    clock: crashPlace(directory).host.clock,
    signal: never,
    orphanAgeMs: 3_600_000,
  });
  say({ done: 'prune', removed: outcome.removed });
}

const place = crashPlace(directory);
say({ begin: 'open' });
const repository = await openOrCreate(
  mood === 'forgetful' ? { ...place, backend: forgetful(place.backend) } : place,
  (key) => writeFile(join(directory, 'recovery-key'), key, { mode: 0o600 }),
  join(directory, 'recovery-key'),
);
say({ done: 'open' });
let segment = Date.now();
for (;;) {
  const draw = random.next();
  if (draw < 0.4) await take(repository);
  else if (draw < 0.55) {
    segment += 1;
    await archive(repository, segment);
  } else if (draw < 0.8) await prove(repository);
  else await prune(repository);
}
