/** One look at the load balancers for one region: do they answer, how much of the traffic do they send there, and what would make a failover fail. */
import { HoldfastError } from '../../base/errors.ts';
import type { EvidenceKind, Reading, Role } from '../../contracts/observation.ts';
import type { BackendState, ServerState } from './backend-state.ts';
import { formatAdminAddress } from './options.ts';
import { type BalancerView, type RouteParts, readBalancers } from './route.ts';

type Fault = NonNullable<Reading['faults']>[number];
/** The share of each region's traffic, 0 to 1; empty where no server can take any. */
type Shares = ReadonlyMap<string, number>;

interface Answered {
  readonly name: string;
  readonly state: BackendState;
  readonly shares: Shares;
}

export async function observeBalancers(parts: RouteParts, region: string, signal: AbortSignal): Promise<Reading> {
  const views = await readBalancers(parts, signal);
  const answered: Answered[] = [];
  for (const { address, state } of views) {
    if (!(state instanceof HoldfastError)) answered.push({ name: formatAdminAddress(address), state, shares: computeShares(parts, state) });
  }
  const [first] = answered;
  if (first === undefined) return readingOfErrors(views);
  const share = first.shares.get(region) ?? 0;
  return {
    health: 'up',
    evidence: { kind: 'answered', detail: `${first.name} sends ${Math.round(share * 100)} % of the traffic to ${region}` },
    role: roleOf(region, answered),
    faults: [
      ...silentFaults(views),
      ...agreementFaults(answered),
      ...answered.flatMap((balancer) => serverFaults(parts, region, balancer)),
      ...reloadFaults(parts),
    ],
    facts: {
      balancers: answered.map(({ name, state, shares }) => ({
        name,
        shares: Object.fromEntries(shares),
        epoch: state.epoch,
        servers: [...state.servers.values()].map(({ name: server, weight, isUp, inMaintenance, draining, sessions }) => ({
          server,
          weight,
          isUp,
          inMaintenance,
          draining,
          sessions,
        })),
      })),
    },
  };
}

/** By the weights of servers that can take traffic now. Backup servers count only where no other one is up. */
export function computeShares(parts: Pick<RouteParts, 'sites'>, state: BackendState): Shares {
  const usable = [...state.servers.values()].filter(
    (server) => server.isUp && !server.inMaintenance && !server.draining && server.weight > 0,
  );
  const active = usable.filter(({ isBackup }) => !isBackup);
  const receiving = active.length > 0 ? active : usable.slice(0, 1);
  const total = receiving.reduce((sum, { weight }) => sum + weight, 0);
  const shares = new Map<string, number>();
  for (const [region, site] of parts.sites) {
    const own = receiving.filter(({ name }) => site.server.includes(name)).reduce((sum, { weight }) => sum + weight, 0);
    shares.set(region, total === 0 ? 0 : own / total);
  }
  return shares;
}

/** With several load balancers the answer must be the same from all. Where two regions get equally much, none is the primary. */
function roleOf(region: string, answered: readonly Answered[]): Role {
  const roles = new Set(answered.map(({ shares }) => roleIn(region, shares)));
  const [only] = roles;
  return roles.size === 1 && only !== undefined ? only : 'unknown';
}

function roleIn(region: string, shares: Shares): Role {
  const own = shares.get(region) ?? 0;
  const largest = Math.max(0, ...shares.values());
  if (largest === 0) return 'none';
  if (own < largest) return 'standby';
  return [...shares.values()].filter((share) => share === largest).length === 1 ? 'primary' : 'unknown';
}

function readingOfErrors(views: readonly BalancerView[]): Reading {
  const errors = views.map(({ state }) => state).filter((state) => state instanceof HoldfastError);
  const broken = errors.find(({ kind }) => kind === 'bug');
  if (broken !== undefined) throw broken;
  const kinds = errors.map(evidenceKind);
  const sure = kinds.length > 0 && kinds.every((kind) => kind === 'refused' || kind === 'wrong-answer');
  return {
    health: sure ? 'down' : 'unknown',
    evidence: { kind: kinds.find((kind) => kind !== 'refused') ?? 'refused', detail: errors.map(({ message }) => message).join('; ') },
  };
}

function evidenceKind(error: HoldfastError): EvidenceKind {
  if (error.code === 'SYSTEM_WRONG_CREDENTIALS') return 'not-allowed';
  if (error.code === 'SYSTEM_WRONG_ANSWER' || error.code === 'NOT_FOUND') return 'wrong-answer';
  switch (error.details.cause) {
    case 'refused':
      return 'refused';
    case 'reset':
      return 'connection-lost';
    case 'timeout':
      return 'timeout';
    case 'unreachable':
      return 'unreachable';
    default:
      // An interrupted probe is one whose time was over.
      return error.code === 'TIMED_OUT' || error.code === 'INTERRUPTED' ? 'timeout' : 'error';
  }
}

function silentFaults(views: readonly BalancerView[]): readonly Fault[] {
  const faults: Fault[] = [];
  for (const { address, state } of views) {
    if (state instanceof HoldfastError)
      faults.push({ severity: 'problem', message: `${formatAdminAddress(address)} can't be asked: ${state.message}`, hint: state.hint });
  }
  return faults;
}

function agreementFaults(answered: readonly Answered[]): readonly Fault[] {
  const texts = answered.map(({ shares }) => [...shares].map(([region, share]) => `${region} ${Math.round(share * 100)} %`).join(', '));
  if (new Set(texts).size <= 1) return [];
  const message = `the load balancers disagree: ${answered.map(({ name }, index) => `${name}: ${texts[index]}`).join('; ')}`;
  return [{ severity: 'problem', message, hint: 'One of them was reloaded or changed by hand: route to the active region again.' }];
}

function serverFaults(parts: RouteParts, region: string, { name, state }: Answered): readonly Fault[] {
  const servers = (parts.sites.get(region)?.server ?? []).map((server) => ({ server, found: state.servers.get(server) }));
  const faults: Fault[] = [];
  for (const { server, found } of servers) {
    if (found === undefined)
      faults.push({
        severity: 'problem',
        message: `${name}: the backend has no server ${server}`,
        hint: 'Set server of the site to the name on its server line in the backend.',
      });
    else if (!found.hasHealthCheck)
      faults.push({
        severity: 'warning',
        message: `${name}: ${server} has no health check`,
        hint: 'Without "check" on its server line HAProxy goes on sending it traffic after its death.',
      });
  }
  const known = servers.map(({ found }) => found).filter((found): found is ServerState => found !== undefined);
  // In maintenance nothing is checked, so nothing is known.
  const checked = known.filter((server) => server.hasHealthCheck && !server.inMaintenance);
  if (known.length > 0 && checked.length === known.length && checked.every(({ isUp, draining }) => !isUp && !draining)) {
    faults.push({
      severity: 'problem',
      message: `${name}: no server of ${region} passes its health check`,
      hint: 'Traffic sent there would be answered with errors: see "show servers state" and the log of HAProxy.',
    });
  }
  return faults;
}

function reloadFaults(parts: RouteParts): readonly Fault[] {
  if (parts.options['survives-reload']) return [];
  return [
    {
      severity: 'warning',
      message: 'it is not known whether HAProxy keeps the route when it is reloaded',
      hint: 'Configure load-server-state-from-file and write the file before each reload, then set survives-reload: true; otherwise a reload sends traffic back to where its configuration says.',
    },
  ];
}
