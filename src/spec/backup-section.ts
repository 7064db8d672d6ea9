/**
 * A component's `backup` section: what of it is backed up, when or all the time, where to, what is kept, and how it is proven. Whether the driver can do what is asked for is checked
 * here too.
 */

import { z } from 'zod';
import { nearestWord } from '../base/nearest.ts';
import { withoutUndefined } from '../base/without-undefined.ts';
import { type BackupKind, type ProofLevel, proofLevels } from '../contracts/backup.ts';
import { duration, share } from '../contracts/options.ts';
import { type BackupPurpose, backupPurposes } from './backup-purpose.ts';
import { boundedDuration, dayMs } from './bounded-duration.ts';
import type { FaultCollector } from './fault-collector.ts';
import { type ScheduleSpec, scheduleOf } from './schedule-spec.ts';
import { schedule, timezone } from './schedules.ts';

/** What is kept; the rules add to each other: what any of them keeps is kept. */
export interface KeepSpec {
  /** At least so many proven ones. */
  readonly proven?: number;
  /** Everything younger. */
  readonly forMs?: number;
  readonly hourly?: number;
  readonly daily?: number;
  readonly weekly?: number;
  readonly monthly?: number;
  readonly yearly?: number;
}

export const proofTargets = ['newest', 'oldest', 'random'] as const;
export type ProofTarget = (typeof proofTargets)[number];

export interface ProofCheckSpec {
  /** In the system's own words: an SQL statement. */
  readonly ask: string;
  /** `> 0`, `= 42`, `!= ""`; without a sign: equal. */
  readonly expect: string;
}

export interface ProveSpec {
  readonly schedule: ScheduleSpec;
  readonly level: ProofLevel;
  /** How long restoring and checking may take. */
  readonly withinMs?: number;
  readonly checks: readonly ProofCheckSpec[];
  /** Taken in turn. */
  readonly targets: readonly ProofTarget[];
}

export interface BackupSpec {
  readonly what: string;
  /** Undefined: all the time. */
  readonly schedule?: ScheduleSpec;
  readonly keep?: KeepSpec;
  readonly prove?: ProveSpec;
  /** Name of the repository. */
  readonly to: string;
  /** What it builds on, of the same component in the same repository; undefined: nothing. */
  readonly buildsOn?: readonly string[];
  /** What it is for, where that was said. */
  readonly purposes?: readonly BackupPurpose[];
}

const text = (description: string, example: string) =>
  z
    .string()
    .min(1)
    .meta({ description, examples: [example] });
const count = (description: string, example: number) =>
  z
    .int()
    .min(0)
    .max(100_000)
    .meta({ description, examples: [example] })
    .optional();
const jitter = share('Each run is put off by up to this share of the time between two runs (default 3%)')
  .refine((value) => value <= 0.5, {
    error: 'this is more than half of the time between two runs',
    params: { hint: 'Write a share up to 50%.' },
  })
  .meta({ description: 'Each run is put off by up to this share of the time between two runs (default 3%)', examples: ['3%'] });

const keepSchema = z
  .union([
    duration('Keep for so long').transform((forMs): KeepSpec => ({ forMs })),
    z
      .strictObject({
        proven: count('At least so many proven recovery points', 7),
        days: duration('Everything younger')
          .optional()
          .meta({ description: 'Everything younger', examples: ['30d'] }),
        hourly: count('One for each of so many hours', 24),
        daily: count('One for each of so many days', 30),
        weekly: count('One for each of so many weeks', 12),
        monthly: count('One for each of so many months', 12),
        yearly: count('One for each of so many years', 7),
      })
      .transform(({ days, ...counts }): KeepSpec => withoutUndefined({ ...counts, forMs: days })),
  ])
  .meta({ description: 'What is kept; only proven backups count', examples: ['7d', { proven: 7, daily: 30 }] });

const comparison = /^\s*(?:(>=|<=|!=|=|>|<|matches)\s*)?(\S.*?)?\s*$/;

/** A value without a sign is one that the answer must be equal to. */
const expectation = z
  .union([z.string(), z.number(), z.boolean()])
  .transform((value, context) => {
    const written = String(value);
    const [, sign, operand] = comparison.exec(written) ?? [];
    const ordered = sign === '>' || sign === '<' || sign === '>=' || sign === '<=';
    if (operand === undefined || (ordered && !Number.isFinite(Number(operand))) || (sign === 'matches' && !isPattern(operand))) {
      context.addIssue({
        code: 'custom',
        message: `"${written}" is nothing that an answer can be compared with`,
        params: { hint: 'Write a value, a sign and a number, or a pattern: "> 0", ">= 100", "= ready", "matches /^ok/".' },
      });
      return z.NEVER;
    }
    return `${sign ?? '='} ${operand}`;
  })
  .meta({ description: 'What the first value of the answer must be', examples: ['> 0'] });

