/**
 * Negative controls: a copy is damaged on purpose, and its proof must fail. A prover that has never failed proves nothing.
 *
 * Invariant: nothing real is changed: stored objects are damaged only in the eyes of the prover, and restored copies are its own. A proof over damage is recorded as what it is and
 * never counts for its backup. A damage that could not be done, or that nobody came across, is no control at all and is not counted as one.
 */
import { fail } from '../base/errors.ts';
import type { BackupReader, ProofLevel } from '../contracts/backup.ts';
import type { RepositoryBackend } from '../contracts/repository-backend.ts';
import type { BackupRepository } from './backup-repository.ts';
import { chainOf } from './chain.ts';
import { type ProofRequest, proveBackup, type SabotageMark } from './proof.ts';
import { firstFailure } from './proof-ladder.ts';
import type { ProofRecord } from './records.ts';
import { damageFiles, damageRunning, type FileDamage, fileDamages, type RunningDamage, type StruckCopy } from './sabotage-copy.ts';
import { damageReader, type ReaderDamage, readerDamages } from './sabotage-reader.ts';
import { damageStore, type StoredDamage, storedDamages } from './sabotage-store.ts';

/** Where it strikes: in the store, behind the digests, in the restored files, in the running copy. */
export type Damage =
  | { readonly strikes: 'stored'; readonly name: StoredDamage }
  | { readonly strikes: 'content'; readonly name: ReaderDamage }
  | { readonly strikes: 'restored'; readonly name: FileDamage; readonly spare?: RegExp }
  | { readonly strikes: 'running'; readonly name: string; readonly running: RunningDamage };

/** Those that need to know nothing of the system. */
export const generalDamages: readonly Damage[] = [
  ...storedDamages.map((name) => ({ strikes: 'stored', name }) as const),
  ...readerDamages.map((name) => ({ strikes: 'content', name }) as const),
  ...fileDamages.map((name) => ({ strikes: 'restored', name }) as const),
];

/** By name, or drawn by chance for `random`. NOT_FOUND where there is none of that name. */
export function chooseDamage(wish: string, chance: () => number, from: readonly Damage[] = generalDamages): Damage {
  const chosen = wish === 'random' ? from[Math.floor(chance() * from.length)] : from.find(({ name }) => name === wish);
  if (chosen) return chosen;
  throw fail('NOT_FOUND', {
    subject: wish,
    message: `there is no damage "${wish}"`,
    hint: `There are: random, ${from.map(({ name }) => name).join(', ')}.`,
  });
}

export interface SabotageRequest extends Omit<ProofRequest, 'sabotage'> {
  /** For damage to what is stored: the store, and the same repository opened over another one. */
  readonly store?: { readonly backend: RepositoryBackend; openOver(backend: RepositoryBackend): Promise<BackupRepository> };
  readonly chance: () => number;
}

export interface ControlOutcome {
  readonly damage: string;
  readonly strikes: Damage['strikes'];
  /** `not-done`: there was nothing that it could strike, or it failed: says nothing of the prover. */
  readonly result: 'caught' | 'missed' | 'not-done';
  /** The level of the first check that failed. */
  readonly caughtAt?: ProofLevel;
  readonly caughtBy?: string;
  /** What was struck; for `not-done` why not. */
  readonly detail: string;
  readonly record?: ProofRecord;
}

interface Prepared {
  readonly request: ProofRequest & { readonly sabotage: SabotageMark };
  close?(): Promise<void>;
}

function prepareCopy(request: SabotageRequest, name: string, { damage, detail, struck }: StruckCopy): Prepared {
  return { request: { ...request, sabotage: { name, copy: damage, detail, struck } } };
}

/** Which of the backups that a restore reads is struck: with increments any of them, by chance. */
async function drawLink({ repository, component, entry, chance }: SabotageRequest): Promise<string> {
  const own = entry.backup.backupId;
  if (entry.backup.facts.needs === undefined) return own;
  const ids = chainOf((await repository.readCatalogue(component)).entries, component, own);
  return ids[Math.floor(chance() * ids.length)] ?? own;
}

/** The same backup, but for one of those that it builds on. */
function withLink(reader: BackupReader, link: BackupReader): BackupReader {
  const { openNeeded } = reader;
  if (openNeeded === undefined) return reader;
  return { ...reader, openNeeded: async (id) => (id === link.backupId ? link : withLink(await openNeeded(id), link)) };
}

