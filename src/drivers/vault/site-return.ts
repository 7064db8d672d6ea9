/**
 * Brings a snapshot into an empty node of another cluster, which thereby becomes the cluster that the snapshot was taken of: its secrets, its tokens, its unseal keys.
 *
 * Invariants: only a single, unsealed node that holds nothing is ever written over, and it is noted before that it was one. Vault says yes before it has applied a snapshot, and seals itself
 * afterwards, for its own keys do not open what came: nothing counts as brought until the node is active as the cluster of the backup and carries the mark of this restore.
 * After a crash the note tells our own unmarked content from content of others.
 */
import { fail, HoldfastError } from '../../base/errors.ts';
import type { BackupReader, RecoveryTarget } from '../../contracts/backup.ts';
import type { BringStep, CallsReturn } from '../../contracts/site-return.ts';
import type { StepContext } from '../../contracts/verbs.ts';
import { snapshotPart } from './backup-source.ts';
import type { CallOptions, VaultNode } from './client.ts';
import { openNodes, requireActive } from './nodes.ts';
import type { VaultContext } from './observe.ts';
import { isOwnInstant, otherInstant, readWhole } from './restore.ts';

/** A policy that nobody has: the one place for a word of ours that every Vault has, and that no mount need be made for. */
export const markPath = '/v1/sys/policies/acl/holdfast-restored';
const appliedMaxMs = 300_000;
const pollMs = 500;
/** What every Vault has from its first hour. */
const ownMounts: ReadonlySet<string> = new Set([
  'cubbyhole',
  'identity',
  'system',
  'agent_registry',
  'ns_cubbyhole',
  'ns_identity',
  'ns_system',
  'ns_token',
  'token',
]);

interface Sent {
  readonly restore: string;
  /** The cluster that the node was before. */
  readonly was: string;
}

export function openReturn(context: VaultContext): CallsReturn | undefined {
  const { host, site, options } = context;
  if (options.token === undefined || site['fresh-token'] === undefined) return undefined;
  const nodes = openNodes(host, site);
  const callOf = ({ signal }: StepContext): CallOptions => ({ timeoutMs: options['call-timeout'], signal, token: options.token });
  return {
    kind: 'calls',
    holds: async (restoreId, step) => {
      for (const node of nodes) {
        const { state } = await node.health(callOf(step));
        if (state === 'active') return (await readMark(node, callOf(step))) === restoreId;
      }
      return false;
    },
    bring: (backup, target, restoreId, step) => bring(context, nodes, { backup, target, restoreId }, step),
  };
}

interface Wish {
  readonly backup: BackupReader;
  readonly target: RecoveryTarget;
  readonly restoreId: string;
}

async function bring(
  context: VaultContext,
  nodes: readonly VaultNode[],
  { backup, target, restoreId }: Wish,
  step: BringStep,
): Promise<void> {
  const { options, site } = context;
  if (!isOwnInstant(target)) throw fail('RESTORE_TARGET_UNREACHABLE', otherInstant(backup));
  const [node, ...others] = nodes;
  if (node === undefined || others.length > 0)
    throw fail('SYSTEM_WRONG_ROLE', {
      message: `a snapshot of another cluster is restored into one node, and ${nodes.length} are named`,
      hint: 'Name one endpoint in the region; let fresh nodes join it after the restore.',
    });
  const call: CallOptions = { timeoutMs: options['call-timeout'], signal: step.signal };
  let sent = sentBefore(step, restoreId);
  if (sent === undefined || (await clusterOf(node, call)) === sent.was) {
    const fresh = { ...call, token: site['fresh-token'] };
    const was = await requireFresh(node, site, fresh);
    step.progress('checking the snapshot');
    await readWhole(backup.readPart(snapshotPart));
    sent = { restore: restoreId, was };
    await step.keepOwn({ ...sent });
    step.progress(`sending the snapshot to ${node.name}`);
    await node.sendSnapshot(backup.readPart(snapshotPart), fresh);
  }
  await awaitOriginal(context, node, { sent, wanted: backup.facts.identity }, step);
  await node.call('PUT', markPath, { ...call, token: options.token, body: { policy: markOf(restoreId) } });
}

function sentBefore({ own }: BringStep, restoreId: string): Sent | undefined {
  const sent = own as unknown as Sent | undefined;
  return sent?.restore === restoreId ? sent : undefined;
}

const clusterOf = async (node: VaultNode, call: CallOptions): Promise<string | undefined> => (await node.health(call)).clusterId;

