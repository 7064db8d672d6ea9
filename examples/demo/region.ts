/** What the two regions are called, where they are, and what can be chosen about them. */
import { join } from 'node:path';
import type { RunningEtcd } from '../../test/systems/etcd.ts';
import type { RunningPostgres } from '../../test/systems/postgresql.ts';
import type { RunningRedis } from '../../test/systems/redis.ts';
import type { Running } from '../../test/systems/server-process.ts';
import type { RunningSshd } from '../../test/systems/sshd.ts';

export const regionNames = ['us-east-1', 'us-west-2'] as const;
export type RegionName = (typeof regionNames)[number];

export interface TwoRegionsOptions {
  readonly outliveParent?: boolean;
  /** `asynchronous` to show what is lost then. Default synchronous. */
  readonly replication?: 'synchronous' | 'asynchronous';
  readonly grace?: string;
  readonly canaryEvery?: string;
  readonly lossBudget?: string;
  /** Leave the orders service, Redis and DNS out: only the database, for measuring it alone. */
  readonly databaseOnly?: boolean;
  readonly automatic?: boolean;
  readonly coolDown?: string;
  /** Back the stores up into an encrypted repository beside the regions. */
  readonly backups?: boolean;
  /** A member of etcd in each region and in a witness region, for a controller in each. */
  readonly fleet?: boolean;
}

export interface Region {
  readonly name: RegionName;
  readonly database: RunningPostgres;
  readonly cache: RunningRedis | undefined;
  readonly orders: Running | undefined;
  readonly sshd: RunningSshd;
  readonly etcd: RunningEtcd | undefined;
}

export const addressPrefix: Readonly<Record<RegionName, string>> = { 'us-east-1': '127.0.1', 'us-west-2': '127.0.2' };
export const witnessName = 'eu-west-1';
const witnessPrefix = '127.0.3';
/** Every region that has a controller, where there are several. */
export const controllerRegions = [...regionNames, witnessName] as const;
export type ControllerRegion = (typeof controllerRegions)[number];
export const prefixOf = (region: ControllerRegion): string => (region === witnessName ? witnessPrefix : addressPrefix[region]);
export const memberOf = (region: RegionName): string => `orders_db_${region.replaceAll('-', '_')}`;
const repository = join(import.meta.dirname, '..', '..');
export const nodeProgram = join(repository, 'node_modules', '.bin', 'node');

export interface OrdersPlace {
  readonly directory: string;
  readonly address: string;
  readonly port: number;
  readonly env: Readonly<Record<string, string>>;
}
