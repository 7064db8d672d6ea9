/** The nodes of one site, and which of them is the active one. */
import { fail, HoldfastError } from '../../base/errors.ts';
import type { Host } from '../../host/host.ts';
import { type CallOptions, type NodeHealth, VaultNode } from './client.ts';
import type { VaultSiteOptions } from './options.ts';

export interface Look {
  readonly node: VaultNode;
  readonly health?: NodeHealth;
  readonly error?: unknown;
}

export function openNodes(host: Host, site: VaultSiteOptions): readonly VaultNode[] {
  const readCa = async (): Promise<string | undefined> => (site.ca === undefined ? undefined : host.files.readText(site.ca));
  return site.endpoints.map((url) => new VaultNode(host, url, readCa));
}

export async function lookAt(nodes: readonly VaultNode[], call: CallOptions): Promise<readonly Look[]> {
  return Promise.all(
    nodes.map(async (node) => {
      try {
        return { node, health: await node.health(call) };
      } catch (error) {
        if (error instanceof HoldfastError && error.kind === 'bug') throw error;
        return { node, error };
      }
    }),
  );
}

export interface ActiveNode {
  readonly node: VaultNode;
  readonly clusterId: string;
  readonly version: string;
}

/** The one that serves; a cluster that is not the expected one is refused before anything is asked of it. */
export async function requireActive(nodes: readonly VaultNode[], site: VaultSiteOptions, call: CallOptions): Promise<ActiveNode> {
  const looks = await lookAt(nodes, call);
  call.signal.throwIfAborted();
  const active = looks.find(({ health }) => health?.state === 'active');
  if (active?.health?.clusterId === undefined) throw noActive(looks);
  const { clusterId, version } = active.health;
  if (site['cluster-id'] !== undefined && site['cluster-id'] !== clusterId)
    throw fail('SYSTEM_WRONG_IDENTITY', { message: `${active.node.name} is of the cluster ${clusterId}, not ${site['cluster-id']}` });
  return { node: active.node, clusterId, version };
}

function noActive(looks: readonly Look[]): unknown {
  const answered = looks.find(({ health }) => health !== undefined);
  if (answered?.health === undefined) return looks[0]?.error;
  const states = looks.map(({ node, health }) => `${node.name} is ${health?.state ?? 'silent'}`).join(', ');
  return fail(answered.health.state === 'sealed' ? 'SYSTEM_NOT_SERVING' : 'SYSTEM_WRONG_ROLE', {
    message: `no node is active: ${states}`,
    hint: 'Unseal the nodes, or name the endpoints of the region in which the active one is.',
  });
}
