/**
 * A simulated FoundationDB: cluster files, and programs `fdbcli`, `fdbbackup` and `fdbrestore` that act on it. Two regions, a satellite for each, coordinators in three places, unless
 * asked otherwise. Where the real programs are on PATH, a file of tests may take those for what needs no second region.
 */
import { execFile } from 'node:child_process';
import { chmod, copyFile, mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { repositoryDirectory } from '../programs.ts';
import { removeDirectory, temporaryDirectory } from '../temporary-directory.ts';

export interface Region {
  datacenters: { id: string; priority: number; satellite?: number }[];
  satellite_redundancy_mode?: string;
}

/** What the stand-in keeps of a cluster; tests change it to bring about what they need. */
export interface ClusterState {
  active: string;
  available: boolean;
  healthy: boolean;
  generation: number;
  version: number;
  lag_versions: number;
  usable_regions: number;
  regions: Region[];
  dcs: Record<string, { up: boolean; processes: number }>;
  coordinators: { address: string; dc: string }[];
  /** Pairs of a place and a data centre that it can not reach. */
  cuts: [string, string][];
  copied: Record<string, number>;
  copy_looks: number;
  lock: string | null;
  keys: Record<string, string>;
  history: unknown[];
  backups: Record<string, { running: boolean; container: string; log_end: number }>;
  /** A forced recovery leaves one usable region behind, as newer versions do. */
  force_settles: boolean;
  /** Priorities have no effect. */
  stuck: boolean;
  /** Nothing answers before the time of the program is over. */
  deaf: boolean;
  /** At most so long is a time-out waited for. */
  patience: number;
  /** Printed instead of the status. */
  says: string | null;
  /** Members of `cluster` in the status that are as given. */
  overrides: Record<string, unknown>;
  /** Every command, with its arguments. */
  ran: string[][];
}

const twoRegions = (): Region[] => [
  {
    datacenters: [
      { id: 'east', priority: 1 },
      { id: 'east-sat', priority: 1, satellite: 1 },
    ],
    satellite_redundancy_mode: 'one_satellite_double',
  },
  {
    datacenters: [
      { id: 'west', priority: 0 },
      { id: 'west-sat', priority: 1, satellite: 1 },
    ],
    satellite_redundancy_mode: 'one_satellite_double',
  },
];

function newState(changes: Partial<ClusterState>): ClusterState {
  return {
    active: 'east',
    available: true,
    healthy: true,
    generation: 4,
    version: 1_000_000_000,
    lag_versions: 400_000,
    usable_regions: 2,
    regions: twoRegions(),
    dcs: {
      east: { up: true, processes: 3 },
      'east-sat': { up: true, processes: 1 },
      west: { up: true, processes: 3 },
      'west-sat': { up: true, processes: 1 },
      third: { up: true, processes: 1 },
    },
    coordinators: ['east', 'west', 'third'].flatMap((dc, place) =>
      [1, 2, 3].map((host) => ({ address: `127.0.${place}.${host}:4500`, dc })),
    ),
    cuts: [],
    copied: { east: 1, west: 1 },
    copy_looks: 1,
    lock: null,
    keys: {},
    history: [],
    backups: {},
    force_settles: true,
    stuck: false,
    deaf: false,
    patience: 0.2,
    says: null,
    overrides: {},
    ran: [],
    ...changes,
  };
}

const run = promisify(execFile);

export class FoundationDbStandIn {
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
  }

  /** Where the programs are. */
  program(name: 'fdbcli' | 'fdbbackup' | 'fdbrestore'): string {
    return join(this.directory, name);
  }

  /** The cluster file as it lies in a data centre. */
  clusterFile(dc: string, cluster = 'shop'): string {
    return join(this.directory, `${cluster}-${dc}.cluster`);
  }

  #statePath(cluster: string): string {
    return join(this.directory, 'clusters', `${cluster}-a1b2c3.json`);
  }

  async addCluster(cluster = 'shop', changes: Partial<ClusterState> = {}): Promise<void> {
    const state = newState(changes);
    await writeFile(this.#statePath(cluster), JSON.stringify(state));
    const connection = `${cluster}:a1b2c3@${state.coordinators.map(({ address }) => address).join(',')}`;
    for (const dc of [...Object.keys(state.dcs), 'controller'])
      await writeFile(this.clusterFile(dc, cluster), `# at ${dc}\n${connection}\n`);
  }

  async state(cluster = 'shop'): Promise<ClusterState> {
    return JSON.parse(await readFile(this.#statePath(cluster), 'utf8')) as ClusterState;
  }

  /** No command of the driver may run meanwhile. */
  async change(how: (state: ClusterState) => void, cluster = 'shop'): Promise<void> {
    const state = await this.state(cluster);
    how(state);
    await writeFile(`${this.#statePath(cluster)}.changed`, JSON.stringify(state));
    await rename(`${this.#statePath(cluster)}.changed`, this.#statePath(cluster));
  }

  /** As a person types it. Resolves whatever the exit code is. */
  async call(name: 'fdbcli' | 'fdbbackup' | 'fdbrestore', ...args: string[]): Promise<{ code: number; output: string }> {
    try {
      const { stdout, stderr } = await run(this.program(name), args, { timeout: 30_000 });
      return { code: 0, output: stdout + stderr };
    } catch (error) {
      const { code, stdout, stderr } = error as { code: unknown; stdout: string; stderr: string };
      if (typeof code !== 'number') throw error;
      return { code, output: stdout + stderr };
    }
  }

  stop(): Promise<void> {
    return removeDirectory(this.directory);
  }
}

export async function startFoundationDb(changes: Partial<ClusterState> = {}): Promise<FoundationDbStandIn> {
  const directory = await temporaryDirectory('foundationdb');
  const source = join(repositoryDirectory, 'test', 'systems', 'foundationdb', 'stand-in.py');
  await mkdir(join(directory, 'clusters'));
  for (const name of ['fdbcli', 'fdbbackup', 'fdbrestore']) {
    await copyFile(source, join(directory, name));
    await chmod(join(directory, name), 0o755);
  }
  const world = new FoundationDbStandIn(directory);
  await world.addCluster('shop', changes);
  return world;
}
