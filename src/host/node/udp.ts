/** One datagram out, one accepted datagram back. The socket is connected, so that a closed port answers at once (by ICMP) and strangers' datagrams are not seen. */
import { createSocket } from 'node:dgram';
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import type { HoldfastError } from '../../base/errors.ts';
import type { Net } from '../host.ts';
import { netError, netInterrupted, netTimeout } from './net-errors.ts';

type UdpRequest = Parameters<Net['udpExchange']>[0];

export function udpExchange(request: UdpRequest): Promise<Uint8Array> {
  const { host, port, timeoutMs, signal } = request;
  const name = `udp ${host.includes(':') ? `[${host}]` : host}:${port}`;
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(netInterrupted(name, signal.reason));
      return;
    }
    let close = (): void => {};
    let over = false;
    const settle = (how: () => void): void => {
      if (over) return;
      over = true;
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      close();
      how();
    };
    const refuse = (error: HoldfastError): void => settle(() => reject(error));
    const onAbort = (): void => refuse(netInterrupted(name, signal?.reason));
    const timer = setTimeout(() => refuse(netTimeout(name, timeoutMs)), timeoutMs);
    signal?.addEventListener('abort', onAbort, { once: true });
    addressOf(host).then(
      ({ address, family }) => {
        if (over) return;
        const socket = createSocket(family === 6 ? 'udp6' : 'udp4');
        close = () => socket.close();
        socket.on('error', (error) => refuse(netError(error, name)));
        socket.on('message', (answer) => {
          if (!over && request.accept(answer)) settle(() => resolve(answer));
        });
        socket.connect(port, address, (error?: Error) => {
          if (over) return;
          if (error !== undefined && error !== null) refuse(netError(error, name));
          else socket.send(request.data);
        });
      },
      (error: NodeJS.ErrnoException) => refuse(netError(error, name)),
    );
  });
}

async function addressOf(host: string): Promise<{ address: string; family: number }> {
  const family = isIP(host);
  return family === 0 ? lookup(host) : { address: host, family };
}
