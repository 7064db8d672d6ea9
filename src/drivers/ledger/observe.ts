/**
 * What one look at a ledger amounts to: up where it has a leader behind which a majority of voters answers.
 *
 * Everything that would make the loss of one more node a disaster is a fault: voters that are missing, learners, nodes that are one node twice, vaults that have diverged, backups that nobody
 * has configured. A look asks about a bounded number of vaults; those that were sick are asked about each time.
 */
import { HoldfastError } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import type { Evidence, Reading } from '../../contracts/observation.ts';
import { readingOf } from '../../contracts/workload/net-evidence.ts';
import { type Answer, type Looks, lookAt } from './look.ts';
import { type Counter, readCounter } from './metrics.ts';
import type { LedgerContext, Limit, Node } from './nodes.ts';
import { listVaults, nameOf, readVaultHealth, type VaultName } from './vaults.ts';

type Fault = NonNullable<Reading['faults']>[number];

export const gauges = {
  ledger_site_voters_answering: 'Voters of the cluster that answered at the last look',
  ledger_site_leader: '1 where the cluster has a leader',
  ledger_site_vaults_diverged: 'Vaults that are known to have diverged on some node',
} as const;

/** The vaults of a site, some at each look. */
export class VaultRounds {
  #next = 0;
  readonly #sick = new Map<string, VaultName>();

