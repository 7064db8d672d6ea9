import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { dayMs, entryOf, hourMs, proofOf, segmentName } from '../../test/fakes/catalogue.ts';
import { computeBackupFaults } from './alarms.ts';
import type { AlarmInput, BackupAlarm } from './alarms-input.ts';
import { backupMetricDefinitions, computeBackupMetrics } from './alarms-metrics.ts';
import { backupLimitMs, proofLimitMs } from './alarms-runs.ts';
import { sizeDeviationMax } from './alarms-size.ts';
import type { Catalogue, CatalogueEntry, GapRecord } from './records.ts';
import { computeRecoveryWindows } from './recovery-points.ts';

const nowMs = Date.UTC(2026, 5, 15, 12);
const minuteMs = 60_000;

interface Parts extends Partial<Omit<AlarmInput, 'catalogue'>> {
  readonly entries?: readonly CatalogueEntry[];
  readonly gaps?: readonly GapRecord[];
  readonly unreadable?: Catalogue['unreadable'];
  readonly sabotaged?: Catalogue['sabotaged'];
  readonly logUntilMs?: number;
}

const sixHourly = { component: 'orders-db', what: 'base', everyMs: 6 * hourMs, sinceMs: nowMs - 90 * dayMs };
const healthy = [18, 12, 6, 1].map((hours) => entryOf({ backupId: `h${hours}`, atMs: nowMs - hours * hourMs, proven: 'P4' }));

function input({ entries = healthy, gaps = [], unreadable = [], sabotaged = [], logUntilMs, ...more }: Parts = {}): AlarmInput {
  const catalogue = { entries, gaps, unreadable, sabotaged };
  const archives =
    logUntilMs === undefined
      ? []
      : [{ component: 'orders-db', identity: 'history-1', oldest: segmentName(1), newest: segmentName(99), newestAtMs: logUntilMs }];
  return {
    catalogue,
    windows: computeRecoveryWindows(catalogue, archives).windows,
    expectations: [sixHourly],
    rpoMs: new Map(),
    archivers: [],
    keys: [],
    nowMs,
    ...more,
  };
}

const alarms = (parts: Parts = {}): BackupAlarm[] => computeBackupFaults(input(parts)).map(({ alarm }) => alarm);
const message = (parts: Parts) => computeBackupFaults(input(parts))[0]?.message;

describe('nothing is wrong', () => {
  it('and nothing is said', () => expect(alarms()).toEqual([]));
});

describe('what takes too long', () => {
  const run = {
    kind: 'backup' as const,
    component: 'orders-db',
    what: 'base',
    repository: 'main',
    execution: 'backup-1',
    limitMs: backupLimitMs(6 * hourMs),
  };
  const key = { repository: 'main', reachable: false, why: 'bucket does not answer', isStore: true };

  it('a backup that waits for a store which does not answer is an alarm while it runs, with the reason; so is the store itself', () => {
    expect(alarms({ runs: [{ ...run, beganMs: nowMs - 3 * hourMs }] })).toEqual([]);
    expect(alarms({ runs: [{ ...run, beganMs: nowMs - 3 * hourMs - 1 }] })).toEqual(['backup-overrun']);
    // Of a repository that can't be read nothing is expected: what is in it is not known. What runs is.
    const parts = { expectations: [], keys: [key], runs: [{ ...run, beganMs: nowMs - 5 * hourMs }] };
    expect(alarms(parts)).toEqual(['store-unreachable', 'backup-overrun']);
    expect(computeBackupFaults(input(parts))[1]?.message).toMatch(
      /running for 5 h .*3 h is the most; main can't be read: bucket does not answer/,
    );
    expect(alarms({ keys: [{ repository: 'main', reachable: false }] })).toEqual(['key-unreachable']);
  });

  it('what may be long, by how often it is taken', () => {
    expect([0.25, 1, 1.5, 6, 24, 168].map((hours) => backupLimitMs(hours * hourMs) / hourMs)).toEqual([0.25, 1, 1, 3, 12, 24]);
    expect(proofLimitMs(7 * dayMs, hourMs)).toBe(hourMs);
    expect(proofLimitMs(dayMs, 2 * dayMs)).toBe(dayMs);
    expect(proofLimitMs(dayMs, undefined)).toBe(dayMs);
  });

  it('a proof that runs for longer than it may, and one that took longer than it may', () => {
    const running = { ...run, kind: 'proof' as const, limitMs: proofLimitMs(dayMs, hourMs), beganMs: nowMs - 2 * hourMs };
    expect(alarms({ runs: [running] })).toEqual(['proof-overrun']);
    const expectations = [{ ...sixHourly, prove: { level: 'P4' as const, everyMs: dayMs } }];
    const took = (tookMs: number) => [
      ...healthy.slice(0, 3),
      entryOf({ backupId: 'h1', atMs: nowMs - hourMs, proofs: [proofOf('h1', nowMs - minuteMs, { tookMs, budgetMs: hourMs })] }),
    ];
    expect(alarms({ entries: took(hourMs), expectations })).toEqual([]);
    expect(alarms({ entries: took(hourMs + 1), expectations })).toEqual(['proof-overrun']);
  });
});

