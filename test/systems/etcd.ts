/**
 * A real etcd: one member, or several on loopback, with TLS and users where asked for.
 */
import { connect } from 'node:net';
import { join } from 'node:path';
import { freePort } from './ports.ts';
import { requireProgram } from './programs.ts';
import { runProgram } from './run-program.ts';
import { type Running, startServer } from './server-process.ts';
import { serverDirectory } from './temporary-directory.ts';

export interface EtcdOptions {
  readonly dir?: string;
  readonly address?: string;
  readonly name?: string;
  /** Of all members of the cluster, this one included; default: this one alone. */
  readonly members?: readonly EtcdMember[];
  /** Paths of PEM files: then clients speak TLS, and show a certificate of `clientCa` where that is given. */
  readonly tls?: { readonly certificate: string; readonly key: string; readonly clientCa?: string };
  /** More arguments, for instance `--quota-backend-bytes`. */
  readonly args?: readonly string[];
  readonly outliveParent?: boolean;
}

export interface EtcdMember {
  readonly name: string;
  /** Where it listens, when not all members are on one address. */
  readonly address?: string;
  readonly clientPort: number;
  readonly peerPort: number;
}

export interface RunningEtcd extends Running {
  /** `https://127.0.0.1:20001` */
  readonly url: string;
  /** etcdctl against this member, without TLS and users; its output. */
  ctl(...words: string[]): Promise<string>;
}

export async function makeMembers(count: number): Promise<readonly EtcdMember[]> {
  const members: EtcdMember[] = [];
  while (members.length < count) members.push({ name: `m${members.length + 1}`, clientPort: await freePort(), peerPort: await freePort() });
  return members;
}

export async function startEtcd(options: EtcdOptions = {}): Promise<RunningEtcd> {
  const program = requireProgram('etcd');
  const client = requireProgram('etcdctl');
  const members = options.members ?? (await makeMembers(1));
  const own = members.find(({ name }) => name === (options.name ?? members[0]?.name)) as EtcdMember;
  const address = own.address ?? options.address ?? '127.0.0.1';
  const dir = await serverDirectory(options.dir, 'etcd', options);
  const url = `${options.tls ? 'https' : 'http'}://${address}:${own.clientPort}`;
  const peerOf = (member: EtcdMember): string => `http://${member.address ?? address}:${member.peerPort}`;
  const running = await startServer({
    name: `etcd ${address}:${own.clientPort}`,
    address,
    port: own.clientPort,
    morePorts: [own.peerPort],
    dir,
    command: [
      program,
      ...['--name', own.name, '--data-dir', join(dir, 'data'), '--listen-client-urls', url, '--advertise-client-urls', url],
      ...['--listen-peer-urls', peerOf(own), '--initial-advertise-peer-urls', peerOf(own)],
      ...[
        '--initial-cluster',
        members.map((each) => `${each.name}=${peerOf(each)}`).join(','),
        '--initial-cluster-token',
        `t${members[0]?.peerPort}`,
      ],
      // Tests measure no disk.
      ...['--logger', 'zap', '--heartbeat-interval', '50', '--election-timeout', '500', '--pre-vote=true'],
      ...(options.tls ? ['--cert-file', options.tls.certificate, '--key-file', options.tls.key] : []),
      ...(options.tls?.clientCa ? ['--client-cert-auth', '--trusted-ca-file', options.tls.clientCa] : []),
      ...(options.args ?? []),
    ],
    isReady: async () =>
      members.length > 1 ? await accepts(address, own.clientPort) : (await ctl(client, url, options.tls, ['endpoint', 'health'])) !== '',
    outliveParent: options.outliveParent ?? false,
  });
  return Object.assign(running, { url, ctl: (...words: string[]) => ctl(client, url, options.tls, words) });
}

/** A member of several is ready once it listens: it can serve only when the others have come. */
async function accepts(address: string, port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect(port, address);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

async function ctl(client: string, url: string, tls: EtcdOptions['tls'], words: readonly string[]): Promise<string> {
  const trust = tls ? ['--cacert', tls.certificate, '--cert', tls.certificate, '--key', tls.key] : [];
  const { stdout, stderr } = await runProgram([client, ...words, '--endpoints', url, ...trust], {
    env: { ETCDCTL_API: '3' },
    timeoutMs: 20_000,
  });
  return `${stdout}${stderr}`.trimEnd();
}
