/**
 * Real Redis servers: a primary, or a replica of another one. Each has a configuration file of its own, so that
 * CONFIG REWRITE works and a promotion or a new primary survives a restart.
 */
import { writeFile } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { freePort } from './ports.ts';
import { requireProgram } from './programs.ts';
import { runProgram } from './run-program.ts';
import { type Running, startServer } from './server-process.ts';
import { serverDirectory } from './temporary-directory.ts';

export interface RedisOptions {
  readonly dir?: string;
  readonly address?: string;
  readonly port?: number;
  readonly replicaOf?: { readonly address: string; readonly port: number };
  /** For clients, and for the replica towards its primary. */
  readonly password?: string;
  readonly minReplicasToWrite?: number;
  /** More directives, for instance `{ maxmemory: '64mb', save: '60 1' }`. They win over the defaults here. */
  readonly config?: Readonly<Record<string, string>>;
  readonly outliveParent?: boolean;
}

export interface RunningRedis extends Running {
  readonly configFile: string;
  readonly password: string | undefined;
  /** Sends one command through redis-cli and returns the raw reply; an error reply throws. */
  command(...words: string[]): Promise<string>;
}

export async function startRedis(options: RedisOptions = {}): Promise<RunningRedis> {
  const program = requireProgram('redis-server');
  const client = requireProgram('redis-cli');
  const address = options.address ?? '127.0.0.1';
  const port = options.port ?? (await freePort(address));
  const dir = await serverDirectory(options.dir, 'redis', options);
  const configFile = join(dir, 'redis.conf');
  await writeFile(configFile, configuration({ ...options, address, port }, dir), { mode: 0o600 });
  const running = await startServer({
    name: `redis ${address}:${port}`,
    address,
    port,
    dir,
    command: [program, configFile],
    isReady: () => answersPing(address, port, options.password),
    outliveParent: options.outliveParent ?? false,
  });
  const extra = {
    configFile,
    password: options.password,
    command: async (...words: string[]) => {
      const env: Record<string, string> = options.password === undefined ? {} : { REDISCLI_AUTH: options.password };
      const { stdout } = await runProgram([client, '-e', '--raw', '-h', address, '-p', String(port), ...words], {
        env,
        timeoutMs: 10_000,
      });
      return stdout.trimEnd();
    },
  };
  return Object.assign(running, extra);
}

function configuration(options: RedisOptions & { address: string; port: number }, dir: string): string {
  const settings: Record<string, string> = {
    bind: options.address,
    port: String(options.port),
    'protected-mode': 'no',
    daemonize: 'no',
    dir,
    pidfile: join(dir, 'redis.pid'),
    appendonly: 'yes',
    save: '""',
    // A test should not wait for more replicas that might join the same transfer.
    'repl-diskless-sync-delay': '0',
    'repl-backlog-size': '16mb',
    'replica-announce-ip': options.address,
  };
  if (options.minReplicasToWrite !== undefined) settings['min-replicas-to-write'] = String(options.minReplicasToWrite);
  if (options.replicaOf !== undefined) settings.replicaof = `${options.replicaOf.address} ${options.replicaOf.port}`;
  if (options.password !== undefined) {
    settings.requirepass = JSON.stringify(options.password);
    settings.masterauth = JSON.stringify(options.password);
  }
  Object.assign(settings, options.config ?? {});
  return Object.entries(settings)
    .map(([name, value]) => `${name} ${value}\n`)
    .join('');
}

function answersPing(address: string, port: number, password: string | undefined): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ host: address, port, timeout: 1_000 });
    let reply = '';
    const finish = () => {
      socket.destroy();
      if (reply.includes('+PONG')) resolve(true);
      else reject(new Error(reply.trim() || 'no answer to PING'));
    };
    socket.on('connect', () => {
      const words = password === undefined ? [['PING']] : [['AUTH', password], ['PING']];
      socket.write(words.map(encodeCommand).join(''));
    });
    socket.setEncoding('utf8').on('data', (text: string) => {
      reply += text;
      if (reply.split('\r\n').length > (password === undefined ? 1 : 2)) finish();
    });
    socket.on('timeout', finish);
    socket.on('end', finish);
    socket.on('error', reject);
  });
}

function encodeCommand(words: readonly string[]): string {
  return `*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')}`;
}
