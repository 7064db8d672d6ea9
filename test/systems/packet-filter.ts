/**
 * Cuts network links for real: packets vanish and nobody is told, as when a region is cut off. Rules of nftables (Debian package nftables), which takes root.
 *
 * Invariant: no rule outlives this process. The rules stand in a table that belongs to an interactive nft of ours; the kernel takes it away when that nft ends, and it ends when
 * the pipe to it does. Rules name ports that are ours alone, so nobody else on the machine feels them.
 */
import { spawn } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { requireProgram } from './programs.ts';
import { runProgram } from './run-program.ts';

export interface PacketFilter {
  /** Packets that match any of the rules (words of nft, before the verdict) vanish until `heal(name)`. */
  drop(name: string, matches: readonly string[]): Promise<void>;
  heal(name: string): Promise<void>;
  stop(): Promise<void>;
}

const takesEffectWithinMs = 5_000;

export async function startPacketFilter(): Promise<PacketFilter> {
  const program = requireProgram('nft');
  const table = `holdfast_test_${process.pid}_${Math.floor(Math.random() * 1e6)}`;
  const child = spawn(program, ['-i'], { stdio: ['pipe', 'ignore', 'pipe'] });
  let complaints = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaints += text;
  });
  child.stdin.on('error', () => {
    // Its end shows in the rules that are missing.
  });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const list = async (): Promise<string> =>
    (await runProgram([program, 'list', 'table', 'ip', table], { anyExit: true, timeoutMs: 5_000 })).stdout;
  const until = async (what: string, holds: (listing: string) => boolean): Promise<void> => {
    const deadline = performance.now() + takesEffectWithinMs;
    while (!holds(await list())) {
      if (performance.now() > deadline) throw new Error(`nft: ${what} took no effect: ${complaints}`);
      await delay(10);
    }
  };
  const dropsIn = (listing: string, chain: string): number =>
    (
      listing
        .split(`chain ${chain} {`)[1]
        ?.split('}\n')[0]
        ?.match(/ drop$/gm) ?? []
    ).length;
  child.stdin.write(`add table ip ${table} { flags owner; }\n`);
  await until('the table', (listing) => listing.includes(`table ip ${table}`));
  return {
    drop: async (name, matches) => {
      child.stdin.write(`add chain ip ${table} ${name} { type filter hook output priority 0; }\n`);
      for (const match of matches) child.stdin.write(`add rule ip ${table} ${name} ${match} drop\n`);
      await until(`the cut ${name}`, (listing) => dropsIn(listing, name) === matches.length);
    },
    heal: async (name) => {
      child.stdin.write(`flush chain ip ${table} ${name}\n`);
      await until(`healing ${name}`, (listing) => dropsIn(listing, name) === 0);
    },
    stop: async () => {
      child.stdin.end();
      await ended;
    },
  };
}
