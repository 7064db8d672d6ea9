/** Clusters of the stand-in as tests want them: three nodes that are one cluster, with vaults; and hands that run the ledger's own program in it. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Hands } from '../../../src/contracts/hands.ts';
import type { Host } from '../../../src/host/host.ts';
import { plainHands } from '../plain-hands.ts';
import { freePort } from '../ports.ts';
import type { LedgerWorld } from './ledger-world.ts';

export interface NodePlace {
  readonly address: string;
  readonly data: string;
  readonly metrics: string;
}

export async function makePlaces(directory: string, count: number): Promise<readonly NodePlace[]> {
  const places: NodePlace[] = [];
  for (let index = 1; index <= count; index += 1) {
    const data = join(directory, `node-${index}`);
    await mkdir(data, { recursive: true });
    places.push({ address: `127.0.0.1:${await freePort()}`, data, metrics: `127.0.0.1:${await freePort()}` });
  }
  return places;
}

export const environmentOf = (place: NodePlace, more: Readonly<Record<string, string>>): Record<string, string> => ({
  INFERADB__LEDGER__DATA: place.data,
  INFERADB__LEDGER__LISTEN: place.address,
  INFERADB__LEDGER__METRICS: place.metrics,
  ...Object.fromEntries(Object.entries(more).map(([name, value]) => [`INFERADB__LEDGER__${name}`, value])),
});

/** Three voters, by whatever way this interface has. */
export async function formCluster(world: LedgerWorld, directory: string, places: readonly NodePlace[]): Promise<void> {
  const run = async (args: readonly string[], env: Record<string, string>) => {
    const { exitCode, stderr } = await world.program(args, env);
    if (exitCode !== 0) throw new Error(stderr);
  };
  const [first] = places as [NodePlace];
  if (world.profile === 'A') {
    const peers = join(directory, 'peers.json');
    await writeFile(peers, JSON.stringify(places.map(({ address }) => address)));
    for (const place of places)
      await run([], environmentOf(place, places.length === 1 ? { CLUSTER: '1' } : { CLUSTER: String(places.length), PEERS: peers }));
    return;
  }
  await run([], environmentOf(first, {}));
  await run(['init', '--host', first.address], {});
  for (const place of places.slice(1)) await run([], environmentOf(place, { JOIN: first.address }));
  await votersOf(world, first.address, places.length);
}

export async function votersOf(world: LedgerWorld, address: string, count: number): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (world.running.get(address)?.state?.members.filter(({ role }) => role === 'voter').length !== count) {
    if (performance.now() > deadline) throw new Error(`${address} does not see ${count} voters`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** `inferadb-ledger` and `systemctl stop ADDRESS` act on the world; everything else runs on this machine. */
export function ledgerHands(world: LedgerWorld, host: Host): Hands & { readonly commands: (readonly string[])[] } {
  const hands = plainHands(host);
  const commands: (readonly string[])[] = [];
  return {
    ...hands,
    commands,
    run: async (command) => {
      commands.push([command.program, ...command.args]);
      if (command.program === 'inferadb-ledger')
        return world.program(
          command.args,
          Object.fromEntries(Object.entries(command.env ?? {}).map(([name, value]) => [name, String(value)])),
        );
      if (command.program === 'systemctl' && command.args[0] === 'stop') {
        await world.stopNode(command.args[1] as string);
        return { exitCode: 0, stdout: '', stderr: '' };
      }
      return hands.run(command);
    },
  };
}
