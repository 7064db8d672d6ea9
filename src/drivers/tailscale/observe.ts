/**
 * One look at the mesh from one region: are the nodes of the other regions online, do their keys hold, and do their ports answer from here.
 *
 * What the coordination server says (`Online`) is not taken for reach: it goes on to say so while the packets between two regions are lost. So each port is tried.
 */
import { formatDuration } from '../../base/durations.ts';
import { HoldfastError } from '../../base/errors.ts';
import { parseInstantMs } from '../../base/instants.ts';
import type { Hands } from '../../contracts/hands.ts';
import type { Reading } from '../../contracts/observation.ts';
import type { SiteContext } from '../../contracts/site-context.ts';
import { readingOf } from '../../contracts/workload/net-evidence.ts';
import { type Peer, type Reach, readStatus, type TailscaleStatus, tryPort } from './client.ts';
import type { NodeOptions, TailscaleOptions, TailscaleSiteOptions } from './options.ts';

export type TailscaleContext = SiteContext<TailscaleOptions, TailscaleSiteOptions>;
type Fault = NonNullable<Reading['faults']>[number];

interface NodeLook {
  readonly region: string;
  readonly name: string;
  readonly reached: boolean;
  readonly faults: readonly Fault[];
}

export async function observeMesh(context: TailscaleContext, hands: Hands, signal: AbortSignal): Promise<Reading> {
  const { options, probeTimeoutMs } = context;
  try {
    const status = await readStatus(hands, options.program, probeTimeoutMs, signal);
    const tailnet = status.CurrentTailnet?.Name;
    if (status.BackendState !== 'Running')
      return readingOf({ kind: 'wrong-answer', detail: `Tailscale on ${hands.name} is ${status.BackendState}, not Running` });
    if (options.tailnet !== undefined && tailnet !== options.tailnet)
      return readingOf({ kind: 'error', detail: `${hands.name} is in the tailnet ${tailnet ?? 'without a name'}, not ${options.tailnet}` });
    return { ...(await judge(context, hands, status, signal)), ...(tailnet === undefined ? {} : { identity: tailnet }) };
  } catch (thrown) {
    if (!(thrown instanceof HoldfastError) || thrown.kind === 'bug') throw thrown;
    return readingOf({ kind: evidenceKind(thrown), detail: thrown.message });
  }
}

function evidenceKind({ code }: HoldfastError): 'wrong-answer' | 'timeout' | 'unreachable' | 'error' {
  if (code === 'SYSTEM_NOT_SERVING') return 'wrong-answer';
  if (code === 'TIMED_OUT' || code === 'INTERRUPTED') return 'timeout';
  return code === 'HANDS_UNREACHABLE' ? 'unreachable' : 'error';
}

async function judge(context: TailscaleContext, hands: Hands, status: TailscaleStatus, signal: AbortSignal): Promise<Reading> {
  const { sites, region: own } = context;
  const wanted = [...sites].filter(([region]) => region !== own).flatMap(([region, { nodes }]) => nodes.map((node) => ({ region, node })));
  const looks = await Promise.all(wanted.map(({ region, node }) => lookAtNode(context, hands, { region, node, status }, signal)));
  const regions = [...new Set(wanted.map(({ region }) => region))];
  const lost = regions.filter((region) => !looks.some((look) => look.region === region && look.reached));
  const reached = looks.filter((look) => look.reached).length;
  const detail =
    lost.length === 0
      ? `${reached} of ${looks.length} nodes of other regions are reached`
      : `no node of ${lost.join(', ')} is reached over the tailnet`;
  return {
    ...readingOf({ kind: lost.length === 0 ? 'answered' : 'wrong-answer', detail }),
    faults: [
      ...looks.flatMap(({ faults }) => faults),
      ...(status.Self ? keyFaults('this node', status.Self, context) : []),
      ...(status.Health ?? []).map((message) => ({
        severity: 'warning' as const,
        message: `Tailscale says: ${message}`,
        hint: 'tailscale status tells more.',
      })),
    ],
    facts: { version: status.Version, nodes: looks.length, reached, lost },
  };
}

async function lookAtNode(
  context: TailscaleContext,
  hands: Hands,
  { region, node, status }: { readonly region: string; readonly node: NodeOptions; readonly status: TailscaleStatus },
  signal: AbortSignal,
): Promise<NodeLook> {
  const label = `${node.name} in ${region}`;
  const peer = findPeer(status, node.name);
  const address = peer?.TailscaleIPs?.[0];
  if (peer === undefined || address === undefined)
    return {
      region,
      name: node.name,
      reached: false,
      faults: [problem(`the tailnet has no node ${label}`, 'Is it logged in, and may this node see it (ACL)?')],
    };
  const keys = keyFaults(label, peer, context);
  if (!peer.Online) {
    const since = peer.LastSeen === undefined ? '' : `, last seen ${peer.LastSeen}`;
    return {
      region,
      name: node.name,
      reached: false,
      faults: [problem(`${label} is offline${since}`, 'Bring its machine or its network back.'), ...keys],
    };
  }
  const ports = await Promise.all(
    node.ports.map(async (port) => ({ port, reach: await tryPort(hands, address, port, context.probeTimeoutMs, signal) })),
  );
  const closed = ports.filter(({ reach }) => reach !== 'open');
  return {
    region,
    name: node.name,
    reached: closed.length === 0,
    faults: [...closed.map(({ port, reach }) => problem(`port ${port} of ${label} ${reachWords[reach]}`, reachHints[reach])), ...keys],
  };
}

const reachWords: Readonly<Record<Reach, string>> = {
  open: 'answers',
  refused: 'refuses: nothing listens there',
  silent: 'is silent',
  'no-way': 'can not be reached',
};
const reachHints: Readonly<Record<Reach, string>> = {
  open: '',
  refused: 'Start what should listen there, on the address of the tailnet.',
  silent: 'The link is cut, or a rule of the tailnet or a packet filter drops it.',
  'no-way': 'Look at the routes of the tailnet on this machine.',
};

const problem = (message: string, hint: string): Fault => ({ severity: 'problem', message, hint });

function findPeer({ Peer: peers }: TailscaleStatus, name: string): Peer | undefined {
  const wanted = name.replace(/\.$/, '').toLowerCase();
  return Object.values(peers ?? {}).find(({ DNSName }) => {
    const full = DNSName.replace(/\.$/, '').toLowerCase();
    return full === wanted || full.split('.')[0] === wanted;
  });
}

function keyFaults(label: string, { KeyExpiry: ends, Expired: isOver }: Peer, { host, options }: TailscaleContext): readonly Fault[] {
  const hint = 'Log it in again, or switch key expiry off for servers.';
  if (isOver) return [problem(`the key of ${label} has ended`, hint)];
  if (ends === undefined) return [];
  const leftMs = parseInstantMs(ends) - host.clock.nowMs();
  if (leftMs <= 0) return [problem(`the key of ${label} has ended`, hint)];
  if (leftMs > options['key-expiry']) return [];
  return [{ severity: 'warning', message: `the key of ${label} ends in ${formatDuration(leftMs)}`, hint }];
}
