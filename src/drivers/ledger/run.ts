/**
 * What the verb run can do to a ledger: have a node leave, recover a vault, write a snapshot. Each is judged by its effect, for the ledger answers OK to what it has not done.
 *
 * A leave is sent to the node that leads and is done when the node is no member any more. A recovery is done when the vault is healthy; it is forced only with an approval in the step. A snapshot is done when the node's
 * counter has grown: the answer tells a path that does not exist, also where nothing was written. A controller that dies leaves a note of what was counted before.
 */
import { fail, HoldfastError } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import type { Inspection, StepContext, Verb } from '../../contracts/verbs.ts';
import { readCounter, sumOf } from './metrics.ts';
import { findLeader, type LedgerContext, type Limit, type Node } from './nodes.ts';
import type { LedgerOptions } from './options.ts';
import { checkIntegrity, nameOf, readVaultHealth, requestOf, type VaultName } from './vaults.ts';

type RunOptions = NonNullable<LedgerOptions['run']>;

interface Work {
  readonly context: LedgerContext;
  readonly nodes: readonly Node[];
  readonly limit: Limit;
  readonly step: StepContext;
}

/** What a plan may say in the step: what is to be done where the spec says nothing, and who has approved of force. */
export function runVerb(context: LedgerContext, nodes: readonly Node[]): Verb {
  const workOf = (step: StepContext): Work => ({
    context,
    nodes,
    step,
    limit: { timeoutMs: context.options['call-timeout'], signal: step.signal },
  });
  const wanted = (want: JsonObject): RunOptions => (context.options.run ?? want) as RunOptions;
  return {
    inspect: async (want, step) => {
      const { leave, recover, snapshot } = wanted(want);
      if (leave) return inspectLeave(workOf(step), BigInt(leave.node));
      if (recover) return inspectRecovery(workOf(step), vaultOf(recover));
      if (snapshot) return inspectSnapshot(workOf(step), vaultOf(snapshot));
      throw nothingToRun();
    },
    apply: async (want, step) => {
      const { leave, recover, snapshot } = wanted(want);
      if (leave) await applyLeave(workOf(step), BigInt(leave.node));
      else if (recover) await applyRecovery(workOf(step), vaultOf(recover), recover.force === true, want);
      else if (snapshot) await applySnapshot(workOf(step), vaultOf(snapshot));
      else throw nothingToRun();
    },
  };
}

const nothingToRun = () =>
  fail('NO_SUCH_VERB', {
    message: 'neither the spec nor the step says what run shall do',
    hint: 'Name leave, recover or snapshot under run.',
  });

const vaultOf = ({ organization, vault }: { readonly organization: string; readonly vault: string }): VaultName => ({
  organization: BigInt(organization),
  vault: BigInt(vault),
});

async function inspectLeave({ nodes, limit }: Work, nodeId: bigint): Promise<Inspection> {
  const { cluster } = await findLeader(nodes, limit);
  const ids = cluster.members.map((member) => String(member.nodeId));
  if (ids.includes(String(nodeId))) return { state: 'absent', why: `node ${nodeId} is a member: ${ids.join(', ')}` };
  return { state: 'done', output: { detail: `node ${nodeId} is no member; members are ${ids.join(', ')}`, members: ids } };
}

async function applyLeave({ nodes, limit }: Work, nodeId: bigint): Promise<void> {
  const { node, cluster } = await findLeader(nodes, limit);
  const rest = cluster.members.filter((member) => member.role === 'voter' && member.nodeId !== nodeId);
  if (rest.length === 0)
    throw fail('SYSTEM_REFUSED', {
      message: `node ${nodeId} is the last voter: nothing would be left`,
      hint: 'Have another node join first.',
    });
  const { success, message } = await node.call<{ success: boolean; message: string }>(
    'AdminService/LeaveCluster',
    { node_id: String(nodeId) },
    { ...limit, change: true },
  );
  if (!success)
    throw fail('SYSTEM_REFUSED', { message: `${node.address} did not let node ${nodeId} leave: ${message || 'it gave no reason'}` });
}

/** The recovery is made on the leader; what counts is every node that answers. */
async function inspectRecovery(work: Work, name: VaultName): Promise<Inspection> {
  const { nodes, limit, context, step } = work;
  const { node } = await findLeader(nodes, limit);
  const health = await readVaultHealth(node, name, limit);
  if (health.state === 'recovering') return { state: 'pending', why: health.detail };
  // A healthy vault that this step was to play again by force counts only once that was done.
  const forced = context.options.run?.recover?.force === true && step.note === undefined;
  if (health.state !== 'healthy' || forced) return { state: 'absent', why: health.detail };
  const { ok, tip, detail } = await checkIntegrity(node, name, context.options['full-check'], limit);
  if (!ok) return { state: 'absent', why: detail };
  return { state: 'done', output: { detail, height: String(tip.height), stateRoot: tip.stateRoot } };
}

