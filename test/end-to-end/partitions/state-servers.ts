/** One etcd member in each region, all of one cluster. */
import { join } from 'node:path';
import type { Namespace } from '../../systems/network-namespaces.ts';
import { requireProgram } from '../../systems/programs.ts';
import { runProgram } from '../../systems/run-program.ts';
import { type Running, startServer } from '../../systems/server-process.ts';
import { temporaryDirectory } from '../../systems/temporary-directory.ts';
import { type RegionName, regionNames } from './spec-text.ts';

export interface RegionEtcd {
  readonly url: string;
  readonly running: Running;
}

export const etcdClientPort = 2379;
export const etcdPeerPort = 2380;

export async function startEtcdMembers(namespaces: Readonly<Record<RegionName, Namespace>>): Promise<Record<RegionName, RegionEtcd>> {
  const peerOf = (region: RegionName) => `http://${namespaces[region].address}:${etcdPeerPort}`;
  const cluster = regionNames.map((region) => `${region}=${peerOf(region)}`).join(',');
  // A member answers only once most of them are there: they are started together.
  const members = await Promise.all(
    regionNames.map(async (region): Promise<[RegionName, RegionEtcd]> => {
      const { address, commandPrefix } = namespaces[region];
      const url = `http://${address}:${etcdClientPort}`;
      const dir = await temporaryDirectory(`etcd-${region}`);
      const running = await startServer({
        name: `etcd in ${region}`,
        address,
        port: etcdClientPort,
        dir,
        command: [
          ...commandPrefix,
          requireProgram('etcd'),
          ...['--name', region, '--data-dir', join(dir, 'data'), '--listen-client-urls', url, '--advertise-client-urls', url],
          ...['--listen-peer-urls', peerOf(region), '--initial-advertise-peer-urls', peerOf(region)],
          ...['--initial-cluster', cluster, '--initial-cluster-token', 'holdfast-world', '--logger', 'zap'],
          // The defaults suit one room: between regions one election takes ten delays.
          ...['--heartbeat-interval', '100', '--election-timeout', '1000'],
          // A member that was cut off must not depose the leader when it comes back.
          '--pre-vote=true',
        ],
        isReady: async () => (await listens(commandPrefix, etcdPeerPort)) === true,
      });
      return [region, { url, running }];
    }),
  );
  return Object.fromEntries(members) as Record<RegionName, RegionEtcd>;
}

/** It listens before most of the members are there, and serves as soon as they are. */
async function listens(commandPrefix: readonly string[], port: number): Promise<boolean> {
  const { stdout } = await runProgram([...commandPrefix, 'cat', '/proc/net/tcp']);
  const wanted = `:${port.toString(16).toUpperCase().padStart(4, '0')} 00000000:0000 0A`;
  return stdout.includes(wanted);
}
