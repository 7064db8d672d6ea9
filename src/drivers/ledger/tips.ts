/** How far each vault had come when a backup was taken, and whether a copy has come as far. Pure. */
import type { Tip } from './vaults.ts';

/** As a manifest keeps it: numbers of 64 bits as text. */
export interface KnownTip {
  readonly organization: string;
  readonly vault: string;
  readonly height: string;
  readonly blockHash: string;
  readonly stateRoot: string;
}

export const knownTip = (name: { readonly organization: bigint; readonly vault: bigint }, tip: Tip): KnownTip => ({
  organization: String(name.organization),
  vault: String(name.vault),
  height: String(tip.height),
  blockHash: tip.blockHash,
  stateRoot: tip.stateRoot,
});

/** At the same height it must be the same block and the same state; above it, it has gone on from there, as far as a height can tell. */
export function requireTip(known: KnownTip, seen: readonly KnownTip[]): readonly string[] {
  const name = `vault ${known.vault} of organization ${known.organization}`;
  const tip = seen.find(({ organization, vault }) => organization === known.organization && vault === known.vault);
  if (tip === undefined) return [`${name} is missing`];
  const [was, is] = [BigInt(known.height), BigInt(tip.height)];
  if (is < was) return [`${name} is at height ${is}; the backup has ${was}`];
  if (is > was) return [];
  if (tip.blockHash !== known.blockHash) return [`${name} has another block at height ${is} than the backup`];
  return tip.stateRoot === known.stateRoot ? [] : [`${name} has another state at height ${is} than the backup`];
}
