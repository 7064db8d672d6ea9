/**
 * A real HAProxy: one frontend, one backend, and the runtime API at administrator level on a Unix socket and on a TCP port.
 */
import { writeFile } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { freePort } from './ports.ts';
import { requireProgram } from './programs.ts';
import { type Running, startServer } from './server-process.ts';
import { serverDirectory } from './temporary-directory.ts';

export interface HaproxyServer {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly weight?: number;
  /** More words for the server line, for instance `backup` or `check inter 200ms`. */
  readonly extra?: string;
}

export interface HaproxyOptions {
  /** Usually one server for each region. */
  readonly servers: readonly HaproxyServer[];
  readonly dir?: string;
  readonly address?: string;
  /** Where clients connect. */
  readonly port?: number;
  readonly adminPort?: number;
  readonly mode?: 'tcp' | 'http';
  /** The backend's name; default `app`. */
  readonly backend?: string;
  readonly outliveParent?: boolean;
}

export interface RunningHaproxy extends Running {
  readonly backend: string;
  readonly adminSocket: string;
  readonly adminPort: number;
  /** One runtime API command, for instance `show servers state`; its reply. */
  admin(command: string): Promise<string>;
}

export async function startHaproxy(options: HaproxyOptions): Promise<RunningHaproxy> {
  const program = requireProgram('haproxy');
  const address = options.address ?? '127.0.0.1';
  const port = options.port ?? (await freePort(address));
  const adminPort = options.adminPort ?? (await freePort(address));
  const dir = await serverDirectory(options.dir, 'haproxy', options);
  const backend = options.backend ?? 'app';
  const adminSocket = join(dir, 'admin.sock');
  const configFile = join(dir, 'haproxy.cfg');
  await writeFile(configFile, configuration({ ...options, address, port, adminPort, backend }, adminSocket));
  const admin = (command: string) => sendCommand(adminSocket, command);
  const running = await startServer({
    name: `haproxy ${address}:${port}`,
    address,
    port,
    morePorts: [adminPort],
    dir,
    // -db: one process in the foreground.
    command: [program, '-db', '-f', configFile],
    isReady: async () => (await admin('show info')).includes('Uptime'),
    outliveParent: options.outliveParent ?? false,
  });
  return Object.assign(running, { backend, adminSocket, adminPort, admin });
}

type Settled = HaproxyOptions & { address: string; port: number; adminPort: number; backend: string };

function configuration(options: Settled, adminSocket: string): string {
  const servers = options.servers.map((each) => {
    const weight = each.weight === undefined ? '' : ` weight ${each.weight}`;
    return `  server ${each.name} ${each.address}:${each.port}${weight} ${each.extra ?? ''}`.trimEnd();
  });
  return `global
  maxconn 1000
  stats socket ${adminSocket} mode 600 level admin
  stats socket ipv4@${options.address}:${options.adminPort} level admin
  stats timeout 30s
defaults
  mode ${options.mode ?? 'tcp'}
  timeout connect 2s
  timeout client 60s
  timeout server 60s
frontend clients
  bind ${options.address}:${options.port}
  default_backend ${options.backend}
backend ${options.backend}
  balance roundrobin
${servers.join('\n')}
`;
}

function sendCommand(adminSocket: string, command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ path: adminSocket });
    let reply = '';
    socket.setTimeout(5_000, () => socket.destroy(new Error(`haproxy did not answer "${command}" in 5 s`)));
    socket.setEncoding('utf8').on('data', (text: string) => {
      reply += text;
    });
    socket.on('error', reject);
    socket.on('end', () => resolve(reply.trim()));
    socket.write(`${command}\n`);
  });
}