function isPattern(operand: string): boolean {
  const inside = /^\/(.+)\/([imsu]*)$/.exec(operand);
  try {
    return inside !== null && new RegExp(inside[1] as string, inside[2]) !== undefined;
  } catch {
    // The constructor throws for what is no pattern: that is the answer.
    return false;
  }
}

const proveSchema = z
  .strictObject({
    every: schedule('When one of them is restored and checked'),
    level: z
      .enum(proofLevels)
      .meta({ description: 'P1 intact · P2 starts · P3 sound · P4 content equals · P5 reached its point in time', examples: ['P4'] })
      .prefault('P4'),
    within: boundedDuration('How long restoring and checking may take', 1_000, 30 * dayMs, ['1h']).optional(),
    checks: z
      .array(z.strictObject({ ask: text("A question in the system's own words", 'SELECT count(*) FROM orders'), expect: expectation }))
      .meta({ description: 'Your own checks of the restored copy' })
      .prefault([]),
    targets: z
      .union([z.enum(proofTargets).transform((one) => [one]), z.array(z.enum(proofTargets)).min(1)])
      .meta({ description: 'Which ones are restored, in turn', examples: [['newest', 'random', 'oldest'], 'newest'] })
      .prefault([...proofTargets]),
    jitter: jitter.optional(),
  })
  .meta({ description: 'How it is proven' });

export const backupSchema = z
  .array(
    z.strictObject({
      what: text('What is backed up, in the words of the driver (default: what it backs up first of all)', 'base').optional(),
      every: schedule('When it is backed up').optional(),
      continuous: z
        .boolean()
        .meta({ description: 'Whether it is backed up all the time', examples: [true] })
        .optional(),
      timezone: timezone('Time zone of the schedules (default UTC)').optional(),
      jitter: jitter.optional(),
      keep: keepSchema.optional(),
      prove: proveSchema.optional(),
      for: z
        .array(z.enum(backupPurposes))
        .min(1)
        .meta({ description: 'Which purposes of "objectives.backups" it serves', examples: [['corruption', 'compliance']] })
        .optional(),
      to: text('Name of the repository (default: the only one)', 'main').optional(),
    }),
  )
  .meta({ description: 'How the component is backed up' });

type Written = z.output<typeof backupSchema>[number];

export interface BackupReading {
  readonly component: string;
  /** As people write the driver's name. */
  readonly system: string;
  /** Undefined: the driver can't back anything up. */
  readonly kinds: readonly BackupKind[] | undefined;
  /** Names of the repositories as written. */
  readonly repositories: readonly string[];
  readonly collector: FaultCollector;
}

/** The section with everything in its place; what is wrong is told to the collector, and left out. */
export function readBackups(written: readonly Written[], reading: BackupReading): readonly BackupSpec[] {
  const { component, collector, kinds, system } = reading;
  const path = ['components', component, 'backup'];
  if (kinds === undefined || kinds.length === 0) {
    collector.add(path, 'key', `${system} has nothing that can be backed up`, `Take "backup" out of ${component}.`);
    return [];
  }
  const read: BackupSpec[] = [];
  for (const [index, entry] of written.entries()) {
    const one = readOne(entry, [...path, index], kinds, reading);
    if (one === undefined) continue;
    if (read.some((other) => other.what === one.what && other.to === one.to))
      collector.add([...path, index], 'value', `${one.what} of ${component} is backed up to ${one.to} twice`, 'Take one of the two away.');
    else read.push(one);
  }
  return withBases(read, path, collector);
}

/** What builds on others is of no use where none of those is taken. */
function withBases(read: readonly BackupSpec[], path: readonly (string | number)[], collector: FaultCollector): readonly BackupSpec[] {
  return read.filter((one) => {
    const kinds = one.buildsOn?.filter((what) => what !== one.what);
    if (kinds === undefined || read.some(({ what, to }) => to === one.to && kinds.includes(what))) return true;
    collector.add(
      path,
      'key',
      `${one.what} builds on ${kinds.join(' or ')}, and no ${kinds.join(' or ')} is backed up to ${one.to}`,
      `Add { what: ${kinds[0]}, every: weekly }.`,
    );
    return false;
  });
}

