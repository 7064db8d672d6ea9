/**
 * The port on the npm client `redis`: its only importer, loaded on the first connection. Speaks RESP 2, without reconnection, offline queue or handshake extras, so
 * that a connection is one TCP connection and no more.
 *
 * When the process dies, the server closes what was open; nothing is kept here.
 */
import { fail, HoldfastError } from '../../base/errors.ts';
import type { Host } from '../../host/host.ts';
import { addressOf, type RedisConnection, type RedisPort, type RedisTarget, type Reply, type SendOptions, type Word } from './port.ts';
import { errorOfReply } from './reply-errors.ts';

type RedisModule = typeof import('redis');
type Client = ReturnType<RedisModule['createClient']>;

const causeByErrno: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'refused',
  ECONNRESET: 'reset',
  EPIPE: 'reset',
  ETIMEDOUT: 'timeout',
  EHOSTUNREACH: 'unreachable',
  ENETUNREACH: 'unreachable',
  EHOSTDOWN: 'unreachable',
  ENOTFOUND: 'name',
  EAI_AGAIN: 'name',
};

export function openClientPort(host: Host): RedisPort {
  return {
    async connect(target, { timeoutMs, signal }) {
      const module = await import('redis');
      const client = createClient(module, target, timeoutMs, target.caFile ? await host.files.readText(target.caFile) : undefined);
      const connection = new ClientConnection(host, module, client, target);
      try {
        await connection.within({ timeoutMs, ...(signal ? { signal } : {}) }, () => client.connect());
      } catch (error) {
        connection.close();
        throw connectFailed(error, target);
      }
      return connection;
    },
  };
}

function createClient(module: RedisModule, target: RedisTarget, timeoutMs: number, ca: string | undefined): Client {
  const common = { host: target.host, port: target.port, connectTimeout: timeoutMs, reconnectStrategy: false as const };
  return module.createClient({
    RESP: 2,
    disableClientInfo: true,
    disableOfflineQueue: true,
    maintNotifications: 'disabled',
    ...(target.username === undefined ? {} : { username: target.username }),
    ...(target.password === undefined ? {} : { password: target.password.reveal() }),
    socket: target.socketPath
      ? { path: target.socketPath, connectTimeout: timeoutMs, reconnectStrategy: false as const }
      : target.tls
        ? { ...common, tls: true, ...(isIpAddress(target.host) ? {} : { servername: target.host }), ...(ca === undefined ? {} : { ca }) }
        : common,
  }) as unknown as Client;
}

/** TLS has no server names for addresses: the certificate is checked against the address all the same. */
const isIpAddress = (host: string): boolean => host.includes(':') || /^[\d.]+$/.test(host);

function isErrorReply(module: RedisModule, error: unknown): error is Error {
  return error instanceof module.ErrorReply;
}

function causeOf(error: unknown): string {
  if (!(error instanceof Error)) return 'other';
  // A host name with several addresses: all of them failed, and the first one speaks for them.
  if (error instanceof AggregateError && error.errors.length > 0) return causeOf(error.errors[0]);
  const { code } = error as NodeJS.ErrnoException;
  if (code !== undefined && causeByErrno[code] !== undefined) return causeByErrno[code];
  if (error.constructor.name === 'ConnectionTimeoutError') return 'timeout';
  if (error.constructor.name === 'SocketClosedUnexpectedlyError' || error.constructor.name === 'ClientClosedError') return 'reset';
  if (code?.startsWith('ERR_TLS') || code?.includes('CERT') || code?.includes('SSL')) return 'tls';
  return 'other';
}

function connectFailed(error: unknown, target: RedisTarget): HoldfastError {
  if (error instanceof HoldfastError) {
    // Nothing but the greeting was sent: no effect is in doubt.
    if (error.code !== 'SYSTEM_OUTCOME_UNKNOWN') return error;
    return fail('SYSTEM_UNREACHABLE', { message: error.message, details: error.details, cause: error });
  }
  if (error instanceof Error && /^[A-Z]{3,} /.test(error.message)) return errorOfReply(error.message, `login at ${addressOf(target)}`);
  const cause = causeOf(error);
  const words: Readonly<Record<string, string>> = {
    refused: `connection refused by ${addressOf(target)}`,
    reset: `${addressOf(target)} closed the connection`,
    timeout: `no answer from ${addressOf(target)}`,
    unreachable: `no way to ${addressOf(target)}`,
    name: `the name ${target.host} can't be resolved`,
  };
  const message = words[cause] ?? `${addressOf(target)}: ${error instanceof Error ? error.message : String(error)}`;
  return fail('SYSTEM_UNREACHABLE', { message, details: { cause }, cause: error });
}

