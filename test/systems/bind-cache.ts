/** A real BIND that only forwards and caches: what stands between clients and an authoritative server. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort } from './ports.ts';
import { requireProgram } from './programs.ts';
import { runProgram } from './run-program.ts';
import { type Running, startServer } from './server-process.ts';
import { serverDirectory } from './temporary-directory.ts';

export interface RunningBindCache extends Running {
  /** The data of each record in the answer, asked by dig as a client does. */
  query(name: string, type: string): Promise<string[]>;
}

export async function startBindCache(upstream: { readonly address: string; readonly port: number }): Promise<RunningBindCache> {
  const program = requireProgram('named');
  const address = '127.0.0.1';
  const port = await freePort(address);
  const dir = await serverDirectory(undefined, 'bind-cache', {});
  const configFile = join(dir, 'named.conf');
  await writeFile(
    configFile,
    `controls { };
options {
  directory "${dir}";
  pid-file "${dir}/named.pid";
  session-keyfile "${dir}/session.key";
  listen-on port ${port} { ${address}; };
  listen-on-v6 { none; };
  recursion yes;
  allow-recursion { any; };
  forward only;
  forwarders { ${upstream.address} port ${upstream.port}; };
  dnssec-validation no;
  empty-zones-enable no;
};
`,
  );
  const query = async (name: string, type: string) => {
    const { stdout } = await runProgram(['dig', `@${address}`, '-p', String(port), '+short', '+time=1', '+tries=2', name, type], {
      timeoutMs: 10_000,
    });
    return stdout.split('\n').filter((line) => line !== '' && !line.startsWith(';'));
  };
  const running = await startServer({
    name: `bind cache ${address}:${port}`,
    address,
    port,
    dir,
    command: [program, '-g', '-n', '1', '-c', configFile],
    isReady: async () => (await query('version.bind', 'SOA')).length >= 0,
  });
  return Object.assign(running, { query });
}
