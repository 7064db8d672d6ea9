/**
 * Free loopback ports for servers that tests, benchmarks and the demo start.
 *
 * Invariant: no two live processes hold the same port number, whatever loopback address they want it on, and a port stays
 * held while its server is down (killed, about to be started again), so nobody else can move in.
 *
 * How: a port is claimed by binding a UDP socket to it on an address that no server uses (127.255.255.254). The kernel
 * grants that bind to one process only and takes it back when the process dies, however it dies: there are no lock files
 * to go stale, which is why a lock directory was rejected. A wildcard TCP server on the same port is not disturbed. After
 * the claim, TCP and UDP are probed on the wanted address, for strangers who never heard of claims.
 *
 * The range lies below the kernel's usual range for outgoing connections (32768 and up), so that a connection that
 * somebody makes between the probe and the server's start cannot take the port.
 */
import { createSocket, type Socket } from 'node:dgram';
import { createServer } from 'node:net';

const firstPort = 15_001;
const lastPort = 32_000;
const claimAddress = '127.255.255.254';
const attemptsMax = 2_000;

const claims = new Map<number, Socket>();

/** A port that is free on `address` for TCP and UDP, held for this process until it ends or calls `releasePort`. */
export async function freePort(address = '127.0.0.1'): Promise<number> {
  const size = lastPort - firstPort + 1;
  let candidate = Math.floor(Math.random() * size);
  for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
    const port = firstPort + candidate;
    candidate = (candidate + 1) % size;
    if (claims.has(port)) continue;
    const claim = await bindUdp(claimAddress, port);
    if (claim === undefined) continue;
    if ((await tcpIsFree(address, port)) && (await udpIsFree(address, port))) {
      claims.set(port, claim);
      return port;
    }
    claim.close();
  }
  throw new Error(`no free port on ${address} between ${firstPort} and ${lastPort}: tried ${attemptsMax}`);
}

/** Several different free ports on one address. */
export async function freePorts(count: number, address = '127.0.0.1'): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < count) ports.push(await freePort(address));
  return ports;
}

/** Lets others have the port. Harmless for a port that is not held. */
export function releasePort(port: number): void {
  claims.get(port)?.close();
  claims.delete(port);
}

function bindUdp(address: string, port: number): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4');
    socket.once('error', () => {
      socket.close();
      resolve(undefined);
    });
    socket.bind({ address, port, exclusive: true }, () => {
      socket.unref();
      resolve(socket);
    });
  });
}

async function udpIsFree(address: string, port: number): Promise<boolean> {
  const socket = await bindUdp(address, port);
  if (socket === undefined) return false;
  await new Promise<void>((resolve) => {
    socket.close(() => resolve());
  });
  return true;
}

function tcpIsFree(address: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ host: address, port, exclusive: true }, () => server.close(() => resolve(true)));
  });
}
