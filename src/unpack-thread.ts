/**
 * Unpacks a tar file in a thread of its own. Its bytes, and those that they are decompressed to, are the garbage of gigabytes: here they do not make the collector walk through the whole
 * program's memory again and again.
 */
import { decompress } from './drivers/postgresql/backups/decompress.ts';
import { unpackTar } from './drivers/postgresql/backups/unpack-tar.ts';
import { nodeFileStreams } from './host/node/file-streams.ts';
import { nodeFiles } from './host/node/files.ts';
import { runThread } from './host/node/thread-side.ts';

const host = { files: nodeFiles(), fileStreams: nodeFileStreams() };

/** What came was moved here: nobody else has it. */
function giveBack(piece: Uint8Array): void {
  (piece.buffer as ArrayBuffer).transfer(0);
}

await runThread(async ({ name, into, compressed }, input, onProgress) => {
  const content = compressed === true ? decompress(String(name), input, giveBack) : input;
  return { ...(await unpackTar(host, content, String(into), onProgress)) };
});
