/**
 * A socket that reads into one buffer. Node's ordinary sockets take new memory for every 64 KiB, and a stream of gigabytes then keeps the garbage collector busy for seconds.
 *
 * Until it is taken over, what comes is copied and told as `data`, as any socket tells it: whoever connects and authenticates sees no difference.
 */
import { Socket, type SocketConstructorOpts } from 'node:net';
import type { SocketWithBuffer } from '../host.ts';

export function socketWithBuffer(bufferBytes: number): SocketWithBuffer {
  let take: ((bytes: Uint8Array) => boolean) | undefined;
  const onread = {
    buffer: new Uint8Array(bufferBytes),
    callback: (count: number, buffer: Uint8Array): boolean => {
      const bytes = buffer.subarray(0, count);
      if (take !== undefined) return take(bytes);
      socket.emit('data', Buffer.from(bytes));
      return true;
    },
  };
  const socket: Socket = new Socket({ onread } as SocketConstructorOpts);
  return {
    socket,
    takeOver: (onBytes) => {
      take = onBytes;
    },
  };
}
