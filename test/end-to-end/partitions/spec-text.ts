/** The spec of the world: one synchronous database in two of three regions. */
import { databaseSite } from '../../../examples/demo/two-regions-spec.ts';
import type { RunningPostgres } from '../../systems/postgresql.ts';
import type { RunningSshd } from '../../systems/sshd.ts';

export const regionNames = ['east', 'west', 'middle'] as const;
export type RegionName = (typeof regionNames)[number];
/** The regions that hold data; `middle` is the witness. */
export const dataRegions = ['east', 'west'] as const;
export type DataRegion = (typeof dataRegions)[number];

/** `quick` is what the torture runs with, `tuned` what a person who wants speed writes, `defaults` says nothing at all. */
export type Pace = 'quick' | 'tuned' | 'defaults';

export const memberOf = (region: DataRegion): string => `orders_db_${region}`;

export interface SpecParts {
  readonly pace: Pace;
  readonly databases: Readonly<Record<DataRegion, RunningPostgres>>;
  readonly sshds: Readonly<Record<DataRegion, RunningSshd>>;
  readonly salvageDirectory: string;
  /** More sections, each a list of lines. */
  readonly sections: readonly string[];
}

const watchOf: Readonly<Record<Pace, readonly string[]>> = {
  quick: ['watch: { every: 250ms, timeout: 1s, failures: 2 }'],
  tuned: ['watch: { every: 250ms, timeout: 500ms, failures: 2 }'],
  defaults: [],
};
const graceOf: Readonly<Record<Pace, readonly string[]>> = { quick: ['  grace: 100ms'], tuned: ['  grace: 250ms'], defaults: [] };

export function specText({ pace, databases, sshds, salvageDirectory, sections }: SpecParts): string {
  return [
    'holdfast: v1',
    'name: orders',
    'objectives: { rto: 60s, rpo: 1s }',
    'regions:',
    '  east: { role: active }',
    '  west: { role: standby }',
    '  middle: { role: witness }',
    ...watchOf[pace],
    'failover:',
    '  automatic: true',
    ...graceOf[pace],
    // A run follows the other at once; nobody waits an hour here.
    '  cool-down: 1s',
    `  salvage-directory: ${salvageDirectory}`,
    ...sections,
    'components:',
    '  orders-db:',
    '    driver: postgresql',
    '    vital: true',
    '    replication: synchronous',
    ...(pace === 'defaults' ? [] : ['    canary-every: 250ms']),
    '    sites:',
    ...dataRegions.flatMap((name) => databaseSite(name, memberOf(name), { database: databases[name], sshd: sshds[name] })),
    '',
  ].join('\n');
}
