/**
 * P5: whether a copy came to the point that it should have come to. Pure.
 *
 * A hole in a log looks to many systems like its end: they start, report success, and are far behind. So "it started" says nothing here; what counts is the position, the instant
 * and the canary of the copy against what is known from elsewhere.
 */
import { formatDuration } from '../base/durations.ts';
import { formatInstant } from '../base/instants.ts';
import type { BackupFacts, CheckResult } from '../contracts/backup.ts';
import type { CanaryRow } from '../contracts/canary.ts';
import { type Position, positionDistance } from '../contracts/observation.ts';
import { failed, passed } from './proof-ladder.ts';
import type { ProofTarget } from './proof-targets.ts';

export interface ReachInput {
  readonly facts: BackupFacts;
  readonly target: ProofTarget;
  readonly reached: { readonly position?: Position; readonly atMs?: number; readonly detail: string };
  readonly canary: CanaryRow | undefined;
  readonly elapsedMs: number;
  readonly rtoMs?: number;
}

/** The instant that the copy was brought to on purpose. */
export function wantedInstantMs({ facts, target }: Pick<ReachInput, 'facts' | 'target'>): number {
  if (target.target.kind === 'time') return target.target.atMs;
  return target.expected?.atMs ?? facts.consistentAtMs;
}

function comparePosition(name: string, wanted: Position, reached: Position | undefined): CheckResult {
  if (!reached) return failed(name, 'P5', `the copy does not tell its position; ${wanted.text} was wanted`);
  const distance = positionDistance(wanted, reached);
  if (distance === undefined) return failed(name, 'P5', `the copy is of another history (${reached.history}) than ${wanted.history}`);
  if (distance < 0n) return failed(name, 'P5', `the copy ended at ${reached.text}, before ${wanted.text}`);
  return passed(name, 'P5', `the copy reached ${reached.text}; ${wanted.text} was wanted`);
}

function judgePoint({ facts, target, reached }: ReachInput): CheckResult[] {
  const found: CheckResult[] = [];
  const floor = facts.position as Position | undefined;
  if (floor) found.push(comparePosition('it holds at least the backup itself', floor, reached.position));
  if (target.expected?.position) found.push(comparePosition('it reached the wanted position', target.expected.position, reached.position));
  if (target.target.kind === 'time') {
    const { atMs } = target.target;
    if (reached.atMs !== undefined && reached.atMs > atMs)
      found.push(
        failed(
          'it did not go past the wanted instant',
          'P5',
          `it holds something from ${formatInstant(reached.atMs)}, after ${formatInstant(atMs)}`,
        ),
      );
  }
  const leastMs = target.expected?.atMs ?? facts.consistentAtMs;
  const name = 'it reached the wanted instant';
  if (reached.atMs !== undefined && reached.atMs < leastMs) {
    // The newest write of an idle system is older than any instant: its position tells then, and there has to be one.
    const told = found.some(({ ok }) => ok) && !found.some(({ ok }) => !ok);
    const detail = `its newest write is from ${formatInstant(reached.atMs)}; ${formatInstant(leastMs)} was wanted`;
    found.push(
      told ? passed(name, 'P5', `${detail}; its position is right, so nothing was committed in between`) : failed(name, 'P5', detail),
    );
  } else if (reached.atMs !== undefined) found.push(passed(name, 'P5', `its newest write is from ${formatInstant(reached.atMs)}`));
  else if (found.length === 0)
    found.push(failed(name, 'P5', `the copy tells neither its position nor the instant of its newest write: ${reached.detail}`));
  return found;
}

function judgeCanary(input: ReachInput): CheckResult[] {
  const { facts, target, canary } = input;
  const least = target.expected?.canary ?? facts.canary;
  const name = 'its canary is there';
  if (!least) return [];
  if (!canary) return [failed(name, 'P5', `the copy holds no canary row; number ${least.number} was acknowledged before`)];
  if (canary.number < least.number)
    return [
      failed(
        name,
        'P5',
        `the newest canary row is number ${canary.number}; ${least.number} was acknowledged before: ${least.number - canary.number} are lost`,
      ),
    ];
  const gapMs = wantedInstantMs(input) - canary.atMs;
  const maxMs = target.expected?.canaryGapMaxMs;
  if (maxMs !== undefined && gapMs > maxMs)
    return [
      failed(
        name,
        'P5',
        `the newest canary row is ${formatDuration(gapMs)} older than the wanted instant; ${formatDuration(maxMs)} is the most`,
      ),
    ];
  if (target.target.kind === 'time' && canary.atMs > target.target.atMs)
    return [
      failed(name, 'P5', `it holds the canary row of ${formatInstant(canary.atMs)}, after the wanted ${formatInstant(target.target.atMs)}`),
    ];
  return [passed(name, 'P5', `number ${canary.number}, ${formatDuration(Math.max(0, gapMs))} before the wanted instant`)];
}

export function judgeReach(input: ReachInput): readonly CheckResult[] {
  const found = [...judgePoint(input), ...judgeCanary(input)];
  const { rtoMs, elapsedMs } = input;
  if (rtoMs !== undefined) {
    const detail = `restored and started in ${formatDuration(elapsedMs)}; the objective is ${formatDuration(rtoMs)}`;
    found.push(elapsedMs <= rtoMs ? passed('it was in time', 'P5', detail) : failed('it was in time', 'P5', detail));
  }
  return found;
}
