/**
 * Work in threads of this process: a module of the program by name, fed with a stream.
 *
 * Invariant: at most `aheadMost` pieces wait in a thread. The pieces are moved, not copied. A thread ends with its work, with this process, and where either side fails.
 */
import { existsSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { asHoldfastError, fail, type HoldfastError } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import type { ThreadRequest, Threads } from '../host.ts';
import type { FromThread, ToThread } from './thread-side.ts';

const aheadMost = 2;
/** From here on moving memory is cheaper than copying what it holds. */
const moveFromBytes = 64 * 1024;
/** From source, and as it is built. */
const places = (name: string) => [`../../${name}-thread.ts`, `./${name}-thread.js`, `../${name}-thread.js`];

export function nodeThreads(): Threads {
  return {
    run: async (request) => {
      const file = places(request.name)
        .map((place) => new URL(place, import.meta.url))
        .find((url) => existsSync(url));
      if (file === undefined) throw fail('BUG_BROKEN_BELIEF', { message: `the program has no thread "${request.name}"` });
      return await new Running(file, request).run();
    },
  };
}

class Running {
  readonly #worker: Worker;
  readonly #request: ThreadRequest;
  #waiting = 0;
  #onRoom: () => void = () => {};
  #over = false;

  constructor(file: URL, request: ThreadRequest) {
    this.#request = request;
    this.#worker = new Worker(file, { workerData: request.request, execArgv: [], resourceLimits: { maxYoungGenerationSizeMb: 4 } });
  }

  async run(): Promise<JsonObject> {
    const result = this.#result();
    // Told below; until then its failure is nobody's surprise.
    result.catch(() => undefined);
    try {
      let failed: HoldfastError | undefined;
      try {
        await this.#feed();
      } catch (error) {
        failed = asHoldfastError(error);
        this.#post({ kind: 'failed' });
      }
      const [outcome] = await Promise.allSettled([result]);
      if (failed !== undefined) throw failed;
      if (outcome.status === 'rejected') throw outcome.reason;
      return outcome.value;
    } finally {
      this.#over = true;
      await this.#worker.terminate();
    }
  }

  #result(): Promise<JsonObject> {
    return new Promise((resolve, reject) => {
      const end = (settle: () => void): void => {
        this.#over = true;
        this.#onRoom();
        settle();
      };
      this.#worker.on('message', (message: FromThread) => {
        if (message.kind === 'taken') {
          this.#waiting -= 1;
          this.#onRoom();
        } else if (message.kind === 'progress') this.#request.onProgress(message.amount);
        else if (message.kind === 'done') end(() => resolve(message.result));
        else end(() => reject(fail(message.error.code, message.error)));
      });
      this.#worker.once('error', (error) => end(() => reject(asHoldfastError(error))));
      this.#worker.once('exit', () => end(() => reject(fail('INTERRUPTED', { message: `the thread "${this.#request.name}" ended` }))));
    });
  }

  async #feed(): Promise<void> {
    for await (const bytes of this.#request.input) {
      while (this.#waiting >= aheadMost && !this.#over)
        await new Promise<void>((resolve) => {
          this.#onRoom = resolve;
        });
      if (this.#over) return;
      this.#waiting += 1;
      this.#post({ kind: 'bytes', bytes: movable(bytes) });
    }
    this.#post({ kind: 'end' });
  }

  #post(message: ToThread): void {
    this.#worker.postMessage(message, message.kind === 'bytes' ? [message.bytes.buffer as ArrayBuffer] : []);
  }
}

/** Memory that holds nothing else is moved; what is small may share it with others. */
function movable(bytes: Uint8Array): Uint8Array {
  const { buffer } = bytes;
  const isOwn = bytes.length >= moveFromBytes && buffer instanceof ArrayBuffer && buffer.byteLength < bytes.length + moveFromBytes;
  return isOwn ? bytes : new Uint8Array(bytes);
}