function readOne(
  entry: Written,
  path: readonly (string | number)[],
  kinds: readonly BackupKind[],
  reading: BackupReading,
): BackupSpec | undefined {
  const { collector, system } = reading;
  const names = kinds.map((kind) => kind.what);
  const kind =
    entry.what === undefined ? (kinds.find((each) => each.isDefault) ?? kinds[0]) : kinds.find((each) => each.what === entry.what);
  if (kind === undefined) {
    const nearest = nearestWord(entry.what ?? '', names);
    const known = kinds.map((each) => `${each.what} (${each.summary})`).join(', ');
    collector.add(
      [...path, 'what'],
      'value',
      `${system} has no backup "${entry.what}"`,
      nearest === undefined ? `There are: ${known}.` : `Did you mean "${nearest}"?`,
    );
    return undefined;
  }
  const before = collector.faults.length;
  checkTiming(entry, path, kind, collector);
  if (entry.prove && kind.continuous)
    collector.add(
      [...path, 'prove'],
      'key',
      `${kind.what} is proven together with the backup that a restore begins from`,
      'Move "prove" to that one: its proof reads the archive too.',
    );
  const to = repositoryOf(entry, path, reading);
  if (to === undefined || collector.faults.length > before) return undefined;
  const zone = entry.timezone ?? 'UTC';
  return {
    what: kind.what,
    to,
    ...(kind.buildsOn === undefined ? {} : { buildsOn: kind.buildsOn }),
    ...(entry.every === undefined ? {} : { schedule: scheduleOf(entry.every, zone, entry.jitter) }),
    ...(entry.keep === undefined ? {} : { keep: entry.keep }),
    ...(entry.for === undefined ? {} : { purposes: entry.for }),
    ...(entry.prove === undefined ? {} : { prove: proveOf(entry.prove, zone) }),
  };
}

function checkTiming(entry: Written, path: readonly (string | number)[], kind: BackupKind, collector: FaultCollector): void {
  if (entry.every !== undefined && entry.continuous === true)
    collector.add(
      [...path, 'continuous'],
      'value',
      'it is either continuous or has a schedule, not both',
      'Take "every" or "continuous" away.',
    );
  else if (kind.continuous && entry.every !== undefined)
    collector.add(
      [...path, 'every'],
      'value',
      `${kind.what} is archived all the time, and has no schedule`,
      'Write continuous: true in its place.',
    );
  else if (!kind.continuous && entry.continuous === true)
    collector.add([...path, 'continuous'], 'value', `${kind.what} can't be taken all the time`, 'Write when it is taken: every: daily.');
  else if (!kind.continuous && entry.every === undefined)
    collector.add(path, 'value', 'nothing says when this is backed up', 'Add every: daily.');
  else if (kind.continuous && entry.continuous === false)
    collector.add(
      [...path, 'continuous'],
      'value',
      `${kind.what} is archived all the time or not at all`,
      'Take this entry out, or write continuous: true.',
    );
}

function repositoryOf(entry: Written, path: readonly (string | number)[], reading: BackupReading): string | undefined {
  const { collector, component, repositories } = reading;
  if (entry.to === undefined) {
    if (repositories.length === 1) return repositories[0];
    collector.add(
      path,
      'value',
      repositories.length === 0
        ? `nothing says where ${component} is backed up to`
        : `${component} is backed up, and there are several repositories`,
      repositories.length === 0
        ? 'Add repositories: { main: { driver: filesystem, path: /var/lib/holdfast/repository } } at the top level.'
        : `Add to: one of ${repositories.join(', ')}.`,
    );
    return undefined;
  }
  if (repositories.includes(entry.to)) return entry.to;
  const nearest = nearestWord(entry.to, repositories);
  const others = repositories.length === 0 ? 'Name it below repositories.' : `There are: ${repositories.join(', ')}.`;
  collector.add(
    [...path, 'to'],
    'value',
    `component ${component} is backed up to "${entry.to}", and there is no such repository`,
    nearest === undefined ? others : `Did you mean "${nearest}"?`,
  );
  return undefined;
}

function proveOf(prove: NonNullable<Written['prove']>, zone: string): ProveSpec {
  return {
    schedule: scheduleOf(prove.every, zone, prove.jitter),
    level: prove.level,
    ...(prove.within === undefined ? {} : { withinMs: prove.within }),
    checks: prove.checks,
    targets: prove.targets,
  };
}
