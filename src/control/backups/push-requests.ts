/**
 * Takes log files from `bin/holdfast-wal-push` over a socket: the controller has the program loaded and the repository open already, so that a database waits for little more than the
 * writing itself.
 *
 * One line of JSON comes and one goes back, then the connection ends. The client names a file, which is read here; one that can't be read here is the client's to push by itself, and so
 * is everything when nobody answers. Dying here leaves the client without an answer: it fails, and the server sends the file again.
 */
import type { BackupRepository } from '../../backups/backup-repository.ts';
import { asHoldfastError, fail } from '../../base/errors.ts';
import type { Json, JsonObject } from '../../base/json.ts';
import type { Listener, TcpConnection } from '../../host/host.ts';
import type { RepositorySpec } from '../../spec/repository-spec.ts';
import { type PushParts, pushLog } from './push-log.ts';
import { Slots } from './slots.ts';

/** Each holds a log file, and what becomes of it, in memory. */
const pushesAtOnce = 2;
const requestMaxBytes = 64 * 1024;
const requestTimeoutMs = 10_000;

export interface PushRequestsParts extends Omit<PushParts, 'openRepository'> {
  readonly socketPath: string;
  openRepository(repository: RepositorySpec): Promise<BackupRepository>;
}

export class PushRequests {
  readonly #parts: PushRequestsParts;
  readonly #slots = new Slots(pushesAtOnce);
  readonly #opened = new Map<string, Promise<BackupRepository>>();
  readonly #underWay = new Set<Promise<void>>();
  #listener: Listener | undefined;

  constructor(parts: PushRequestsParts) {
    this.#parts = parts;
  }

  /** Without sockets, or where the path can't be had, logs are pushed without us: slower, and as safely. */
  async start(): Promise<void> {
    const { host, socketPath } = this.#parts;
    try {
      this.#listener = await host.net.listenUnix?.({ path: socketPath, onConnection: (connection) => this.#take(connection) });
    } catch (thrown) {
      host.log.warn('wal-push.no-socket', { path: socketPath, message: asHoldfastError(thrown).message });
    }
  }

  /** Pushes under way come to their end; their clients no longer hear of it. */
  async close(): Promise<void> {
    await this.#listener?.close();
    await Promise.allSettled([...this.#underWay]);
    for (const opened of await Promise.allSettled(this.#opened.values())) if (opened.status === 'fulfilled') await opened.value.close();
    this.#opened.clear();
  }

  #take(connection: TcpConnection): void {
    let text = '';
    let isTaken = false;
    const cancel = this.#parts.host.clock.after(requestTimeoutMs, () => connection.close());
    connection.onClose(() => cancel());
    connection.onData((data) => {
      if (isTaken) return;
      text += Buffer.from(data).toString('utf8');
      if (!text.includes('\n') && text.length <= requestMaxBytes) return;
      isTaken = true;
      cancel();
      const work = this.#answer(text.slice(0, text.indexOf('\n'))).then((answer) => {
        // The client closes once it has read the line.
        connection.write(`${JSON.stringify(answer)}\n`);
      });
      this.#underWay.add(work);
      void work.finally(() => this.#underWay.delete(work));
    });
  }

  async #answer(line: string): Promise<JsonObject> {
    const { host } = this.#parts;
    try {
      const request = parseRequest(line);
      const parts = { ...this.#parts, openRepository: (repository: RepositorySpec) => this.#open(repository) };
      return { ok: true, pushed: (await this.#slots.run(() => pushLog(parts, request))) as unknown as JsonObject };
    } catch (thrown) {
      const error = asHoldfastError(thrown);
      host.log.warn('wal-push.failed', { code: error.code, message: error.message });
      return { ok: false, error: error.toJSON() as Json };
    }
  }

  #open(repository: RepositorySpec): Promise<BackupRepository> {
    const known = this.#opened.get(repository.name);
    if (known !== undefined) return known;
    const opening = this.#parts.openRepository(repository);
    this.#opened.set(repository.name, opening);
    opening.catch(() => this.#opened.delete(repository.name));
    return opening;
  }
}

function parseRequest(line: string): { component: string; path: string; repository?: string } {
  const usage = () =>
    fail('USAGE', { message: 'the request is not understood', hint: 'The client and the controller must be of one version.' });
  let value: Partial<Record<'component' | 'path' | 'repository', unknown>>;
  try {
    value = JSON.parse(line) as typeof value;
  } catch {
    throw usage();
  }
  const { component, path, repository } = value ?? {};
  if (typeof component !== 'string' || typeof path !== 'string' || !path.startsWith('/')) throw usage();
  if (repository !== undefined && typeof repository !== 'string') throw usage();
  return { component, path, ...(repository === undefined ? {} : { repository }) };
}
