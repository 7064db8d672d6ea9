/**
 * From single checks to the level that a backup reached. Pure.
 *
 * Levels are cumulative: a level is reached when it was checked, everything of it passed, and so did everything below it. A level about which nothing was shown is not reached.
 */
import { type CheckResult, type ProofLevel, proofLevels } from '../contracts/backup.ts';

export function computeReached(checks: readonly CheckResult[]): ProofLevel | 'none' {
  let reached: ProofLevel | 'none' = 'none';
  for (const level of proofLevels) {
    const own = checks.filter((check) => check.level === level);
    if (own.length === 0 || own.some(({ ok }) => !ok)) return reached;
    reached = level;
  }
  return reached;
}

export function isAtLeast(level: ProofLevel | 'none', wanted: ProofLevel): boolean {
  return level !== 'none' && proofLevels.indexOf(level) >= proofLevels.indexOf(wanted);
}

export function passed(name: string, level: ProofLevel, detail: string): CheckResult {
  return { name, level, ok: true, detail };
}

export function failed(name: string, level: ProofLevel, detail: string): CheckResult {
  return { name, level, ok: false, detail };
}

/** The first thing that went wrong, for one line on a screen. */
export function firstFailure(checks: readonly CheckResult[]): CheckResult | undefined {
  return proofLevels.flatMap((level) => checks.filter((check) => check.level === level && !check.ok))[0];
}
