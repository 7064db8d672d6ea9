/** The other side of threads.ts: what a module that runs in a thread is made with. Dying inside is told to whoever started it. */
import { parentPort, workerData } from 'node:worker_threads';
import { assert } from '../../base/assert.ts';
import type { ErrorCode } from '../../base/error-catalogue.ts';
import { asHoldfastError, fail } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';

export type ToThread = { readonly kind: 'bytes'; readonly bytes: Uint8Array } | { readonly kind: 'end' } | { readonly kind: 'failed' };

export type FromThread =
  | { readonly kind: 'taken' }
  | { readonly kind: 'progress'; readonly amount: number }
  | { readonly kind: 'done'; readonly result: JsonObject }
  | { readonly kind: 'error'; readonly error: { readonly code: ErrorCode; readonly message: string; readonly hint: string } };

const tellEvery = 4 * 1024 * 1024;

export type ThreadWork = (
  request: JsonObject,
  input: AsyncIterable<Uint8Array>,
  onProgress: (amount: number) => void,
) => Promise<JsonObject>;

export async function runThread(work: ThreadWork): Promise<void> {
  const port = parentPort;
  assert(port !== null, 'this module runs in a thread');
  const tell = (message: FromThread): void => port.postMessage(message);
  const came: ToThread[] = [];
  let wake = (): void => {};
  port.on('message', (message: ToThread) => {
    came.push(message);
    wake();
  });
  async function* input(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const message = came.shift();
      if (message === undefined) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
        continue;
      }
      if (message.kind === 'end') return;
      // Whoever feeds us knows why.
      if (message.kind === 'failed') throw fail('INTERRUPTED', { message: 'the stream was given up' });
      yield message.bytes;
      tell({ kind: 'taken' });
    }
  }
  let untold = 0;
  const onProgress = (amount: number): void => {
    untold += amount;
    if (untold < tellEvery) return;
    tell({ kind: 'progress', amount: untold });
    untold = 0;
  };
  try {
    const result = await work(workerData as JsonObject, input(), onProgress);
    tell({ kind: 'progress', amount: untold });
    tell({ kind: 'done', result });
  } catch (thrown) {
    const { code, message, hint } = asHoldfastError(thrown);
    tell({ kind: 'error', error: { code, message, hint } });
  } finally {
    port.removeAllListeners('message');
    port.unref();
  }
}
