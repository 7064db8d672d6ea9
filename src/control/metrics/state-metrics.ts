/** What the state knows of the platform, as metrics: which region is active, whether we would survive, what would be lost, who watches, what is under way. */
import type { MetricSample } from '../../base/metric.ts';
import type { ExecutionStatus } from '../../state/execution-state.ts';
import { listOpenExecutions, loadExecution } from '../../state/journal.ts';
import { chooseTarget, computeReadiness } from '../../watch/readiness.ts';
import type { RegionState } from '../../watch/verdict.ts';
import { isPresent, readPresences } from '../../watch/watch-records.ts';
import type { Control } from '../control.ts';
import { estimateLosses, readinessInput, type ViewParts } from '../view.ts';
import { oneOf } from './watch-metrics.ts';

const regionStates: readonly RegionState[] = ['healthy', 'failing', 'lost', 'unknown'];

const seconds = (milliseconds: number): number => milliseconds / 1_000;

export async function readStateMetrics(control: Control): Promise<readonly MetricSample[]> {
  const view = await control.view();
  const [verdict, controllers, executions] = await Promise.all([
    readVerdict(control, view.platform.activeRegion),
    readControllers(control),
    readOpenExecutions(control),
  ]);
  return [...platformMetrics(view), ...readinessMetrics(view), ...objectiveMetrics(view), ...verdict, ...controllers, ...executions];
}

function platformMetrics({ spec, platform }: ViewParts): MetricSample[] {
  return [
    ...oneOf('holdfast_active_region', {}, 'region', [...spec.regions.keys()], platform.activeRegion),
    { name: 'holdfast_epoch', labels: {}, value: platform.epoch },
  ];
}

function readinessMetrics(view: ViewParts): MetricSample[] {
  const samples: MetricSample[] = [];
  const input = readinessInput(view);
  for (const { name: losing, role } of view.spec.regions.values()) {
    if (role === 'witness') continue;
    const { ready, faults } = computeReadiness(losing, input);
    samples.push({ name: 'holdfast_ready', labels: { losing }, value: ready ? 1 : 0 });
    for (const severity of ['problem', 'warning'])
      samples.push({
        name: 'holdfast_readiness_faults',
        labels: { losing, severity },
        value: faults.filter((fault) => fault.severity === severity).length,
      });
  }
  return samples;
}

function objectiveMetrics(view: ViewParts): MetricSample[] {
  const samples: MetricSample[] = [];
  const { spec, platform, recoveries } = view;
  const target = chooseTarget(spec, platform.activeRegion);
  for (const [component, lossMs] of target === undefined ? [] : estimateLosses(view, target))
    if (lossMs !== undefined)
      samples.push({ name: 'holdfast_rpo_now_seconds', labels: { component, target: String(target) }, value: seconds(lossMs) });
  for (const { name, kind, rpoMs: own } of spec.components.values()) {
    const rpoMs = own ?? spec.objectives.rpoMs;
    if (kind === 'data' && rpoMs !== undefined)
      samples.push({ name: 'holdfast_rpo_objective_seconds', labels: { component: name }, value: seconds(rpoMs) });
  }
  for (const [region, { outageMs }] of recoveries)
    samples.push({ name: 'holdfast_rto_measured_seconds', labels: { region }, value: seconds(outageMs) });
  const { rtoMs } = spec.objectives;
  if (rtoMs !== undefined) samples.push({ name: 'holdfast_rto_objective_seconds', labels: {}, value: seconds(rtoMs) });
  return samples;
}

async function readVerdict(control: Control, region: string): Promise<MetricSample[]> {
  const { state, votes } = await control.verdict(region);
  return [
    ...oneOf('holdfast_region_verdict', { region }, 'state', regionStates, state),
    ...regionStates.map((says) => ({
      name: 'holdfast_region_votes',
      labels: { region, says },
      value: votes.filter((vote) => vote.says === says).length,
    })),
  ];
}

async function readControllers(control: Control): Promise<MetricSample[]> {
  const { store, host } = control.parts;
  if (control.fleet) {
    const { members, lead } = await control.fleet.read();
    return members.flatMap(({ region, controller = region, present }) => [
      { name: 'holdfast_controller_up', labels: { controller }, value: present ? 1 : 0 },
      { name: 'holdfast_controller_leads', labels: { controller }, value: present && controller === lead ? 1 : 0 },
    ]);
  }
  const [presences, lease] = await Promise.all([readPresences(store), store.readLease('serve')]);
  const nowMs = host.clock.nowMs();
  return [...presences.values()].flatMap((presence) => {
    const labels = { controller: presence.controller };
    const leads = lease?.held === true && lease.holder === presence.controller;
    return [
      { name: 'holdfast_controller_up', labels, value: isPresent(presence, nowMs, host.processes) ? 1 : 0 },
      { name: 'holdfast_controller_leads', labels, value: leads ? 1 : 0 },
    ];
  });
}

async function readOpenExecutions(control: Control): Promise<MetricSample[]> {
  const { store } = control.parts;
  const counts = new Map<string, { kind: string; status: ExecutionStatus; count: number }>();
  for (const id of await listOpenExecutions(store)) {
    const { header, state } = await loadExecution(store, id);
    const key = `${header.kind} ${state.status}`;
    const known = counts.get(key) ?? { kind: header.kind, status: state.status, count: 0 };
    counts.set(key, { ...known, count: known.count + 1 });
  }
  return [...counts.values()].map(({ kind, status, count }) => ({
    name: 'holdfast_executions_open',
    labels: { kind, status },
    value: count,
  }));
}
