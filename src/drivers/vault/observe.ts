/** One look at the nodes of a region: what their health says by number, what autopilot says of the cluster, and what stands in the way of opening a restored copy. */
import { formatDuration } from '../../base/durations.ts';
import { HoldfastError } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import type { Evidence, Position, Reading, Role } from '../../contracts/observation.ts';
import type { SiteContext } from '../../contracts/site-context.ts';
import { evidenceOfNetError, readingOf } from '../../contracts/workload/net-evidence.ts';
import type { CallOptions, NodeState, VaultNode } from './client.ts';
import { type Look, lookAt } from './nodes.ts';
import { dayMs, type VaultOptions, type VaultSiteOptions } from './options.ts';

export type VaultContext = SiteContext<VaultOptions, VaultSiteOptions>;
type Fault = NonNullable<Reading['faults']>[number];

/** The best first: clients are served by an active node, and by standbys that reach it. */
const serving: readonly NodeState[] = ['active', 'dr-secondary', 'performance-standby', 'standby'];
const roles: Readonly<Partial<Record<NodeState, Role>>> = {
  active: 'primary',
  'dr-secondary': 'standby',
  standby: 'standby',
  'performance-standby': 'standby',
};
const words: Readonly<Record<NodeState, string>> = {
  active: 'is active',
  standby: 'is a standby',
  'performance-standby': 'is a performance standby',
  'dr-secondary': 'is a secondary for disaster recovery',
  'cut-off': 'is a standby that can not reach the active node',
  uninitialized: 'is not initialized',
  sealed: 'is sealed',
  removed: 'was removed from its cluster',
};

export const positionOf = (clusterId: string, index: string): Position & JsonObject => ({
  history: clusterId,
  timeline: 1,
  offset: index,
  text: `index ${index}`,
});

export async function observeNodes(context: VaultContext, nodes: readonly VaultNode[], signal: AbortSignal): Promise<Reading> {
  const { options, site, probeTimeoutMs, host } = context;
  const call = { timeoutMs: probeTimeoutMs, signal, token: options.token };
  const looks = await lookAt(nodes, call);
  const answered = looks.flatMap(({ node, health }) => (health ? [{ node, health }] : []));
  const best = serving.flatMap((state) => answered.filter(({ health }) => health.state === state))[0] ?? answered[0];
  if (best === undefined) return readingOf(silence(looks));
  const { state, clusterId, version } = best.health;
  if (site['cluster-id'] !== undefined && clusterId !== undefined && clusterId !== site['cluster-id'])
    return readingOf({ kind: 'error', detail: `${best.node.name} is of the cluster ${clusterId}, not ${site['cluster-id']}` });
  const autopilot = state === 'active' && clusterId !== undefined ? await readAutopilot(best.node, clusterId, call) : undefined;
  const role = roles[state];
  return {
    ...readingOf({
      kind: serving.includes(state) ? 'answered' : 'wrong-answer',
      detail: `${best.node.name} ${words[state]}, version ${version}`,
    }),
    ...(role === undefined ? {} : { role, writable: state === 'active' }),
    ...(clusterId === undefined ? {} : { identity: clusterId }),
    ...(autopilot?.position === undefined ? {} : { position: autopilot.position }),
    faults: [
      ...nodeFaults(looks),
      ...(autopilot?.faults ?? []).filter(() => site['fresh-token'] === undefined),
      ...custodyFaults(options, host.clock.nowMs()),
    ],
    facts: {
      version,
      nodes: Object.fromEntries(looks.map(({ node, health }) => [node.name, health?.state ?? 'silent'])),
      ...autopilot?.facts,
    },
  };
}

function silence(looks: readonly Look[]): Evidence {
  const evidences = looks.map(({ node, error }) => evidenceOf(error, node.name));
  // A live host that says no is evidence only where all do.
  return evidences.find(({ kind }) => kind !== 'refused') ?? (evidences[0] as Evidence);
}

/** A file of certificates that can't be read says nothing of Vault. */
function evidenceOf(error: unknown, name: string): Evidence {
  if (error instanceof HoldfastError && error.kind === 'invalid') return { kind: 'error', detail: error.message };
  return evidenceOfNetError(error, name);
}

function nodeFaults(looks: readonly Look[]): readonly Fault[] {
  const faults: Fault[] = [];
  for (const { node, health, error } of looks) {
    if (health === undefined)
      faults.push({
        severity: 'warning',
        message: `a node does not answer: ${evidenceOf(error, node.name).detail}`,
        hint: 'Bring it back before another one goes.',
      });
    else if (!serving.includes(health.state))
      faults.push({
        severity: 'problem',
        message: `${node.name} ${words[health.state]}`,
        hint: health.state === 'sealed' ? 'Unseal it with the key shares of this cluster.' : 'See its log.',
      });
  }
  const clusters = new Set(looks.flatMap(({ health }) => health?.clusterId ?? []));
  if (clusters.size > 1)
    faults.push({
      severity: 'problem',
      message: `the endpoints belong to ${clusters.size} different clusters`,
      hint: 'A node was initialized on its own: see which cluster clients use.',
    });
  return faults;
}

