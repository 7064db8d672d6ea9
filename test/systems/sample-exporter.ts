/** A program's metrics for a real Prometheus to scrape: each scrape is answered by whatever the test says then, so that counters grow by exact amounts between samples. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface SampleExporter {
  /** `127.0.0.1:1234`. */
  readonly target: string;
  readonly scrapes: () => number;
  stop(): Promise<void>;
}

/** `lines(n)`: the exposition at the nth scrape, from 1. */
export async function startSampleExporter(lines: (scrape: number) => readonly string[]): Promise<SampleExporter> {
  let scrapes = 0;
  const server = createServer((_, response) => {
    scrapes += 1;
    response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4' }).end(`${lines(scrapes).join('\n')}\n`);
  });
  await new Promise<void>((resolve) => server.listen({ host: '127.0.0.1', port: 0 }, resolve));
  return {
    target: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    scrapes: () => scrapes,
    stop: async () => {
      if (!server.listening) return;
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