  choose(all: readonly VaultName[], count: number): readonly VaultName[] {
    const known = new Set(all.map(nameOf));
    for (const key of this.#sick.keys()) if (!known.has(key)) this.#sick.delete(key);
    const chosen = new Map(this.#sick);
    const start = this.#next;
    for (let step = 0; step < Math.min(count, all.length); step += 1) {
      const name = all[(start + step) % all.length] as VaultName;
      chosen.set(nameOf(name), name);
    }
    this.#next = all.length === 0 ? 0 : (start + count) % all.length;
    return [...chosen.values()];
  }

  judge(name: VaultName, isSick: boolean): void {
    if (isSick) this.#sick.set(nameOf(name), name);
    else this.#sick.delete(nameOf(name));
  }

  get sick(): readonly VaultName[] {
    return [...this.#sick.values()];
  }
}

export async function observeLedger(
  context: LedgerContext,
  nodes: readonly Node[],
  rounds: VaultRounds,
  signal: AbortSignal,
): Promise<Reading> {
  const limit = { timeoutMs: context.probeTimeoutMs, signal };
  const looks = await lookAt(nodes, limit);
  const { answers, silent, leader } = looks;
  if (answers.length === 0) return readingOf(worst(silent.map(({ evidence }) => evidence)));
  const clusterIds = new Set(answers.flatMap(({ info }) => (info.clusterId === undefined ? [] : [info.clusterId])));
  const wanted = context.site['cluster-id'];
  if (wanted !== undefined && clusterIds.size > 0 && (clusterIds.size > 1 || !clusterIds.has(wanted)))
    return readingOf({ kind: 'error', detail: `another cluster answers (${[...clusterIds].join(', ')}) than cluster-id says` });
  const [vaults, growth] = await Promise.all([
    lookAtVaults(answers, rounds, context.options['vaults-per-look'], limit),
    readDivergences(context, answers, limit),
  ]);
  const voting = votersAnswering(looks);
  const [only] = clusterIds;
  return {
    ...readingOf(evidenceOfCluster(looks)),
    ...(clusterIds.size === 1 ? { identity: only as string } : {}),
    faults: [...clusterFaults(looks, context.options.voters), ...vaults.faults],
    facts: factsOf(looks, rounds, growth),
    metrics: {
      ledger_site_voters_answering: voting,
      ledger_site_leader: leader === undefined ? 0 : 1,
      ledger_site_vaults_diverged: rounds.sick.length,
    },
  };
}

function worst(evidences: readonly Evidence[]): Evidence {
  // That one of them is silent is reason enough not to call all of them dead.
  return evidences.find(({ kind }) => kind !== 'refused' && kind !== 'connection-lost') ?? (evidences[0] as Evidence);
}

export function votersAnswering({ answers, leader }: Looks): number {
  const members = (leader ?? answers[0])?.cluster.members ?? [];
  const present = new Set(answers.map(({ info }) => info.nodeId));
  return members.filter(({ nodeId, role }) => role === 'voter' && present.has(nodeId)).length;
}

function evidenceOfCluster(looks: Looks): Evidence {
  const { answers, leader } = looks;
  if (leader === undefined)
    return {
      kind: 'wrong-answer',
      detail: `${answers.length} nodes answer, and there is no leader: without a majority of voters nothing is written`,
    };
  const { cluster, node, status, said } = leader;
  const voters = cluster.members.filter(({ role }) => role === 'voter').length;
  if (status !== 'healthy' && status !== 'degraded')
    return { kind: 'wrong-answer', detail: `the leader ${node.address} calls itself ${status}${said === '' ? '' : `: ${said}`}` };
  return { kind: 'answered', detail: `${node.address} leads ${voters} voters in term ${cluster.term}` };
}

function clusterFaults(looks: Looks, wanted: number): readonly Fault[] {
  const { answers, silent, leader } = looks;
  const faults: Fault[] = silent.map(({ evidence }) => ({
    severity: 'warning',
    message: `a node does not answer: ${evidence.detail}`,
    hint: 'Bring it back; or have it leave, and start another one in its place.',
  }));
  const members = (leader ?? (answers[0] as Answer)).cluster.members;
  const voters = members.filter(({ role }) => role === 'voter');
  if (voters.length < wanted)
    faults.push({
      severity: 'problem',
      message: `the cluster has ${voters.length} voters, and ${wanted} are wanted`,
      hint: 'Start wiped nodes that join, one at a time.',
    });
  const answering = votersAnswering(looks);
  if (answering * 2 <= voters.length + 1 && voters.length > 1)
    faults.push({
      severity: 'problem',
      message: `${answering} of ${voters.length} voters answer: ${answering * 2 > voters.length ? 'losing one more stops all writes' : 'there is no majority'}`,
      hint: 'Bring voters back before anything else.',
    });
  for (const { address } of members.filter(({ role }) => role === 'learner'))
    faults.push({ severity: 'warning', message: `${address} is a learner: it has no vote yet`, hint: 'Wait until it is a voter.' });
  faults.push(...identityFaults(answers));
  if (answers.some(({ backups }) => backups === 'not configured'))
    faults.push({
      severity: 'problem',
      message: 'backup is not configured on the nodes: the ledger refuses to take one',
      hint: 'A ledger as it is published can not be given the setting; it has to be built with one.',
    });
  return faults;
}

function identityFaults(answers: readonly Answer[]): readonly Fault[] {
  const faults: Fault[] = [];
  const clusters = new Set(answers.flatMap(({ info }) => info.clusterId ?? []));
  if (clusters.size > 1)
    faults.push({
      severity: 'problem',
      message: `the nodes belong to ${clusters.size} different clusters`,
      hint: 'One was started on its own: stop it before clients write to both.',
    });
  const byId = new Map<bigint, string>();
  for (const { info, node } of answers) {
    const other = byId.get(info.nodeId);
    if (other !== undefined)
      faults.push({
        severity: 'problem',
        message: `${other} and ${node.address} both are node ${info.nodeId}: one data directory was copied to the other`,
        hint: 'Stop the copy, wipe it, and let it join.',
      });
    byId.set(info.nodeId, node.address);
  }
  return faults;
}

async function lookAtVaults(
  answers: readonly Answer[],
  rounds: VaultRounds,
  count: number,
  limit: Limit,
): Promise<{ readonly faults: readonly Fault[] }> {
  const faults: Fault[] = [];
  try {
    const all = await listVaults((answers[0] as Answer).node, limit);
    const looked = rounds.choose(all, count).map(async (name) => {
      const healths = await Promise.all(answers.map(({ node }) => readVaultHealth(node, name, limit)));
      const sick = healths.filter(({ state }) => state === 'diverged' || state === 'recovering');
      rounds.judge(name, sick.length > 0);
      const everywhere = sick.length === healths.length ? '; no node that answers has a healthy one' : '';
      for (const { detail } of sick)
        faults.push({
          severity: 'problem',
          message: `${detail}${everywhere}`,
          hint: everywhere === '' ? 'Recover it; or let the node leave, wipe it, and let it join.' : 'Stop its writers and restore it.',
        });
    });
    await Promise.all(looked);
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.kind === 'bug' || error.kind === 'invalid') throw error;
    faults.push({ severity: 'warning', message: `how the vaults are could not be read: ${error.message}`, hint: error.hint });
  }
  return { faults };
}

async function readDivergences({ host }: LedgerContext, answers: readonly Answer[], limit: Limit): Promise<readonly Counter[]> {
  const read = answers.map(({ node }) => readCounter(host, node.options.metrics, 'ledger_determinism_bug_total', limit));
  return (await Promise.all(read)).flatMap((each) => each ?? []);
}

function factsOf({ answers, silent, leader }: Looks, rounds: VaultRounds, growth: readonly Counter[]): JsonObject {
  return {
    nodes: answers.length + silent.length,
    answering: answers.length,
    leader: leader ? String(leader.info.nodeId) : 'none',
    term: String((leader ?? (answers[0] as Answer)).cluster.term),
    members: (leader ?? (answers[0] as Answer)).cluster.members.map(({ nodeId, address, role }) => ({
      node: String(nodeId),
      address,
      role,
    })),
    diverged: rounds.sick.map(({ organization, vault }) => ({ organization: String(organization), vault: String(vault) })),
    ...(growth.length === 0 ? {} : { determinismBugs: growth.map(({ value, labels }) => ({ count: value, ...labels })) }),
  };
}
