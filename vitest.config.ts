/**
 * Six projects:
 *   unit         beside the code, the tools' own tests, and whatever else lies under test/: nothing but Node is needed
 *   long         of the same, those that take seconds by nature: processes of ours, hundreds of megabytes. Not part of "npm run check"
 *   conformance  one suite per kind of driver, run on the driver's fake and on the real system
 *   real         real servers: test/systems, test/end-to-end, and the commands that the documents show
 *   real-pairs   of those, the ones that mostly wait and time nothing: several files at a time, together with conformance
 *   simulation   the simulator with a few fixed seeds; "npm run simulate" runs as many as you like
 *
 * HOLDFAST_TESTS=fakes leaves out what conformance does on real systems: suites that need one (test/systems/requirement.ts), and names marked as real.
 */
import { defineConfig } from 'vitest/config';
import { directoryVariable, findMemoryDirectory } from './test/systems/memory-directory.ts';
import { ClosingReporter } from './tools/testing/closing-reporter.ts';
import { longestFirst } from './tools/testing/longest-first.ts';
import { notMarkedReal } from './tools/testing/test-evidence.ts';

const fakesOnly = process.env.HOLDFAST_TESTS === 'fakes';

/** They start processes of ours, or move hundreds of megabytes. */
const takeSeconds = [
  'src/contracts/scratch-process.test.ts',
  'src/hands/ssh/remote-command.test.ts',
  'src/host/node/node-host.test.ts',
  'test/backups/memory.test.ts',
  'test/engine/kill.test.ts',
  'test/restore/holdfast-restore.test.ts',
  'tools/build.test.ts',
  'tools/testing/run-tests.test.ts',
];

/** Nothing in them plays the part of a system, so that nothing is left of them where no system may be started: they are not even loaded then. */
const onlyReal = [
  'archive-postgresql',
  'backup-files',
  'backup-postgresql*',
  'backup-redis',
  'dns-fake-rules',
  'dump-postgresql',
  'postgresql-driver',
  'process',
  'proof-postgresql',
  'redis-keys',
  'redis-users',
  'repository-backend-faults',
  'repository-backend-s3',
  'repository-in-bucket',
  'state-store-etcd',
].map((name) => `test/conformance/${name}.test.ts`);

/** Stand-ins that are servers or programs of their own, no fakes in memory: what takes seconds is left out of the quick gate. */
const onStandIns = [
  'argocd',
  'clickhouse*',
  'foundationdb*',
  'grpc-health',
  'kubernetes-api',
  'kubernetes-config',
  'kubernetes-nodes',
  'kubernetes-workload',
  'ledger',
  'opensearch*',
  'tailscale',
  'terraform',
  'vault',
  'velero',
].map((name) => `test/conformance/${name}.test.ts`);

/** Each has servers and directories of its own, waits for them most of the time, and measures no second or two. Whatever is not named here has the machine for itself. */
const fineInPairs = [
  'docs/commands',
  'docs/write-a-driver',
  'end-to-end/backup-alarms',
  'end-to-end/backups',
  'end-to-end/bad-input',
  'end-to-end/brought-back',
  'end-to-end/clickhouse',
  'end-to-end/crash-backups',
  'end-to-end/increments',
  'end-to-end/interrupted',
  'end-to-end/key-loss',
  'end-to-end/metrics',
  'end-to-end/recovery',
  'end-to-end/sabotage',
  'end-to-end/sweep',
  'end-to-end/wal-push',
  'end-to-end/wrong-from-the-start',
  'systems/object-stores',
  'systems/systems',
].map((name) => `test/${name}.test.ts`);

const memoryDirectory = process.env[directoryVariable] ?? findMemoryDirectory();

/** The longest of those that run side by side, longest first: what starts late must not be what takes long. */
const longest = [
  'docs/commands',
  'conformance/redis',
  'conformance/postgresql',
  'end-to-end/sweep',
  'end-to-end/wrong-from-the-start',
  'end-to-end/interrupted',
  'end-to-end/backups',
  'end-to-end/sabotage',
  'conformance/archive-postgresql',
  'end-to-end/recovery',
  'conformance/backup-etcd',
  'conformance/backup-postgresql-faults',
  'conformance/hands',
  'conformance/state-store-etcd',
].map((name) => `test/${name}.test.ts`);

/**
 * First what only computes, as much at a time as there are processors. Then what waits for servers most of the time: more at a time, or the processors would wait as well. At last, each
 * file alone, what measures outages.
 */
const order = fakesOnly
  ? { computing: {}, waiting: {}, measuring: {} }
  : {
      computing: { maxWorkers: 2, sequence: { groupOrder: 0 } },
      waiting: { maxWorkers: 5, sequence: { groupOrder: 1 } },
      measuring: { maxWorkers: 1, sequence: { groupOrder: 2 } },
    };

/** What both projects of real servers have in common. */
const realServers = { testTimeout: 180_000, hookTimeout: 180_000, retry: 1 } as const;

/** Folders of test/ that are projects of their own. */
const needMore = ['conformance', 'systems', 'end-to-end', 'docs', 'simulation'].map((folder) => `test/${folder}/**`);

export default defineConfig({
  test: {
    // One process per file: a server, a timer or a variable that a test leaves behind can't reach the next file.
    pool: 'forks',
    // In the quick gate, which is run before each commit, one process takes many files: half of its time would go into loading the same modules again. "npm test" judges.
    isolate: !fakesOnly,
    // Half of the quick gate is waiting, of fakes for times that real systems have.
    ...(fakesOnly ? { maxWorkers: 3 } : {}),
    sequence: { sequencer: longestFirst(longest) },
    // What is waited for comes at once where the machine is quiet; where it is not, a second (what vitest takes for enough) is nothing.
    expect: { poll: { timeout: 15_000, interval: 20 } },
    env: memoryDirectory === undefined ? {} : { [directoryVariable]: memoryDirectory },
    reporters: [new ClosingReporter()],
    projects: [
      {
        extends: true,
        test: {
          ...order.computing,
          name: 'unit',
          include: ['src/**/*.test.ts', 'tools/**/*.test.ts', 'test/**/*.test.ts'],
          exclude: [...needMore, ...takeSeconds],
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      { extends: true, test: { ...order.computing, name: 'long', include: takeSeconds, testTimeout: 60_000, hookTimeout: 60_000 } },
      {
        extends: true,
        test: {
          ...order.waiting,
          name: 'conformance',
          include: ['test/conformance/**/*.test.ts'],
          exclude: fakesOnly ? [...onlyReal, ...onStandIns] : [],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          // Real servers on a machine that others use too: one more try, which the closing lines name.
          retry: fakesOnly ? 0 : 1,
          ...(fakesOnly ? { testNamePattern: notMarkedReal } : {}),
        },
      },
      {
        extends: true,
        test: {
          ...realServers,
          ...order.measuring,
          name: 'real',
          include: ['test/systems/**/*.test.ts', 'test/end-to-end/**/*.test.ts', 'test/docs/**/*.test.ts'],
          exclude: fineInPairs,
        },
      },
      {
        extends: true,
        test: { ...realServers, ...order.waiting, name: 'real-pairs', include: fineInPairs },
      },
      {
        extends: true,
        test: {
          ...order.computing,
          name: 'simulation',
          include: ['test/simulation/**/*.test.ts'],
          testTimeout: 120_000,
          hookTimeout: 20_000,
        },
      },
    ],
  },
});