class ClientConnection implements RedisConnection {
  readonly #host: Host;
  readonly #module: RedisModule;
  readonly #client: Client;
  readonly #target: RedisTarget;
  readonly #listeners: (() => void)[] = [];
  #closed = false;

  constructor(host: Host, module: RedisModule, client: Client, target: RedisTarget) {
    this.#host = host;
    this.#module = module;
    this.#client = client;
    this.#target = target;
    // The error that ends a connection also rejects the commands under way, and those are who is told.
    client.on('error', () => this.#ended());
    client.on('end', () => this.#ended());
    // The client's destroy() does not reach a socket that is still being opened: it would open after that, be held by nobody, and keep the process alive.
    client.on('connect', () => {
      if (this.#closed) this.#destroy();
    });
  }

  get isOpen(): boolean {
    return !this.#closed;
  }

  onClose(listener: () => void): void {
    if (this.#closed) listener();
    else this.#listeners.push(listener);
  }

  close(): void {
    this.#destroy();
    this.#ended();
  }

  #destroy(): void {
    try {
      this.#client.destroy();
    } catch {
      // It was never open or has ended already: closed is what was wanted.
    }
  }

  async send(commands: readonly (readonly Word[])[], options: SendOptions): Promise<readonly (Reply | HoldfastError)[]> {
    const typeMapping = options.binary ? { typeMapping: { [this.#module.RESP_TYPES.BLOB_STRING]: Buffer } } : {};
    return await this.within(options, () =>
      Promise.all(
        commands.map((words) =>
          this.#client
            .sendCommand(
              words.map((word) => (typeof word === 'string' ? word : Buffer.from(word))),
              typeMapping,
            )
            .then(
              (reply) => reply as unknown as Reply,
              (error: unknown) => {
                if (isErrorReply(this.#module, error)) return errorOfReply(error.message, commandName(words));
                throw error;
              },
            ),
        ),
      ),
    );
  }

  /** Runs it; when the time is over, the signal aborted or the connection broken, closes the connection and says that the outcome is unknown. */
  async within<T>(options: SendOptions, run: () => Promise<T>): Promise<T> {
    const { timeoutMs, signal } = options;
    const address = addressOf(this.#target);
    return await new Promise<T>((resolve, reject) => {
      const cleanUp = () => {
        cancel();
        signal?.removeEventListener('abort', aborted);
      };
      const giveUp = (message: string, cause: string) => {
        cleanUp();
        reject(fail('SYSTEM_OUTCOME_UNKNOWN', { message, details: { cause } }));
        this.close();
      };
      const cancel = this.#host.clock.after(timeoutMs, () => giveUp(`no answer from ${address} within ${timeoutMs} ms`, 'timeout'));
      const aborted = () => giveUp(`no answer from ${address} before the wait was ended`, 'timeout');
      if (signal?.aborted) return aborted();
      signal?.addEventListener('abort', aborted, { once: true });
      run().then(
        (value) => {
          cleanUp();
          resolve(value);
        },
        (error: unknown) => {
          cleanUp();
          reject(this.isOpen && isErrorReply(this.#module, error) ? error : this.#broken(error));
          this.close();
        },
      );
    });
  }

  #broken(error: unknown): unknown {
    // While connecting, the errno says more than "closed": it is mapped there.
    if (!this.#client.isReady && causeOf(error) !== 'other' && causeOf(error) !== 'reset') return error;
    if (isErrorReply(this.#module, error)) return error;
    const cause = causeOf(error);
    if (cause === 'other') return error;
    return fail('SYSTEM_OUTCOME_UNKNOWN', {
      message: `${addressOf(this.#target)} closed the connection`,
      details: { cause },
      cause: error,
    });
  }

  #ended(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const listener of this.#listeners.splice(0)) listener();
  }
}

/** The command without its values, which may be secret. */
function commandName(words: readonly Word[]): string {
  const names = words.slice(0, words[0] === 'CONFIG' || words[0] === 'CLIENT' ? 3 : 1);
  return names.filter((word) => typeof word === 'string').join(' ');
}
