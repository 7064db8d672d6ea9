/** Joins requirements and test outcomes. A requirement counts as shown only while no test that claims it fails. */
import { claimedRequirements, type EvidenceKind, judgeTestEvidence } from '../testing/test-evidence.ts';
import type { TestOutcome } from '../testing/test-results.ts';

export interface Requirement {
  readonly id: string;
  readonly promise: string;
  /** What it takes to show it: `real`, `network`, `stand-in`, `logic`; several where there are several halves. */
  readonly wanted: readonly string[];
}

export type CoverageStatus = 'real' | 'standIn' | 'none';

interface Claim {
  readonly file: string;
  readonly name: string;
  readonly state: TestOutcome['state'];
  readonly evidence: EvidenceKind;
}

export interface Coverage {
  readonly total: number;
  readonly real: number;
  readonly standIn: number;
  readonly none: number;
  readonly ids: Readonly<Record<string, { readonly status: CoverageStatus; readonly promise: string; readonly tests: readonly Claim[] }>>;
  /** Ids that tests claim and no requirement has. */
  readonly unknown: readonly string[];
}

const kinds = new Set(['real', 'network', 'stand-in', 'logic']);

/** Reads the rows `| id | promise | evidence |` of the document. Faults in it are errors: a row passed over would be a promise forgotten. */
export function parseRequirements(markdown: string): Requirement[] {
  const found = new Map<string, Requirement>();
  for (const line of markdown.split('\n')) {
    const cells = line.split('|').map((cell) => cell.trim());
    const [, id = '', promise = '', evidence = ''] = cells;
    if (!/^(?:S\d-\d{2}|X-\d{2}|E\d-\d{2})$/.test(id)) continue;
    const wanted = evidence.split(',').map((kind) => kind.trim());
    if (found.has(id)) throw new Error(`${id} stands twice in the requirements`);
    if (promise === '' || cells.length !== 5) throw new Error(`${id}: a row is "| id | promise | evidence |"`);
    const strange = wanted.find((kind) => !kinds.has(kind));
    if (strange !== undefined) throw new Error(`${id}: "${strange}" is no kind of evidence`);
    found.set(id, { id, promise, wanted });
  }
  if (found.size === 0) throw new Error('there is no requirement in the document');
  return [...found.values()];
}

export function computeCoverage(requirements: readonly Requirement[], outcomes: readonly TestOutcome[]): Coverage {
  const claims = new Map<string, Claim[]>();
  // The tools' own tests are about ids, they do not claim them.
  for (const { file, name, state } of outcomes.filter((outcome) => !outcome.file.startsWith('tools/'))) {
    for (const id of claimedRequirements(name)) {
      const known = claims.get(id) ?? [];
      known.push({ file, name, state, evidence: judgeTestEvidence(file, name) });
      claims.set(id, known);
    }
  }
  const rows = requirements.map((requirement) => {
    const tests = claims.get(requirement.id) ?? [];
    return [requirement.id, { status: judge(requirement, tests), promise: requirement.promise, tests }] as const;
  });
  const count = (status: CoverageStatus) => rows.filter(([, row]) => row.status === status).length;
  const known = new Set(requirements.map(({ id }) => id));
  return {
    total: rows.length,
    real: count('real'),
    standIn: count('standIn'),
    none: count('none'),
    ids: Object.fromEntries(rows),
    unknown: [...claims.keys()].filter((id) => !known.has(id)),
  };
}

function judge({ wanted }: Requirement, tests: readonly Claim[]): CoverageStatus {
  if (tests.some(({ state }) => state === 'failed')) return 'none';
  const passed = tests.filter(({ state }) => state === 'passed');
  if (passed.some(({ evidence }) => evidence === 'real')) return 'real';
  // Where the promise is itself logic or a document, a test of the logic is the real thing.
  if (wanted.every((kind) => kind === 'logic') && passed.some(({ evidence }) => evidence === 'logic')) return 'real';
  return passed.length > 0 ? 'standIn' : 'none';
}
