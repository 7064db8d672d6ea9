/**
 * The verb check: every vault of the ledger is sound, on the node that leads.
 *
 * Each vault is asked for under its own organization, has a height above 0, and stands where it stood when it was backed up or later, where the step says what that was. Reads only.
 */
import { fail } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import type { Inspection, Verb } from '../../contracts/verbs.ts';
import { lookAt } from './look.ts';
import type { LedgerContext, Limit, Node } from './nodes.ts';
import { type KnownTip, requireTip } from './tips.ts';
import { checkIntegrity, listVaults, readVaultHealth } from './vaults.ts';

export function checkVerb(context: LedgerContext, nodes: readonly Node[]): Verb {
  return {
    inspect: async (_want, { signal }) => inspect(context, nodes, { timeoutMs: context.options['call-timeout'], signal }),
    apply: async () => {
      throw fail('BUG_BROKEN_BELIEF', { message: 'check only looks: there is nothing to apply' });
    },
  };
}

async function inspect({ options }: LedgerContext, nodes: readonly Node[], limit: Limit): Promise<Inspection> {
  const { leader, silent } = await lookAt(nodes, limit);
  if (leader === undefined) return { state: 'pending', why: silent[0]?.evidence.detail ?? 'there is no leader' };
  const voters = leader.cluster.members.filter(({ role }) => role === 'voter').length;
  if (voters < options.voters) return { state: 'pending', why: `${voters} voters, ${options.voters} wanted` };
  const [silentNode] = silent;
  if (silentNode) return { state: 'pending', why: `a node does not answer: ${silentNode.evidence.detail}` };
  const sound = await checkVaults(leader.node, options['full-check'], limit);
  const [fault] = sound.faults;
  if (fault !== undefined) return { state: 'pending', why: sound.faults.join('; ') };
  return {
    state: 'done',
    output: { detail: `${sound.vaults} vaults are sound on ${leader.node.address}`, vaults: sound.vaults, tips: sound.tips as never },
  };
}

export interface Soundness {
  readonly vaults: number;
  readonly faults: readonly string[];
  readonly tips: readonly (KnownTip & JsonObject)[];
}

/** @param known what each vault must have come to at the least */
export async function checkVaults(node: Node, full: boolean, limit: Limit, known: readonly KnownTip[] = []): Promise<Soundness> {
  const names = await listVaults(node, limit);
  const faults: string[] = [];
  const tips: (KnownTip & JsonObject)[] = [];
  for (const name of names) {
    const health = await readVaultHealth(node, name, limit);
    if (health.state !== 'healthy') faults.push(health.detail);
    const { ok, tip, detail } = await checkIntegrity(node, name, full, limit);
    if (!ok) faults.push(detail);
    tips.push({
      organization: String(name.organization),
      vault: String(name.vault),
      height: String(tip.height),
      blockHash: tip.blockHash,
      stateRoot: tip.stateRoot,
    });
  }
  faults.push(...known.flatMap((each) => requireTip(each, tips)));
  return { vaults: names.length, faults, tips };
}
