/**
 * Gives the memory of bytes back at once. Left to the garbage collector, a stream of gigabytes makes it walk through all of the program's memory every 64 MiB, and keeps those 64 MiB.
 *
 * Precondition: nobody uses them any more. Bytes that share their memory with others, as small ones and parts do, are left alone.
 */
export function releaseMemory(bytes: Uint8Array): void {
  const { buffer } = bytes;
  if (bytes.byteLength === buffer.byteLength && buffer instanceof ArrayBuffer && !buffer.detached) buffer.transfer(0);
}
