/** Healthy HTTP services for benchmarks: as many listeners as asked for; their ports are sent to the parent, with whom they end. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

const body = JSON.stringify({
  status: 'healthy',
  components: { database: { status: 'healthy' }, cache: { status: 'healthy' }, queue: { status: 'healthy' } },
});
const ports: number[] = [];
for (let count = Number(process.argv[2] ?? 1); count > 0; count -= 1) {
  const server = createServer((_, response) => response.writeHead(200, { 'content-type': 'application/json' }).end(body));
  server.keepAliveTimeout = 60_000;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  ports.push((server.address() as AddressInfo).port);
}
process.on('disconnect', () => process.exit(0));
process.send?.(ports);