async function applyRecovery({ nodes, limit, step }: Work, name: VaultName, force: boolean, want: JsonObject): Promise<void> {
  const approvedBy = Array.isArray(want.approvedBy) ? want.approvedBy.filter((each) => typeof each === 'string' && each !== '') : [];
  if (force && approvedBy.length === 0)
    throw fail('APPROVAL_MISSING', {
      message: `${nameOf(name)} would be cleared and played again although the ledger calls it healthy`,
      hint: 'That takes an approval. A diverged vault is recovered without force.',
    });
  const { node } = await findLeader(nodes, limit);
  const { success, message } = await node.call<{ success: boolean; message: string }>(
    'AdminService/RecoverVault',
    { ...requestOf(name), force },
    { ...limit, change: true },
  );
  if (!success)
    throw fail('SYSTEM_REFUSED', {
      message: `${nameOf(name)} was not recovered by ${node.address}: ${message || 'it gave no reason'}`,
      hint: 'Find a node that has it in good health, let this one leave, wipe it and let it join; or restore.',
    });
  await step.keepNote({ recovered: true });
}

interface SnapshotNote extends JsonObject {
  readonly node: string;
  readonly before: number;
}

const snapshotCounter = 'ledger_snapshots_created_total';

async function inspectSnapshot({ nodes, limit, context, step }: Work, name: VaultName): Promise<Inspection> {
  const note = step.note as SnapshotNote | undefined;
  if (note === undefined) return { state: 'absent', why: 'this step has asked for no snapshot yet' };
  const node = nodes.find(({ address }) => address === note.node);
  const now = node && sumOf(await readCounter(context.host, node.options.metrics, snapshotCounter, limit));
  if (node === undefined || now === undefined)
    return { state: 'unknown', why: `${note.node} no longer tells how many snapshots it has written` };
  // Fewer than before: the node was started anew, and counts from 0.
  if (now < note.before) return { state: 'absent', why: `${note.node} was restarted meanwhile` };
  if (now === note.before) return { state: 'absent', why: `${note.node} has written no snapshot: it counts ${now}, as before` };
  const { ok, tip, detail } = await checkIntegrity(node, name, context.options['full-check'], limit);
  if (!ok) throw fail('SYSTEM_REFUSED', { message: `a snapshot was written of what is not sound: ${detail}` });
  return {
    state: 'done',
    output: { detail: `${note.node} has written a snapshot; ${detail}`, node: note.node, height: String(tip.height) },
  };
}

async function applySnapshot({ nodes, limit, context, step }: Work, name: VaultName): Promise<void> {
  const node = await findWholeCopy(nodes, name, context.options['full-check'], limit);
  const before = sumOf(await readCounter(context.host, node.options.metrics, snapshotCounter, limit));
  if (before === undefined)
    throw fail('SYSTEM_REFUSED', {
      message: `${node.address} does not tell how many snapshots it has written`,
      hint: 'Set METRICS on the nodes, and metrics in the spec: the answer of the ledger says nothing.',
    });
  await step.keepNote({ node: node.address, before } satisfies SnapshotNote);
  await node.call('AdminService/CreateSnapshot', requestOf(name), { ...limit, change: true });
}

/** The first node on which the vault is healthy and sound. None: whoever writes to it makes it worse. */
async function findWholeCopy(nodes: readonly Node[], name: VaultName, full: boolean, limit: Limit): Promise<Node> {
  const seen: string[] = [];
  for (const node of nodes) {
    try {
      const health = await readVaultHealth(node, name, limit);
      const integrity = health.state === 'healthy' ? await checkIntegrity(node, name, full, limit) : undefined;
      if (integrity?.ok) return node;
      seen.push(integrity?.detail ?? health.detail);
    } catch (error) {
      if (!(error instanceof HoldfastError) || error.kind === 'bug' || error.kind === 'invalid') throw error;
      limit.signal.throwIfAborted();
      seen.push(`${node.address}: ${error.message}`);
    }
  }
  throw fail('SYSTEM_REFUSED', {
    message: `no node has a whole copy of ${nameOf(name)}: ${seen.join('; ')}`,
    hint: 'Stop what writes to it, and restore the newest backup from before it diverged.',
  });
}