describe('age of the last recoverable point', () => {
  const rpoMs = new Map([['orders-db', 15 * minuteMs]]);

  it('[S4-02] is an alarm from the objective on, not before', () => {
    expect(alarms({ rpoMs: new Map([['orders-db', hourMs]]) })).toEqual([]);
    expect(alarms({ rpoMs: new Map([['orders-db', hourMs - 1]]) })).toEqual(['recovery-point-old']);
    expect(message({ rpoMs })).toMatch(/can be brought back to is 1 h ago .*; the objective is 15 min/);
  });

  it('[S4-02] counts the archived log: by its listing, and by what the archiver knows to be safe', () => {
    const entries = [entryOf({ atMs: nowMs - hourMs, segments: { first: segmentName(5), last: segmentName(6) } })];
    const archiver = { component: 'orders-db', running: true, sinceMs: 0, lagMaxMs: hourMs };
    expect(alarms({ entries, rpoMs, logUntilMs: nowMs - 14 * minuteMs })).toEqual([]);
    expect(alarms({ entries, rpoMs, logUntilMs: nowMs - 16 * minuteMs })).toEqual(['recovery-point-old']);
    expect(alarms({ entries, rpoMs, logUntilMs: nowMs - 16 * minuteMs, archivers: [{ ...archiver, safeMs: nowMs - minuteMs }] })).toEqual(
      [],
    );
  });

  it('what the archiver holds safe behind a hole counts for nothing', () => {
    const entries = [entryOf({ atMs: nowMs - hourMs, segments: { first: segmentName(5), last: segmentName(6) } })];
    const gap: GapRecord = {
      component: 'orders-db',
      identity: 'history-1',
      from: segmentName(8),
      to: segmentName(8),
      why: 'lost',
      atMs: nowMs,
    };
    const archivers = [{ component: 'orders-db', running: true, sinceMs: 0, safeMs: nowMs, lagMaxMs: hourMs }];
    expect(alarms({ entries, rpoMs, logUntilMs: nowMs, gaps: [gap], archivers })).toEqual(['recovery-point-old', 'log-gap']);
  });

  it('no backup at all is an alarm, not a silence', () => expect(message({ entries: [], rpoMs })).toMatch(/can't be brought back at all/));
});

describe('failed and missing backups', () => {
  const aged = (hours: number) => [entryOf({ atMs: nowMs - hours * hourMs, proven: 'P4' })];

  it('[S4-51] older than six hours for an hour, with a schedule of six hours', () => {
    expect(alarms({ entries: aged(7) })).toEqual([]);
    expect(alarms({ entries: aged(7.01) })).toEqual(['backup-missing']);
  });

  it('[S4-51] there never was one: an alarm once its time has passed', () => {
    expect(alarms({ entries: [], expectations: [{ ...sixHourly, sinceMs: nowMs - 6 * hourMs }] })).toEqual([]);
    expect(message({ entries: [], expectations: [{ ...sixHourly, sinceMs: nowMs - 8 * hourMs }] })).toMatch(
      /there is no base backup of orders-db, and one was due 2026-06-15T10/,
    );
  });

  it('one under a tombstone, of another kind or of another component does not stand in', () => {
    const others = [
      entryOf({ atMs: nowMs - hourMs, tombstoneMs: nowMs }),
      entryOf({ atMs: nowMs - hourMs, what: 'dump' }),
      entryOf({ atMs: nowMs - hourMs, component: 'cache' }),
    ];
    expect(alarms({ entries: others })).toEqual(['backup-missing']);
  });

  it('the last attempt failed: at once, until one is complete again', () => {
    const failing = (atMs: number) => [{ ...sixHourly, failure: { atMs, message: 'pg_dump: connection lost' } }];
    expect(alarms({ expectations: failing(nowMs - minuteMs) })).toEqual(['backup-failed']);
    expect(alarms({ expectations: failing(nowMs - 2 * hourMs) })).toEqual([]);
  });
});

describe('size', () => {
  const sized = (...parts: [hours: number, bytes: number][]) =>
    parts.map(([hours, storedBytes]) => entryOf({ atMs: nowMs - hours * hourMs, storedBytes, proven: 'P4' }));
  const week: [number, number][] = [
    [24, 1_000],
    [18, 1_000],
    [12, 1_000],
  ];

  it.each([
    [1_301, 'backup-size', /31 %|30 % larger/],
    [699, 'backup-size', /30 % smaller/],
    [1_300, undefined, undefined],
    [700, undefined, undefined],
  ] as const)('[S4-52] %d bytes against a mean of 1000', (bytes, alarm, words) => {
    const entries = sized(...week, [2, bytes]);
    expect(alarms({ entries })).toEqual(alarm ? [alarm] : []);
    if (words) expect(message({ entries })).toMatch(words);
    expect(computeBackupFaults(input({ entries }))[0]?.severity).toBe(alarm ? 'warning' : undefined);
  });

  it('[S4-52] only once it has stood for an hour, and not where a usual one has followed', () => {
    expect(alarms({ entries: sized(...week, [0.9, 9_000]) })).toEqual([]);
    expect(alarms({ entries: sized(...week, [2, 9_000], [0.5, 3_000]) })).toEqual([]);
    expect(alarms({ entries: sized(...week, [2, 9_000], [0.5, 9_000]) })).toEqual(['backup-size']);
  });

  it('[S4-52] what is older than seven days does not count, and of two there is no mean', () => {
    const old = week.map(([hours, bytes]): [number, number] => [hours + 8 * 24, bytes]);
    expect(alarms({ entries: sized(...old, [2, 9_000]) })).toEqual([]);
    expect(alarms({ entries: sized(...week.slice(1), [2, 9_000]) })).toEqual([]);
  });

  it('an increment is compared with increments', () => {
    const increments = [20, 15, 10].map((hours) => entryOf({ atMs: nowMs - hours * hourMs, storedBytes: 10, needs: ['full'] }));
    expect(alarms({ entries: [...sized(...week), ...increments, ...sized([2, 1_050])] })).toEqual([]);
  });
});

describe('proofs', () => {
  const prove = { level: 'P4' as const, everyMs: 7 * dayMs };
  const expectations = [{ ...sixHourly, prove }];

  it('too old, and worse where nothing is proven at all', () => {
    const old = [entryOf({ atMs: nowMs - 9 * dayMs, proven: 'P4' }), entryOf({ atMs: nowMs - hourMs })];
    expect(alarms({ entries: old, expectations })).toEqual(['proof-old']);
    expect(computeBackupFaults(input({ entries: old, expectations }))[0]?.severity).toBe('warning');
    const never = computeBackupFaults(input({ entries: [entryOf({ atMs: nowMs - hourMs })], expectations }));
    expect(never).toMatchObject([{ alarm: 'proof-old', severity: 'problem', message: 'no base backup of orders-db was ever proven' }]);
  });

  it('failed, with the first thing that went wrong; an inconclusive one says nothing', () => {
    const checks = [{ name: 'pg_amcheck', level: 'P3' as const, ok: false, detail: 'index broken' }];
    const bad = proofOf('h1', nowMs - minuteMs, { ok: false, reached: 'P2', checks });
    const entry = entryOf({ backupId: 'h1', atMs: nowMs - hourMs, proofs: [proofOf('h1', nowMs - hourMs), bad] });
    expect(message({ entries: [entry], expectations })).toMatch(/reached P2, and P4 was wanted; pg_amcheck: index broken/);
    const unsure = entryOf({
      backupId: 'h1',
      atMs: nowMs - hourMs,
      proofs: [proofOf('h1', nowMs - hourMs), { ...bad, inconclusive: 'disk full' }],
    });
    expect(alarms({ entries: [unsure], expectations })).toEqual([]);
  });

  it('that pass over a damaged copy are an alarm of their own, until the same damage is caught', () => {
    const missed = proofOf('h1', nowMs - hourMs, { sabotage: 'empty a table' });
    const caught = proofOf('h1', nowMs - minuteMs, { sabotage: 'empty a table', ok: false, reached: 'P3' });
    expect(alarms({ sabotaged: [missed] })).toEqual(['proof-unsound']);
    expect(alarms({ sabotaged: [caught, missed] })).toEqual([]);
  });
});

describe('logs, keys, records', () => {
  const expectations = [{ component: 'orders-db', what: 'wal', sinceMs: 0 }];
  const archiver = { component: 'orders-db', running: true, safeMs: nowMs - 30_000, sinceMs: nowMs - dayMs, lagMaxMs: minuteMs };
  const gap: GapRecord = {
    component: 'orders-db',
    identity: 'history-1',
    from: segmentName(3),
    to: segmentName(4),
    why: 'the slot was lost',
    atMs: nowMs,
  };

  it('the archive: fine, behind, stopped, never heard of', () => {
    expect(alarms({ expectations, archivers: [archiver] })).toEqual([]);
    expect(alarms({ expectations, archivers: [{ ...archiver, safeMs: nowMs - 61_000 }] })).toEqual(['archive-lag']);
    expect(message({ expectations, archivers: [{ ...archiver, running: false, error: 'STORE_FULL' }] })).toMatch(
      /not being archived since .*: STORE_FULL/,
    );
    expect(alarms({ expectations })).toEqual(['archive-stopped']);
  });

  it('[S5-07] a hole, until somebody has acknowledged it', () => {
    expect(message({ gaps: [gap] })).toMatch(/has a hole from 000000010000000000000003 to .*the slot was lost/);
    expect(alarms({ gaps: [{ ...gap, acknowledged: { by: 'ann', atMs: nowMs } }] })).toEqual([]);
  });

  it('a key that can not be reached; a record that can not be read; problems come first', () => {
    expect(
      alarms({
        keys: [
          { repository: 'main', reachable: false, why: 'time-out' },
          { repository: 'other', reachable: true },
        ],
      }),
    ).toEqual(['key-unreachable']);
    const old = [entryOf({ atMs: nowMs - 9 * dayMs, proven: 'P4' }), entryOf({ atMs: nowMs - hourMs })];
    const prove = { level: 'P4' as const, everyMs: 7 * dayMs };
    expect(alarms({ entries: old, expectations: [{ ...sixHourly, prove }], unreadable: [{ object: 'backups/x', why: 'cut' }] })).toEqual([
      'record-unreadable',
      'proof-old',
    ]);
  });
});

describe('metrics', () => {
  it('tell what is expected also where nothing is there, and every name is used', () => {
    const prove = { level: 'P4' as const, everyMs: 7 * dayMs };
    const full = computeBackupMetrics(
      input({
        expectations: [{ ...sixHourly, prove }],
        rpoMs: new Map([['orders-db', hourMs]]),
        archivers: [{ component: 'orders-db', running: true, sinceMs: nowMs - 5_000, lagMaxMs: minuteMs }],
        keys: [{ repository: 'main', reachable: true }],
        runs: [
          {
            kind: 'proof',
            component: 'orders-db',
            what: 'base',
            repository: 'main',
            execution: 'x',
            beganMs: nowMs - 9_000,
            limitMs: hourMs,
          },
        ],
      }),
    );
    expect(new Set(full.map(({ name }) => name))).toEqual(new Set(Object.keys(backupMetricDefinitions)));
    for (const { name, labels } of full) expect(Object.keys(labels), name).toEqual(backupMetricDefinitions[name].labels);
    expect(full.filter(({ name }) => name === 'holdfast_backup_proven_timestamp_seconds').map(({ labels }) => labels.level)).toEqual([
      'P1',
      'P2',
      'P3',
      'P4',
    ]);
    const valueFor = (wanted: string) => full.find(({ name }) => name === wanted)?.value;
    expect(valueFor('holdfast_backup_archive_lag_seconds')).toBe(5);
    expect(valueFor('holdfast_backup_run_started_timestamp_seconds')).toBe(nowMs / 1_000 - 9);
    expect(valueFor('holdfast_backup_run_limit_seconds')).toBe(3_600);
    const empty = computeBackupMetrics(input({ entries: [], expectations: [{ ...sixHourly, prove }] })).map(({ name }) => name);
    expect(empty).toContain('holdfast_backup_interval_seconds');
    expect(empty).not.toContain('holdfast_backup_last_success_timestamp_seconds');
    expect(empty).not.toContain('holdfast_backup_run_started_timestamp_seconds');
  });
});

describe('the alert rules', () => {
  const rules = readFileSync(join(import.meta.dirname, '../../deploy/prometheus/backups.rules.yml'), 'utf8');

  it('ask for metrics that exist, and for all of them but the one of each level', () => {
    const asked = new Set(rules.match(/holdfast_[a-z_]+/g));
    const { holdfast_backup_proven_timestamp_seconds: _level, ...others } = backupMetricDefinitions;
    expect([...asked].toSorted()).toEqual(Object.keys(others).toSorted());
  });

  it('[S4-52] have the same share as the readiness faults', () => expect(rules).toContain(`> ${sizeDeviationMax} *`));
});
