/** The platform at a glance, and what stands in the way of surviving a disaster. Pure. */
import { formatDuration } from '../../base/durations.ts';
import { formatInstant } from '../../base/instants.ts';
import { formatSize } from '../../base/sizes.ts';
import type { Explanation, PlatformStatus, SiteStatus } from '../../control/status.ts';
import type { RegionReadiness } from '../../watch/readiness.ts';
import { type Palette, table } from '../terminal.ts';
import { backupStatusText } from './backup-status-text.ts';
import { faultLine } from './fault-text.ts';
import { fleetLines } from './fleet-text.ts';

function stateWord(site: SiteStatus, palette: Palette): string {
  const paint = site.state === 'up' ? palette.good : site.state === 'down' ? palette.bad : palette.warn;
  return paint(site.state);
}

function detailOf(site: SiteStatus): string {
  const { observation } = site;
  if (!observation) return 'not looked at yet';
  if (site.state !== 'up') return observation.evidence.detail;
  const parts: string[] = [];
  if (observation.replicas) parts.push(`${observation.replicas.ready} of ${observation.replicas.wanted} ready`);
  const upstream = observation.replication?.upstream;
  if (upstream) parts.push(upstream.link === 'up' ? 'receives' : `link ${upstream.link}`);
  for (const standby of observation.replication?.standbys ?? []) {
    const lag = standby.lagBytes === undefined ? '' : `, ${formatSize(Number(standby.lagBytes))} behind`;
    parts.push(`${standby.member} ${standby.inSync ? 'in sync' : standby.link}${lag}`);
  }
  if (observation.position) parts.push(`at ${observation.position.text}`);
  return parts.join(', ');
}

export function readinessLine(readiness: RegionReadiness, palette: Palette): string {
  const rpo = readiness.rpoNowMs === undefined ? 'unproven' : formatDuration(readiness.rpoNowMs);
  const rto = readiness.rtoMs === undefined ? 'unproven' : formatDuration(readiness.rtoMs);
  if (!readiness.target) return `${readiness.losing}: ${readiness.ready ? 'carries nothing now' : palette.bad('nothing could take over')}`;
  const word = readiness.ready ? palette.good('we would survive') : palette.bad('AT RISK');
  return `losing ${readiness.losing} now: ${word} in ${readiness.target}, loss ${rpo}, recovery time ${rto}`;
}

export function faultLines(readiness: RegionReadiness, palette: Palette): string[] {
  return readiness.faults.map((fault) => faultLine(fault, palette));
}

export function statusText(status: PlatformStatus, palette: Palette): string {
  const rows = status.sites.map((site) => [
    site.component,
    site.region === status.activeRegion ? palette.strong(`${site.region} *`) : site.region,
    stateWord(site, palette),
    site.observation?.role ?? '',
    site.ageMs === undefined ? '' : palette.dim(`${formatDuration(Math.max(0, site.ageMs))} ago`),
    detailOf(site),
  ]);
  const watchers = status.fleet
    ? ''
    : status.controllers.length === 0
      ? palette.warn('nobody watches: run holdfast serve')
      : `watched by ${status.controllers.map((each) => each.controller).join(', ')}`;
  return [
    `${palette.strong(status.platform)}   active: ${palette.strong(status.activeRegion)}   epoch ${status.epoch}   ${watchers}`,
    ...(status.fleet ? fleetLines(status.fleet, palette) : []),
    '',
    table([['component', 'region', 'state', 'role', 'seen', ''].map(palette.dim), ...rows]),
    '',
    readinessLine(status.readiness, palette),
    ...faultLines(status.readiness, palette),
    ...backupStatusText(status.backups, status.atMs, palette),
    ...(status.execution ? ['', palette.warn(`under way: ${status.execution}`)] : []),
    ...(status.recent.length === 0
      ? []
      : ['', ...status.recent.map((each) => `${palette.dim(formatInstant(each.startedAtMs))}  ${each.id}  ${each.status}`)]),
  ].join('\n');
}

export function whyText(explanation: Explanation, palette: Palette): string {
  const { now, verdict, history } = explanation;
  return [
    ...(explanation.fleet ? [...fleetLines(explanation.fleet, palette), ''] : []),
    palette.strong(now.act ? 'It would fail over now.' : 'It does not fail over now.'),
    ...now.blocks.map(
      (block) => `  ${palette.warn(block.code)}  ${block.message}\n           ${palette.dim(`changes when ${block.changesWhen}`)}`,
    ),
    '',
    `${verdict.region} is ${verdict.state}; ${verdict.needed} vote${verdict.needed === 1 ? '' : 's'} for lost needed`,
    ...verdict.votes.flatMap((vote) => [
      `  ${vote.controller} says ${vote.says}${vote.notCounted === undefined ? '' : palette.warn(`, which does not count: ${vote.notCounted}`)}`,
      ...vote.because.map((reason) => `    ${palette.dim(reason)}`),
    ]),
    ...(history.length === 0 ? [] : ['', 'earlier, newest first']),
    ...history.map(
      (record) =>
        `  ${palette.dim(formatInstant(record.atMs))}  ${record.act ? palette.bad('acted') : 'held'}  ${record.summary}${record.execution ? ` (${record.execution})` : ''}`,
    ),
  ].join('\n');
}