/** Undefined: nothing there that it could strike. */
async function prepare(request: SabotageRequest, damage: Damage): Promise<Prepared | undefined> {
  const { chance, host, component, entry } = request;
  switch (damage.strikes) {
    case 'stored': {
      const { store } = request;
      if (!store) return undefined;
      const backupId = await drawLink(request);
      const damaged = await damageStore(damage.name, store.backend, { component, backupId }, chance);
      if (!damaged) return undefined;
      const repository = await store.openOver(damaged.backend);
      const sabotage = { name: damage.name, detail: () => damaged.detail, struck: damaged.struck };
      return { request: { ...request, repository, sabotage }, close: () => repository.close() };
    }
    case 'content': {
      const own = await request.repository.openBackup(component, entry.backup.backupId);
      // The log is read through the backup itself, whatever that builds on.
      const link = damage.name === 'lose a log segment' ? own.backupId : await drawLink(request);
      const damaged = await damageReader(
        damage.name,
        link === own.backupId ? own : await request.repository.openBackup(component, link),
        chance,
      );
      if (!damaged) return undefined;
      const { struck, detail } = damaged;
      const reader = link === own.backupId ? damaged.reader : withLink(own, damaged.reader);
      return { request: { ...request, sabotage: { name: damage.name, detail: () => detail, struck, reader } } };
    }
    case 'restored':
      return prepareCopy(request, damage.name, damageFiles(host, damage.name, chance, damage.spare));
    case 'running':
      return prepareCopy(request, damage.name, damageRunning(host, damage.running));
  }
}

/** One control: the proof over a damaged copy. The same proof has to have passed without damage, or its failing shows nothing: that is the caller's to see to. */
export async function proveDamaged(request: SabotageRequest, damage: Damage): Promise<ControlOutcome> {
  const what = { damage: damage.name, strikes: damage.strikes };
  const prepared = await prepare(request, damage);
  if (!prepared) return { ...what, result: 'not-done', detail: 'there is nothing that it could strike' };
  let record: ProofRecord;
  try {
    record = await proveBackup(prepared.request);
  } finally {
    await prepared.close?.();
  }
  if (record.inconclusive !== undefined) return { ...what, result: 'not-done', detail: record.inconclusive, record };
  const detail = prepared.request.sabotage.detail();
  if (record.ok) return { ...what, result: 'missed', detail, record };
  const failure = firstFailure(record.checks);
  return {
    ...what,
    result: 'caught',
    detail,
    record,
    ...(failure ? { caughtAt: failure.level, caughtBy: `${failure.name}: ${failure.detail}` } : {}),
  };
}

/** All of them, one after the other, after the same proof has passed over the sound copy. PROOF_FAILED where it does not: then there is nothing to control. */
export async function runControls(request: SabotageRequest, damages: readonly Damage[]): Promise<readonly ControlOutcome[]> {
  const sound = await proveBackup(request);
  if (!sound.ok) {
    const failure = firstFailure(sound.checks);
    throw fail('PROOF_FAILED', {
      message: `${sound.backupId} does not pass its proof undamaged (it reached ${sound.reached})${failure ? `: ${failure.name}: ${failure.detail}` : ''}`,
      subject: request.component,
    });
  }
  const outcomes: ControlOutcome[] = [];
  for (const damage of damages) {
    request.signal.throwIfAborted();
    request.onProgress(`damaging a copy: ${damage.name}`);
    outcomes.push(await proveDamaged(request, damage));
  }
  return outcomes;
}

export interface CatchRate {
  readonly tried: number;
  readonly caught: number;
  readonly byKind: Readonly<Record<string, { readonly tried: number; readonly caught: number }>>;
}

/** What was not done is not counted: neither as caught nor as tried. */
export function computeCatchRate(outcomes: readonly Pick<ControlOutcome, 'damage' | 'result'>[]): CatchRate {
  const done = outcomes.filter(({ result }) => result !== 'not-done');
  const count = (some: typeof done) => ({ tried: some.length, caught: some.filter(({ result }) => result === 'caught').length });
  const byKind = [...Map.groupBy(done, ({ damage }) => damage)].map(([kind, some]) => [kind, count(some)] as const);
  return { ...count(done), byKind: Object.fromEntries(byKind) };
}
