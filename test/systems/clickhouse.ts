/**
 * ClickHouse servers: the real engine (npm package chdb) behind a stand-in for the HTTP interface, clickhouse-program.ts. One engine a process, half a second to start.
 */
import { createHash } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort } from './ports.ts';
import { findChdb, repositoryDirectory } from './programs.ts';
import { type Running, startServer } from './server-process.ts';
import { serverDirectory } from './temporary-directory.ts';

export interface RunningClickhouse extends Running {
  readonly url: string;
  readonly user: string;
  readonly password: string;
  /** Where backups go. */
  readonly backupsDirectory: string;
  /** As a client would ask it; what it says as text. An exception is thrown. */
  ask(sql: string): Promise<string>;
  /** Rows of system.replicas, which an engine without other servers has none of. Stand-in. */
  playReplicas(rows: readonly object[]): Promise<void>;
}

/** The program to run servers with, as the option `program` of a component. */
export function clickhouseProgram(): readonly string[] {
  const library = findChdb();
  if (library === undefined) throw new Error('chdb is missing: run "sh tools/bootstrap/bootstrap.sh --clickhouse"');
  return ['env', `CLICKHOUSE_LIBRARY=${library}`, process.execPath, join(repositoryDirectory, 'test', 'systems', 'clickhouse-program.ts')];
}

export async function startClickhouse(): Promise<RunningClickhouse> {
  const address = '127.0.0.1';
  const port = await freePort(address);
  const dir = await serverDirectory(undefined, 'clickhouse', {});
  const [user, password] = ['holdfast', 'only-for-tests'];
  const backupsDirectory = join(dir, 'files', 'holdfast');
  const config = join(dir, 'config.xml');
  await writeFile(
    config,
    `<clickhouse><listen_host>${address}</listen_host><http_port>${port}</http_port><path>${dir}/data/</path>
<user_files_path>${dir}/files/</user_files_path><backups><allowed_path>${backupsDirectory}</allowed_path></backups>
<users><${user}><password_sha256_hex>${createHash('sha256').update(password).digest('hex')}</password_sha256_hex></${user}></users></clickhouse>`,
  );
  const url = `http://${address}:${port}`;
  const headers = { 'X-ClickHouse-User': user, 'X-ClickHouse-Key': password };
  const ask = async (sql: string): Promise<string> => {
    const answer = await fetch(url, { method: 'POST', headers, body: sql, signal: AbortSignal.timeout(60_000) });
    const text = await answer.text();
    if (!answer.ok) throw new Error(text);
    return text.trim();
  };
  const running = await startServer({
    name: `clickhouse ${address}:${port}`,
    address,
    port,
    dir,
    command: [...clickhouseProgram(), 'server', `--config-file=${config}`],
    isReady: async () => (await ask('SELECT 1')) === '1',
  });
  const replicas = join(dir, 'data', 'replicas.json');
  const playReplicas = (rows: readonly object[]): Promise<void> =>
    rows.length === 0
      ? rm(replicas, { force: true })
      : writeFile(
          replicas,
          rows
            .map(
              (row) => `${JSON.stringify(row)}
`,
            )
            .join(''),
        );
  return Object.assign(running, { url, user, password, backupsDirectory, ask, playReplicas });
}
