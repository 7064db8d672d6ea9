/** The stand-in for the ledger refuses what the real one refuses: wrong kinds of fields, wrong roles, wrong settings. */
import { mkdir } from 'node:fs/promises';
import { Client, credentials, type ServiceError } from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from 'vitest';
import { environmentOf, formCluster, makePlaces, type NodePlace } from './ledger/ledger-cluster.ts';
import { LedgerWorld } from './ledger/ledger-world.ts';
import { removeDirectory, temporaryDirectory } from './temporary-directory.ts';

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function cluster(profile: 'A' | 'B'): Promise<{ world: LedgerWorld; places: readonly [NodePlace, NodePlace, NodePlace] }> {
  const directory = await temporaryDirectory('ledger');
  closing.push(() => removeDirectory(directory));
  const world = await LedgerWorld.make({ profile });
  closing.push(() => world.close());
  await mkdir(directory, { recursive: true });
  const places = (await makePlaces(directory, 3)) as unknown as [NodePlace, NodePlace, NodePlace];
  await formCluster(world, directory, places);
  return { world, places };
}

/** Sends these very bytes. */
function send(place: NodePlace, path: string, bytes: readonly number[]): Promise<Buffer> {
  const client = new Client(place.address, credentials.createInsecure());
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const same = (value: Buffer): Buffer => value;
  client.makeUnaryRequest(path, same, same, Buffer.from(bytes), (error: ServiceError | null, answer?: Buffer) =>
    error ? reject(error) : resolve(answer as Buffer),
  );
  return promise.finally(() => client.close());
}

describe.each(['A', 'B'] as const)('the ledger of interface %s (stand-in)', (profile) => {
  it('[X-10] [E2-01] refuses a node id that is a message', async () => {
    const { places } = await cluster(profile);
    await expect(send(places[0], '/ledger.v1.AdminService/LeaveCluster', [0x0a, 3, 0x0a, 1, 0x31])).rejects.toMatchObject({ code: 13 });
  });

  it('[X-10] [E2-12] a follower answers LeaveCluster with OK and no success', async () => {
    const { world, places } = await cluster(profile);
    const answer = await send(places[1], '/ledger.v1.AdminService/LeaveCluster', [0x08, 0x01]);
    expect(answer.toString('latin1')).toContain('not the leader');
    expect([...answer.subarray(0, 2)]).toEqual([0x08, 0]);
    expect(world.running.get(places[0].address)?.state?.members).toHaveLength(3);
  });

  it('[X-10] [E2-06] goes on as the member that it was, whatever its arguments say', async () => {
    const { world, places } = await cluster(profile);
    for (const { address } of places) await world.stopNode(address);
    const started = await world.program(profile === 'A' ? ['--single'] : [], environmentOf(places[0], {}));
    expect(started.exitCode).toBe(0);
    const node = world.running.get(places[0].address);
    expect(node?.state?.members).toHaveLength(3);
    expect(node && world.leaderOf(node)).toBeUndefined();
    if (profile === 'B') expect((await world.program(['init', '--host', places[0].address], {})).stdout).toContain('already_initialized');
  });

  it('[X-10] [E2-04] [E2-05] refuses or ignores the settings of the runbook', async () => {
    const { world, places } = await cluster(profile);
    const wrong = { ...environmentOf(places[0], { JOIN: 'true', PEERS: 'healthy-node:50051' }), INFERADB__LEDGER__DATA: '/nowhere/else' };
    if (profile === 'A')
      expect(await world.program([], wrong)).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('failed to resolve') });
    else {
      expect(await world.program(['--single', '--data', '/data'], {})).toMatchObject({
        exitCode: 2,
        stderr: expect.stringContaining('--single'),
      });
      expect(await world.program([], { INFERADB__LEDGER__DATA: '/data' })).toMatchObject({ exitCode: 2 });
    }
  });
});
