/**
 * What a passing test is evidence of. The place of its file decides, and inside conformance suites the mark that the harness of a fake carries in its name.
 */

/** How far a test's word reaches: the real system, something that plays its part, or our own logic. */
export type EvidenceKind = 'real' | 'stand-in' | 'logic';

/** In the name of every test that runs on a fake or a stand-in: `Redis (fake)`, `http-service, simulated`. */
const fakeMark = /\((?:fake|stand-in|simulated)\)|, simulated\b(?! and\b)/;
const realMark = /\(real\)|, real\b/;
/** Names without the mark of a real system. */
export const notMarkedReal = /^(?!.*(?:\(real\)|, real\b))/;

/** `file` is relative to the repository; `name` is the full name, suites included. */
export function judgeTestEvidence(file: string, name: string): EvidenceKind {
  if (fakeMark.test(name)) return 'stand-in';
  if (realMark.test(name)) return 'real';
  if (/^test\/(?:conformance|systems|end-to-end)\//.test(file)) return 'real';
  return 'logic';
}

const requirementId = /\b(?:S\d-\d{2}|X-\d{2}|E\d-\d{2})\b/g;

/** The requirement ids that a test's name claims in square brackets: `[S5-22] promotes`, `[S5-22, X-01] ...`. */
export function claimedRequirements(name: string): string[] {
  const ids = new Set<string>();
  for (const [, inside] of name.matchAll(/\[([^\]]+)\]/g)) {
    for (const [id] of (inside ?? '').matchAll(requirementId)) ids.add(id);
  }
  return [...ids];
}