/** The id of the cluster, of a node that is alone in it and holds nothing. */
async function requireFresh(node: VaultNode, site: VaultContext['site'], call: CallOptions): Promise<string> {
  const { state } = await node.health(call);
  if (state === 'uninitialized' || state === 'sealed')
    throw fail('SYSTEM_WRONG_ROLE', {
      message: `${node.name} is ${state === 'sealed' ? 'sealed' : 'not initialized'}: a snapshot goes into a node that is initialized and unsealed`,
      hint: 'vault operator init, unseal it, and give its root token as fresh-token; its own keys are of no use after the restore.',
    });
  const { clusterId } = await requireActive([node], { ...site, 'cluster-id': undefined }, call);
  const [mounts, logins, raft] = await Promise.all([
    node.call('GET', '/v1/sys/mounts', call),
    node.call('GET', '/v1/sys/auth', call),
    node.call('GET', '/v1/sys/storage/raft/configuration', call),
  ]);
  const used = [mounts, logins].flatMap(({ data }) =>
    Object.entries((data ?? {}) as Record<string, { readonly type?: string }>).filter(([, { type }]) => !ownMounts.has(type ?? '')),
  );
  if (used.length > 0)
    throw fail('RESTORE_TARGET_NOT_EMPTY', {
      message: `${node.name} is in use: it has ${used.map(([path]) => path).join(', ')}`,
      hint: 'Restore into a node that was initialized for it and holds nothing.',
    });
  const { config } = (raft.data ?? {}) as { readonly config?: { readonly servers?: readonly unknown[] } };
  if (config?.servers?.length !== 1)
    throw fail('SYSTEM_WRONG_ROLE', {
      message: `${node.name} is one of ${config?.servers?.length ?? 'an unknown number of'} nodes: a restore of another cluster breaks the others`,
      hint: 'Restore into a single node, then let fresh nodes join.',
    });
  return clusterId;
}

async function awaitOriginal(
  context: VaultContext,
  node: VaultNode,
  { sent, wanted }: { readonly sent: Sent; readonly wanted: string },
  step: BringStep,
): Promise<void> {
  const { host, options } = context;
  const call: CallOptions = { timeoutMs: options['call-timeout'], signal: step.signal };
  const startedMs = host.clock.monotonicMs();
  for (;;) {
    const health = await healthOrSilence(node, call);
    if (health?.state === 'active') {
      if (health.clusterId === wanted) return;
      if (health.clusterId !== sent.was)
        throw fail('SYSTEM_WRONG_IDENTITY', {
          message: `${node.name} is the cluster ${health.clusterId} now, and the backup is of ${wanted}`,
        });
      if (host.clock.monotonicMs() - startedMs > appliedMaxMs)
        throw fail('RECOVERY_FELL_SHORT', { message: `${node.name} took the snapshot and has not applied it`, hint: 'See its log.' });
    }
    if (health?.state === 'sealed') {
      if (options['unseal-keys'] !== undefined) await unseal(node, options['unseal-keys'], call);
      else
        step.progress(
          `${node.name} is sealed: unseal it with the original keys${options['key-escrow'] ? ` (${options['key-escrow'].kept})` : ''}`,
        );
    }
    await host.clock.sleep(pollMs, step.signal);
  }
}

/** While a snapshot is applied a node may not answer; that it stays so ends with the time of the step. */
async function healthOrSilence(node: VaultNode, call: CallOptions) {
  try {
    return await node.health(call);
  } catch (error) {
    call.signal.throwIfAborted();
    if (error instanceof HoldfastError && error.kind === 'transient') return undefined;
    throw error;
  }
}

async function unseal(node: VaultNode, shares: NonNullable<VaultContext['options']['unseal-keys']>, call: CallOptions): Promise<void> {
  // What somebody began with other shares would be mixed with ours.
  await node.call('PUT', '/v1/sys/unseal', { ...call, body: { reset: true } });
  for (const share of shares) {
    const { sealed } = await node.call('PUT', '/v1/sys/unseal', { ...call, body: { key: share.reveal() } });
    if (sealed === false) return;
  }
  throw fail('SYSTEM_REFUSED', {
    message: `${node.name} stays sealed: the ${shares.length} shares given are not enough`,
    hint: 'Give as many shares as the threshold of the cluster that was backed up.',
  });
}

const markOf = (restoreId: string): string => `# restored by ${restoreId}\npath "holdfast-restored" {\n  capabilities = ["deny"]\n}\n`;

async function readMark(node: VaultNode, call: CallOptions): Promise<string | undefined> {
  try {
    const { data } = await node.call('GET', markPath, call);
    return /^# restored by (.+)$/m.exec(String((data as { readonly policy?: unknown } | undefined)?.policy ?? ''))?.[1];
  } catch (error) {
    // 404: no such policy. 403: a token of the backup's cluster means nothing to the empty one.
    const status = error instanceof HoldfastError ? error.details.status : undefined;
    if (status === 404 || status === 403) return undefined;
    throw error;
  }
}
