/**
 * A real OpenSSH server on loopback with keys of its own, and all that a client needs to reach it without a question asked.
 * It logs in the user that runs the test: without root, sshd can log in nobody else.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { freePort } from './ports.ts';
import { requireProgram } from './programs.ts';
import { runProgram } from './run-program.ts';
import { type Running, startServer } from './server-process.ts';
import { serverDirectory } from './temporary-directory.ts';

export interface SshdOptions {
  readonly dir?: string;
  readonly address?: string;
  readonly port?: number;
  /** Put before each program, so that the server lives in a network namespace of its own. */
  readonly networkPrefix?: readonly string[];
  /** More sshd_config lines. The first value of a keyword counts, and these stand first. */
  readonly config?: readonly string[];
  readonly outliveParent?: boolean;
}

export interface RunningSshd extends Running {
  /** The same as `address`, as ssh calls it. */
  readonly host: string;
  readonly user: string;
  /** The client's private key; authorized on the server. */
  readonly identityFile: string;
  /** Holds the server's host key. */
  readonly knownHostsFile: string;
  /** Words for `ssh`, before the command: options and destination. Reads no configuration of the user. */
  readonly clientArguments: readonly string[];
}

export async function startSshd(options: SshdOptions = {}): Promise<RunningSshd> {
  const program = requireProgram('sshd');
  const keygen = requireProgram('ssh-keygen');
  const address = options.address ?? '127.0.0.1';
  const port = options.port ?? (await freePort(address));
  const dir = await serverDirectory(options.dir, 'sshd', options);
  // As root, sshd locks its unprivileged half up in this empty directory, which a boot of the service would have made.
  if (process.getuid?.() === 0) await mkdir('/run/sshd', { recursive: true, mode: 0o755 });

  const identityFile = join(dir, 'client_key');
  const knownHostsFile = join(dir, 'known_hosts');
  const configFile = join(dir, 'sshd_config');
  for (const key of [identityFile, join(dir, 'host_key')]) {
    await runProgram([keygen, '-q', '-t', 'ed25519', '-N', '', '-C', 'holdfast-test', '-f', key]);
  }
  const hostKey = await readFile(join(dir, 'host_key.pub'), 'utf8');
  await writeFile(knownHostsFile, `[${address}]:${port} ${hostKey}`);
  await writeFile(join(dir, 'authorized_keys'), await readFile(`${identityFile}.pub`, 'utf8'), { mode: 0o600 });
  await writeFile(configFile, configuration(dir, address, port, options.config ?? []));
  if (await understands(program, configFile, 'PerSourcePenalties=no')) {
    // Newer servers shut out an address after failures; a test that fails on purpose would shut out all others.
    await writeFile(configFile, 'PerSourcePenalties no\n', { flag: 'a' });
  }

  const { username: user } = userInfo();
  const running = await startServer({
    name: `sshd ${address}:${port}`,
    address,
    port,
    dir,
    command: [...(options.networkPrefix ?? []), program, '-D', '-e', '-f', configFile],
    isReady: () => (options.networkPrefix ? showsKey(options.networkPrefix, address, port) : greets(address, port)),
    outliveParent: options.outliveParent ?? false,
  });
  const clientArguments = [
    ['-F', '/dev/null', '-i', identityFile, '-p', String(port)],
    ['-o', 'BatchMode=yes', '-o', 'IdentitiesOnly=yes', '-o', 'StrictHostKeyChecking=yes'],
    ['-o', `UserKnownHostsFile=${knownHostsFile}`, '-o', 'GlobalKnownHostsFile=/dev/null', `${user}@${address}`],
  ].flat();
  return Object.assign(running, { host: address, user, identityFile, knownHostsFile, clientArguments });
}

function configuration(dir: string, address: string, port: number, first: readonly string[]): string {
  return [
    ...first,
    `ListenAddress ${address}:${port}`,
    `HostKey ${dir}/host_key`,
    `PidFile ${dir}/sshd.pid`,
    `AuthorizedKeysFile ${dir}/authorized_keys`,
    // The keys lie below /tmp, which everybody may write to: the check of all parents' modes could never pass.
    'StrictModes no',
    'PubkeyAuthentication yes',
    'PasswordAuthentication no',
    'KbdInteractiveAuthentication no',
    'PermitRootLogin prohibit-password',
    'UsePAM no',
    'UseDNS no',
    'PrintMotd no',
    'X11Forwarding no',
    'MaxStartups 100',
    'MaxSessions 100',
    'Subsystem sftp internal-sftp',
    // bash reads a person's .bashrc when it believes that it was started by a remote login at the first level; what stands there may take minutes.
    'SetEnv SHLVL=1',
    'LogLevel VERBOSE',
    '',
  ].join('\n');
}

async function understands(program: string, configFile: string, setting: string): Promise<boolean> {
  const { exitCode } = await runProgram([program, '-t', '-f', configFile, '-o', setting], { anyExit: true });
  return exitCode === 0;
}

async function showsKey(networkPrefix: readonly string[], address: string, port: number): Promise<boolean> {
  const scan = [...networkPrefix, 'ssh-keyscan', '-T', '2', '-p', String(port), address];
  return (await runProgram(scan, { anyExit: true })).stdout.includes(' ssh-');
}

function greets(address: string, port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ host: address, port });
    socket.setTimeout(2_000, () => socket.destroy(new Error('no greeting in 2 s')));
    socket.once('data', (greeting) => {
      socket.destroy();
      resolve(greeting.toString('latin1').startsWith('SSH-2.0'));
    });
    socket.on('error', reject);
    socket.on('end', () => reject(new Error('closed without a greeting')));
  });
}
