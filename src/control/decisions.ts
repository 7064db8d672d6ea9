/** Every decision taken and not taken, kept when it differs from the one before: what `holdfast why` reads. The newest few hundred are kept. */
import type { StateStore } from '../contracts/state-store.ts';
import type { RegionVerdict } from '../watch/verdict.ts';
import { putRecord } from '../watch/watch-records.ts';
import type { Decision } from './decide.ts';

const prefix = 'decisions/';
const kept = 500;

export interface DecisionRecord extends Decision {
  readonly atMs: number;
  readonly controller: string;
  readonly verdict: RegionVerdict;
  /** The execution it led to. */
  readonly execution?: string;
}

/** What makes two decisions the same for people: whether it acts, what blocks it, what each controller says. */
export function decisionShape(decision: Decision, verdict: RegionVerdict): string {
  return JSON.stringify([
    decision.act,
    decision.blocks.map((block) => block.code),
    verdict.region,
    verdict.state,
    verdict.votes.map((vote) => [vote.controller, vote.says]),
  ]);
}

export async function recordDecision(store: StateStore, record: DecisionRecord): Promise<void> {
  const all = await store.range(prefix);
  const tooMany = all
    .slice(0, Math.max(0, all.length + 1 - kept))
    .map((entry) => ({ kind: 'delete' as const, key: entry.key, expected: 'any' as const }));
  await store.commit([...tooMany, putRecord(`${prefix}${String(Math.round(record.atMs)).padStart(15, '0')}-${record.controller}`, record)]);
}

/** Newest first. */
export async function readDecisions(store: StateStore, limit: number): Promise<readonly DecisionRecord[]> {
  const entries = await store.range(prefix, { reverse: true, limit });
  return entries.map((entry) => entry.value as unknown as DecisionRecord);
}
