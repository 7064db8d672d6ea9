/**
 * Which backup is proven, and up to which point it is recovered. Chosen by chance among the newest, the oldest kept and an instant in between: a drill that always takes the newest
 * says nothing of the others. The draw is recorded, so that it can be made again. Pure, apart from the chance that is handed in.
 */
import { formatInstant } from '../base/instants.ts';
import type { RecoveryTarget } from '../contracts/backup.ts';
import type { CanaryRow } from '../contracts/canary.ts';
import type { Position } from '../contracts/observation.ts';
import type { CatalogueEntry } from './records.ts';
import type { RecoveryWindow } from './recovery-points.ts';
import { inOrder } from './retention-groups.ts';

/** What the copy must have reached at the least, as far as somebody else knows it. */
export interface ExpectedReach {
  readonly atMs?: number;
  readonly position?: Position;
  /** A row that had been acknowledged before the point. */
  readonly canary?: CanaryRow;
  /** How old the newest canary row may be at the point. */
  readonly canaryGapMaxMs?: number;
}

export interface ProofTarget {
  readonly target: RecoveryTarget;
  /** For people: `newest`, `oldest kept`, `2026-11-20T10:00:00.000Z, drawn at random`. */
  readonly text: string;
  readonly drawn?: string;
  readonly expected?: ExpectedReach;
}

export interface DrawnProof {
  readonly entry: CatalogueEntry;
  readonly target: ProofTarget;
}

/** The last moments of a log may not have been recorded whole: an instant is drawn before them. */
const endMarginMs = 60_000;
/** Where no canary is written, the end of a log may be long after the last commit (a checkpoint writes to it too), and no recovery can stop at an instant that nothing follows. */
const idleMarginMs = 10 * 60_000;

export interface DrawInput {
  /** Of one component and one `what`, without those under a tombstone; in any order: the instant that they come back to decides. */
  readonly entries: readonly CatalogueEntry[];
  readonly windows: readonly RecoveryWindow[];
  readonly chance: () => number;
}

function lastInstantMs({ toMs, backups }: RecoveryWindow, entries: readonly CatalogueEntry[]): number {
  const ids = new Set(backups.map(({ backupId }) => backupId));
  const beats = entries.some(({ backup }) => ids.has(backup.backupId) && backup.facts.canary !== undefined);
  return toMs - (beats ? endMarginMs : idleMarginMs);
}

interface Choice {
  readonly name: string;
  draw(): DrawnProof;
}

function newestOf(entry: CatalogueEntry, windows: readonly RecoveryWindow[]): ProofTarget {
  const window = windows.find(({ backups }) => backups.some(({ backupId }) => backupId === entry.backup.backupId));
  if (entry.backup.facts.archive === undefined || window?.endsAt !== 'newest of the log')
    return { target: { kind: 'consistent' }, text: 'newest' };
  return { target: { kind: 'newest' }, text: 'newest, to the end of the log', expected: { atMs: window.toMs - endMarginMs } };
}

/** An instant of the windows, each as likely as it is long, and the backup that it is reached from. */
function instantIn(input: DrawInput, usable: readonly RecoveryWindow[], draw: number): DrawnProof {
  const lengths = usable.map((window) => lastInstantMs(window, input.entries) - window.fromMs);
  let rest = Math.floor(draw * lengths.reduce((sum, length) => sum + length, 0));
  let index = 0;
  while (index < usable.length - 1 && rest >= (lengths[index] as number)) {
    rest -= lengths[index] as number;
    index += 1;
  }
  const window = usable[index] as RecoveryWindow;
  const atMs = window.fromMs + rest;
  const from = window.backups.findLast((backup) => backup.atMs <= atMs) ?? window.backups[0];
  const entry = input.entries.find(({ backup }) => backup.backupId === from?.backupId) ?? (input.entries.at(-1) as CatalogueEntry);
  return { entry, target: { target: { kind: 'time', atMs }, text: `${formatInstant(atMs)}, drawn at random` } };
}

/** Undefined where there is nothing to prove. */
export function drawProof(input: DrawInput): DrawnProof | undefined {
  const { chance } = input;
  const entries = inOrder(input.entries);
  const newest = entries.at(-1);
  const oldest = entries[0];
  if (!newest || !oldest) return undefined;
  const known = new Set(entries.map(({ backup }) => backup.backupId));
  const usable = input.windows.filter(
    (window) => lastInstantMs(window, entries) > window.fromMs && window.backups.some(({ backupId }) => known.has(backupId)),
  );
  const choices: Choice[] = [{ name: 'newest', draw: () => ({ entry: newest, target: newestOf(newest, input.windows) }) }];
  if (oldest !== newest)
    choices.push({ name: 'oldest kept', draw: () => ({ entry: oldest, target: { target: { kind: 'consistent' }, text: 'oldest kept' } }) });
  let second: number | undefined;
  if (usable.length > 0)
    choices.push({
      name: 'an instant',
      draw: () => {
        second = chance();
        return instantIn({ ...input, entries }, usable, second);
      },
    });
  const first = chance();
  const choice = choices[Math.min(choices.length - 1, Math.floor(first * choices.length))] as Choice;
  const made = choice.draw();
  const numbers = [first, ...(second === undefined ? [] : [second])].map((number) => number.toFixed(6)).join(', ');
  const drawn = `${choice.name}, of ${choices.map(({ name }) => name).join(' / ')}, by ${numbers}`;
  return { ...made, target: { ...made.target, drawn } };
}
