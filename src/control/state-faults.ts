/** What people should know of the state itself: that it is full or nearly so, that a member is away, that executions pile up in it. */
import { asHoldfastError } from '../base/errors.ts';
import { formatSize } from '../base/sizes.ts';
import type { StoreReport } from '../contracts/store-report.ts';
import { journalKeys } from '../state/journal.ts';
import type { ReadinessFault } from '../watch/readiness.ts';
import type { Control } from './control.ts';

/** What etcd allows a database unless its members say otherwise: https://etcd.io/docs/v3.4/op-guide/maintenance/#space-quota */
const usualQuotaBytes = 2 * 1024 ** 3;
const nearlyFull = 0.75;
/** Beyond the number that stays: how many may wait to be taken away. */
const waitingMax = 200;

export interface StateHealth {
  /** Undefined where the store tells nothing, or can't be asked now. */
  readonly report?: StoreReport;
  readonly faults: readonly ReadinessFault[];
}

export async function readStateHealth({ parts: { store, spec } }: Control): Promise<StateHealth> {
  try {
    const [report, index] = await Promise.all([store.readReport?.(), store.range(journalKeys.indexPrefix)]);
    const faults = [
      ...(report === undefined ? [] : storeFaults(report)),
      ...pileFaults(index.length, spec.controllers.keepExecutions, (spec.repositories?.size ?? 0) > 0),
    ];
    return report === undefined ? { faults } : { report, faults };
  } catch (thrown) {
    const error = asHoldfastError(thrown);
    return { faults: [{ severity: 'problem', message: `the state tells nothing: ${error.message}`, hint: error.hint }] };
  }
}

/** Pure. */
export function storeFaults(report: StoreReport): readonly ReadinessFault[] {
  if (report.kind !== 'etcd') return [];
  const faults: ReadinessFault[] = [];
  const { sizeBytes, sizeMaxBytes } = report;
  if (report.isFull)
    faults.push({
      severity: 'problem',
      message: `the state is full (${formatSize(sizeBytes)}): etcd takes no more writes, and nothing can be decided`,
      hint: 'etcdctl compact, etcdctl defrag on each member, then etcdctl alarm disarm; or a larger --quota-backend-bytes.',
    });
  else if (sizeBytes > nearlyFull * (sizeMaxBytes ?? usualQuotaBytes))
    faults.push({
      severity: 'warning',
      message: `the database of the state has ${formatSize(sizeBytes)} of ${sizeMaxBytes === undefined ? `usually ${formatSize(usualQuotaBytes)}` : formatSize(sizeMaxBytes)}`,
      hint: 'etcdctl defrag on each member gives back what is not in use; then look at what else is kept there.',
    });
  const away = report.members.filter(({ fault }) => fault !== undefined);
  const hasMajority = report.members.length - away.length > report.members.length / 2;
  for (const { name, fault = '' } of report.isFull ? [] : away)
    faults.push({
      severity: hasMajority ? 'warning' : 'problem',
      message: `member ${name} of etcd: ${fault}`,
      hint: 'One more that is away may take the majority along: look at it now.',
    });
  if (report.members.length === 2 || report.members.length === 1)
    faults.push({
      severity: 'warning',
      message: `etcd has ${report.members.length === 1 ? 'one member: the state goes with it' : 'two members: either loss takes the majority'}`,
      hint: 'Run three members, one in each region and one at a witness.',
    });
  return faults;
}

/** Pure. */
export function pileFaults(count: number, keep: number, hasRepository: boolean): readonly ReadinessFault[] {
  if (count <= keep + waitingMax) return [];
  return [
    {
      severity: 'warning',
      message: `${count} executions are in the state, and ${keep} are to stay`,
      hint: hasRepository
        ? 'They go to the first repository while holdfast serve runs: look at whether it can be written.'
        : 'Add a repository, which takes older ones as evidence; or raise controllers.keep-executions.',
    },
  ];
}
