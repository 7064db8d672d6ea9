/**
 * A real BIND name server with one zone that takes dynamic updates signed with a TSIG key, and from nobody else.
 */
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort } from './ports.ts';
import { requireProgram } from './programs.ts';
import { runProgram } from './run-program.ts';
import { type Running, startServer } from './server-process.ts';
import { serverDirectory } from './temporary-directory.ts';

export interface BindOptions {
  readonly dir?: string;
  readonly address?: string;
  readonly port?: number;
  /** Default `example.test`. */
  readonly zone?: string;
  /** Zone file lines to begin with, for instance `api 60 IN A 192.0.2.1`. */
  readonly records?: readonly string[];
  readonly outliveParent?: boolean;
}

export interface TsigKey {
  readonly name: string;
  readonly algorithm: 'hmac-sha256';
  /** Base64. */
  readonly secret: string;
}

export interface DnsRecord {
  readonly name: string;
  readonly ttlSeconds: number;
  readonly type: string;
  readonly data: string;
}

export interface RunningBind extends Running {
  readonly zone: string;
  readonly key: TsigKey;
  /** The key as nsupdate and dig read it with `-k`. */
  readonly keyFile: string;
  /** The data of each record in the answer, asked by dig; empty when there is none. */
  query(name: string, type: string): Promise<string[]>;
  /** The same with names and TTLs. */
  records(name: string, type: string): Promise<DnsRecord[]>;
  /** The zone's serial number now. */
  serial(): Promise<number>;
  /** Lines for nsupdate such as `update add api.example.test 60 A 192.0.2.2`; signed and sent; a refusal throws. */
  update(...lines: string[]): Promise<void>;
}

export async function startBind(options: BindOptions = {}): Promise<RunningBind> {
  const program = requireProgram('named');
  requireProgram('dig');
  requireProgram('nsupdate');
  const address = options.address ?? '127.0.0.1';
  const port = options.port ?? (await freePort(address));
  const dir = await serverDirectory(options.dir, 'bind', options);
  const zone = options.zone ?? 'example.test';
  const key: TsigKey = { name: 'holdfast', algorithm: 'hmac-sha256', secret: randomBytes(32).toString('base64') };
  const keyFile = join(dir, 'holdfast.key');
  const configFile = join(dir, 'named.conf');
  await writeFile(keyFile, keyStatement(key), { mode: 0o600 });
  await writeFile(join(dir, 'zone.db'), zoneFile(zone, address, options.records ?? []));
  await writeFile(configFile, configuration(dir, address, port, zone, key.name));

  const dig = async (name: string, type: string): Promise<DnsRecord[]> => {
    const how = ['+noall', '+answer', '+comments', '+norecurse', '+time=1', '+tries=2'];
    const { stdout } = await runProgram(['dig', `@${address}`, '-p', String(port), ...how, name, type], { timeoutMs: 10_000 });
    const status = /status: (\w+)/.exec(stdout)?.[1];
    if (status !== 'NOERROR' && status !== 'NXDOMAIN') throw new Error(`dig ${name} ${type}: ${status ?? stdout.trim()}`);
    return parseAnswer(stdout);
  };
  const serial = async () => {
    const [soa] = await dig(zone, 'SOA');
    if (soa === undefined) throw new Error(`${zone} has no SOA record: the zone is not loaded`);
    return Number(soa.data.split(' ')[2]);
  };
  const running = await startServer({
    name: `bind ${address}:${port}`,
    address,
    port,
    dir,
    // -g: in the foreground, logging to our file. One thread is plenty and starts quicker.
    command: [program, '-g', '-n', '1', '-c', configFile],
    isReady: async () => (await serial()) > 0,
    outliveParent: options.outliveParent ?? false,
  });
  return Object.assign(running, {
    zone,
    key,
    keyFile,
    query: async (name: string, type: string) => (await dig(name, type)).map(({ data }) => data),
    records: dig,
    serial,
    update: async (...lines: string[]) => {
      const input = [`server ${address} ${port}`, `zone ${zone}`, ...lines, 'send', ''].join('\n');
      await runProgram(['nsupdate', '-k', keyFile, '-t', '5'], { input, timeoutMs: 15_000 });
    },
  });
}

function keyStatement(key: TsigKey): string {
  return `key "${key.name}" {\n  algorithm ${key.algorithm};\n  secret "${key.secret}";\n};\n`;
}

function configuration(dir: string, address: string, port: number, zone: string, keyName: string): string {
  return `include "${dir}/holdfast.key";
controls { };
options {
  directory "${dir}";
  pid-file "${dir}/named.pid";
  session-keyfile "${dir}/session.key";
  listen-on port ${port} { ${address}; };
  listen-on-v6 { none; };
  recursion no;
  allow-query { any; };
  allow-transfer { key "${keyName}"; };
  dnssec-validation no;
  notify no;
};
zone "${zone}" {
  type primary;
  file "${dir}/zone.db";
  allow-update { key "${keyName}"; };
};
`;
}

function zoneFile(zone: string, address: string, records: readonly string[]): string {
  return `$ORIGIN ${zone}.
$TTL 60
@ IN SOA ns.${zone}. hostmaster.${zone}. 1 3600 600 86400 60
@ IN NS ns.${zone}.
ns IN A ${address}
${records.map((line) => `${line}\n`).join('')}`;
}

function parseAnswer(output: string): DnsRecord[] {
  const records: DnsRecord[] = [];
  for (const line of output.split('\n')) {
    if (line.startsWith(';') || line.trim() === '') continue;
    const [name, ttl, , type, ...data] = line.split(/\s+/);
    if (name === undefined || type === undefined) continue;
    records.push({ name, ttlSeconds: Number(ttl), type, data: data.join(' ') });
  }
  return records;
}
