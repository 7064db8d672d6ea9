/** A proof with `sabotage`: first of the sound copy, then of copies that are damaged on purpose, each of which must fail. What came of them is kept as the step's note. */

import type { ProofRequest } from '../../backups/proof.ts';
import { type ControlOutcome, computeCatchRate, type Damage, generalDamages, runControls } from '../../backups/sabotage.ts';
import { fail } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import type { Inspection, StepContext } from '../../contracts/verbs.ts';
import type { OpenedRepository } from '../backups/backup-parts.ts';

/** `some`: one of each place where damage strikes, drawn by chance · `all` · or the name of one. */
export function chooseDamages(wanted: string, chance: () => number): readonly Damage[] {
  if (wanted === 'all') return generalDamages;
  if (wanted === 'some') {
    const byPlace = Map.groupBy(generalDamages, ({ strikes }) => strikes);
    return [...byPlace.values()].map((some) => some[Math.floor(chance() * some.length)] as Damage);
  }
  const named = generalDamages.filter(({ name }) => name === wanted);
  if (named.length > 0) return named;
  throw fail('USAGE', {
    subject: wanted,
    message: `there is no damage "${wanted}"`,
    hint: `There are: some, all, ${generalDamages.map(({ name }) => name).join(', ')}.`,
  });
}

export async function runNegativeControls(
  request: ProofRequest,
  store: OpenedRepository['store'],
  wanted: string,
  chance: () => number,
  context: StepContext,
): Promise<void> {
  const outcomes = await runControls({ ...request, chance, ...(store ? { store } : {}) }, chooseDamages(wanted, chance));
  const { tried, caught } = computeCatchRate(outcomes);
  await context.keepNote({
    backupId: request.entry.backup.backupId,
    target: request.target as unknown as JsonObject,
    sabotage: { tried, caught, controls: outcomes.map(summaryOf) },
  });
}

function summaryOf({ damage, strikes, result, caughtAt, caughtBy, detail }: ControlOutcome): JsonObject {
  return {
    damage,
    strikes,
    result,
    detail,
    ...(caughtAt === undefined ? {} : { caughtAt }),
    ...(caughtBy === undefined ? {} : { caughtBy }),
  };
}

export function inspectControls(context: StepContext, component: string): Inspection {
  const note = context.note as { readonly backupId?: string; readonly sabotage?: JsonObject } | undefined;
  const found = note?.sabotage;
  if (found === undefined) return { state: 'absent', why: 'nothing was damaged yet' };
  const controls = found.controls as readonly JsonObject[];
  const missed = controls.filter(({ result }) => result === 'missed').map(({ damage }) => String(damage));
  if (missed.length > 0)
    throw fail('PROOF_FAILED', {
      subject: component,
      message: `copies of ${component} were damaged on purpose, and their proofs passed all the same: ${missed.join(', ')}`,
      hint: 'The proofs of this component are not to be trusted until they catch it: prove at a higher level, or add checks of your own.',
      details: { controls },
    });
  if (found.tried === 0)
    throw fail('PROOF_FAILED', {
      subject: component,
      message: 'there was nothing that could be damaged, so nothing was shown',
      hint: 'Name another damage, or prove at a higher level.',
      details: { controls },
    });
  return { state: 'done', output: { backupId: String(note?.backupId), ...found } };
}
