/**
 * The vaults of a ledger: which there are, how each one is, how far it has come.
 *
 * A vault is always named together with its own organization, as the ledger lists it. Heights and slugs are bigint. What GetVault says of a vault's state is never used: it is the same
 * for every vault. Divergence is told by HealthService, and an answer "healthy" for a vault of height 0 is given for vaults that do not exist.
 */
import { fail, HoldfastError } from '../../base/errors.ts';
import type { Limit, Node } from './nodes.ts';

export interface VaultName {
  readonly organization: bigint;
  readonly vault: bigint;
}

export interface Tip {
  readonly height: bigint;
  readonly blockHash: string;
  readonly stateRoot: string;
}

export interface VaultHealth {
  readonly state: 'healthy' | 'diverged' | 'recovering' | 'unknown';
  readonly height: bigint;
  readonly detail: string;
}

interface RawVault {
  readonly organization: { readonly slug: string } | null;
  readonly vault: { readonly slug: string } | null;
}

const pageSize = 500;
/** More than any ledger has; a node that goes on for ever is not one. */
const pagesMax = 10_000;

export const requestOf = ({ organization, vault }: VaultName) => ({
  organization: { slug: String(organization) },
  vault: { slug: String(vault) },
});
export const nameOf = ({ organization, vault }: VaultName): string => `vault ${vault} of organization ${organization}`;

export async function readOrganizations(node: Node, limit: Limit): Promise<readonly bigint[]> {
  if ((await node.profile(limit)) === 'A')
    return [...new Set((await listVaults(node, limit)).map(({ organization }) => organization))].sort(ascending);
  const { organizations } = await node.call<{ organizations: readonly { readonly slug: { readonly slug: string } | null }[] }>(
    // Asked of the organizations themselves, B shows only the caller's.
    'SystemDiscoveryService/GetSystemState',
    {},
    limit,
  );
  return organizations.map(({ slug }) => BigInt(slug?.slug ?? 0)).sort(ascending);
}

/** All of them, all pages read. */
export async function listVaults(node: Node, limit: Limit): Promise<readonly VaultName[]> {
  if ((await node.profile(limit)) === 'A') {
    const { vaults } = await node.call<{ vaults: readonly RawVault[] }>('AdminService/ListVaults', {}, limit);
    return vaults.map((raw) => readName(raw, node));
  }
  const found: VaultName[] = [];
  for (const organization of await readOrganizations(node, limit)) {
    let token: Uint8Array = new Uint8Array();
    for (let page = 0; ; page += 1) {
      const answer = await node.call<{ vaults: readonly RawVault[]; next_page_token: Uint8Array }>(
        'VaultService/ListVaults',
        { organization: { slug: String(organization) }, page_size: pageSize, page_token: token },
        limit,
      );
      found.push(...answer.vaults.map((raw) => readName(raw, node)));
      const next = answer.next_page_token;
      if (next.length === 0) break;
      if (Buffer.compare(next, token) === 0 || page === pagesMax)
        throw fail('SYSTEM_WRONG_ANSWER', { subject: node.address, message: `${node.address} lists the same page of vaults for ever` });
      token = next;
    }
  }
  return found;
}

function readName(raw: RawVault, node: Node): VaultName {
  if (raw.organization === null || raw.vault === null)
    throw fail('SYSTEM_WRONG_ANSWER', { subject: node.address, message: `${node.address} lists a vault without its name` });
  return { organization: BigInt(raw.organization.slug), vault: BigInt(raw.vault.slug) };
}

export async function readTip(node: Node, name: VaultName, limit: Limit): Promise<Tip> {
  const raw = await node.call<{ height: string; block_hash: { value: Uint8Array } | null; state_root: { value: Uint8Array } | null }>(
    'ReadService/GetTip',
    requestOf(name),
    limit,
  );
  const hex = (hash: { value: Uint8Array } | null) => Buffer.from(hash?.value ?? []).toString('hex');
  return { height: BigInt(raw.height), blockHash: hex(raw.block_hash), stateRoot: hex(raw.state_root) };
}

const statusHealthy = 1;

export async function readVaultHealth(node: Node, name: VaultName, limit: Limit): Promise<VaultHealth> {
  const { status, message, details } = await node.call<{ status: number; message: string; details: Readonly<Record<string, string>> }>(
    'HealthService/Check',
    requestOf(name),
    limit,
  );
  const height = /^\d+$/.test(details.block_height ?? '') ? BigInt(details.block_height as string) : 0n;
  const said = details.health_status;
  const at = details.diverged_at_height;
  const detail = `${nameOf(name)} on ${node.address} is ${said ?? 'of unknown health'}${at ? ` since height ${at}` : ''}${message ? `: ${message}` : ''}`;
  if (said === 'diverged' || said === 'recovering') return { state: said, height, detail };
  return { state: said === 'healthy' && status === statusHealthy ? 'healthy' : 'unknown', height, detail };
}

export interface Integrity {
  readonly ok: boolean;
  readonly tip: Tip;
  readonly detail: string;
}

/** One vault on one node: checked by the ledger, of a height above 0, and where something is known of it, no less than that. */
export async function checkIntegrity(node: Node, name: VaultName, full: boolean, limit: Limit): Promise<Integrity> {
  const answer = await node.call<{
    healthy: boolean;
    issues: readonly { block_height: string; issue_type: string; description: string }[];
  }>('AdminService/CheckIntegrity', { ...requestOf(name), full_check: full }, limit);
  const tip = await readTip(node, name, limit);
  const where = `${nameOf(name)} on ${node.address}`;
  if (!answer.healthy) {
    const issues = answer.issues.map(({ block_height, issue_type, description }) => `${issue_type} at ${block_height}: ${description}`);
    return { ok: false, tip, detail: `${where} is not sound: ${issues.join('; ') || 'the ledger names no issue'}` };
  }
  if (tip.height === 0n)
    return { ok: false, tip, detail: `${where} is called healthy and has no block: that is also the answer for a vault that is not there` };
  return { ok: true, tip, detail: `${where} is sound at height ${tip.height}` };
}

/** Undefined where the ledger says that there is none. */
export async function findTip(node: Node, name: VaultName, limit: Limit): Promise<Tip | undefined> {
  try {
    return await readTip(node, name, limit);
  } catch (error) {
    if (error instanceof HoldfastError && error.details.grpc === 5) return undefined;
    throw error;
  }
}

const ascending = (left: bigint, right: bigint): number => (left < right ? -1 : left > right ? 1 : 0);
