/** How a state is shown to people: where it is, how large, its members, who holds what. */
import { formatSize } from '../../base/sizes.ts';
import type { StoreReport } from '../../contracts/store-report.ts';
import { type Palette, table } from '../terminal.ts';

export function stateText(report: StoreReport, palette: Palette): string {
  const limit = report.sizeMaxBytes === undefined ? '' : ` of ${formatSize(report.sizeMaxBytes)}`;
  const inUse = report.sizeInUseBytes === undefined ? '' : `, ${formatSize(report.sizeInUseBytes)} of it in use`;
  const facts = [
    ['store', `${report.kind} ${report.place}`],
    ...(report.id === undefined ? [] : [['id', `${report.id}${report.clusterId === undefined ? '' : ` in cluster ${report.clusterId}`}`]]),
    ['revision', String(report.revision)],
    ['size', `${formatSize(report.sizeBytes)}${limit}${inUse}${report.isFull ? palette.bad('  FULL: takes no writes') : ''}`],
  ];
  const members = report.members.map(({ name, addresses, leads, version = '', fault }) => [
    name,
    addresses.join(' '),
    version,
    fault === undefined ? palette.good(leads ? 'leads' : 'follows') : palette.bad(fault),
  ]);
  const leases = report.leases.map(({ name, holder, token, held }) => [
    name,
    held ? holder : palette.dim(`free; last ${holder}`),
    palette.dim(`token ${token}`),
  ]);
  return [
    table(facts),
    ...(members.length === 0 ? [] : ['', 'members', table(members)]),
    '',
    ...(leases.length === 0 ? ['no lease was ever taken'] : ['leases', table(leases)]),
  ].join('\n');
}