interface Autopilot {
  readonly position?: Position;
  readonly faults: readonly Fault[];
  readonly facts: JsonObject;
}

async function readAutopilot(node: VaultNode, clusterId: string, call: CallOptions): Promise<Autopilot> {
  if (call.token === undefined)
    return {
      faults: [
        {
          severity: 'warning',
          message: 'no token is given: neither the cluster can be looked into, nor a snapshot taken',
          hint: 'Give token.',
        },
      ],
      facts: {},
    };
  try {
    const { data } = await node.call('GET', '/v1/sys/storage/raft/autopilot/state', call);
    return judgeAutopilot((data ?? {}) as AutopilotState, clusterId);
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.kind === 'bug') throw error;
    const isToken = error.code === 'SYSTEM_WRONG_CREDENTIALS';
    return {
      faults: [
        {
          severity: isToken || error.code === 'SYSTEM_REFUSED' ? 'problem' : 'warning',
          message: `autopilot could not be asked: ${error.message}`,
          hint: isToken
            ? 'The token is not valid, or its policy lacks read on sys/storage/raft/*.'
            : 'Snapshots need integrated storage (raft).',
        },
      ],
      facts: {},
    };
  }
}

interface AutopilotState {
  readonly healthy?: unknown;
  readonly failure_tolerance?: unknown;
  readonly leader?: unknown;
  readonly servers?: Readonly<Record<string, { readonly healthy?: unknown; readonly last_index?: unknown; readonly name?: unknown }>>;
}

export function judgeAutopilot(state: AutopilotState, clusterId: string): Autopilot {
  const servers = Object.entries(state.servers ?? {});
  const leader = servers.find(([id]) => id === state.leader)?.[1];
  if (typeof state.healthy !== 'boolean' || typeof leader?.last_index !== 'number') return { faults: [], facts: { autopilot: 'silent' } };
  const leaderIndex = leader.last_index;
  const behind = servers.map(([, server]) => leaderIndex - Number(server.last_index ?? leaderIndex));
  const tolerance = Number(state.failure_tolerance ?? 0);
  const sick = servers.filter(([, server]) => server.healthy !== true).map(([id]) => id);
  const faults: Fault[] = [];
  if (sick.length > 0 || !state.healthy)
    faults.push({
      severity: 'problem',
      message: `autopilot says that the cluster is not healthy: ${sick.join(', ') || 'no server is named'}`,
      hint: 'vault operator raft autopilot state tells more.',
    });
  if (tolerance === 0)
    faults.push({ severity: 'warning', message: 'the cluster survives the loss of no node', hint: 'Run three or five nodes.' });
  return {
    position: positionOf(clusterId, String(leaderIndex)),
    faults,
    facts: { servers: servers.length, failureTolerance: tolerance, raftLag: String(Math.max(0, ...behind)) },
  };
}

/** A snapshot that nobody can unseal is no backup, and credentials that are only in the Vault that is down are no credentials. */
export function custodyFaults(options: VaultOptions, nowMs: number): readonly Fault[] {
  const escrow = options['key-escrow'];
  const glass = options['break-glass'];
  return [
    ...(escrow === undefined
      ? [
          {
            severity: 'warning' as const,
            message: 'nobody says where the unseal keys are kept: a snapshot can be opened only with those of its own time',
            hint: 'Keep the shares outside of this Vault and say where in key-escrow.',
          },
        ]
      : overdue(
          'the unseal keys were shown to open a restored copy',
          escrow['last-drill'],
          escrow['drill-every'],
          'Restore into an empty node, unseal it with the kept shares, and note the day in key-escrow.last-drill.',
          nowMs,
        )),
    ...(glass === undefined
      ? [
          {
            severity: 'warning' as const,
            message: 'nobody says how people get at credentials while this Vault is down',
            hint: 'Keep what a recovery needs elsewhere too and say where in break-glass.',
          },
        ]
      : overdue(
          'credentials were used with this Vault down',
          glass['last-test'],
          glass['test-every'],
          'Use them once without this Vault, and note the day in break-glass.last-test.',
          nowMs,
        )),
  ];
}

function overdue(what: string, last: string | undefined, everyMs: number, hint: string, nowMs: number): readonly Fault[] {
  if (last === undefined) return [{ severity: 'warning', message: `it is not known that ${what}`, hint }];
  const ageMs = nowMs - dayMs(last);
  if (ageMs < 0) return [{ severity: 'warning', message: `the day on which ${what}, ${last}, is still to come`, hint }];
  return ageMs <= everyMs
    ? []
    : [{ severity: 'warning', message: `it is ${formatDuration(ageMs)} since ${what}; ${formatDuration(everyMs)} are allowed`, hint }];
}
