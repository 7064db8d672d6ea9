/** A real OpenSearch of one node, in a Java process with a small heap. Without plugins: no security, no replication between clusters. Snapshots go to DIR/repository. */
import { join } from 'node:path';
import { freePorts } from '../ports.ts';
import { findOpensearch } from '../programs.ts';
import { type Running, startServer } from '../server-process.ts';
import { serverDirectory } from '../temporary-directory.ts';

export interface OpensearchNode extends Running {
  readonly url: string;
  /** Where snapshots may be kept. */
  readonly repository: string;
}

export async function startOpensearchNode(): Promise<OpensearchNode> {
  const found = findOpensearch();
  if (found === undefined) throw new Error('OpenSearch is missing: run "sh tools/bootstrap/bootstrap.sh --opensearch"');
  const address = '127.0.0.1';
  const [port, transport] = (await freePorts(2, address)) as [number, number];
  const dir = await serverDirectory(undefined, 'opensearch', {});
  const url = `http://${address}:${port}`;
  const jvm = ['-Xms64m', '-Xmx384m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Xshare:auto'];
  const running = await startServer({
    name: `OpenSearch ${address}:${port}`,
    address,
    port,
    morePorts: [transport],
    dir,
    command: [found.java, ...jvm, '-cp', found.classPath, 'OpensearchNode', dir, String(port), String(transport)],
    env: { HOME: dir },
    isReady: async () => (await fetch(`${url}/_cluster/health`, { signal: AbortSignal.timeout(5_000) })).ok,
    readyTimeoutMs: 120_000,
  });
  return Object.assign(running, { url, repository: join(dir, 'repository') });
}
