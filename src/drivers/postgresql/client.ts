/**
 * Connections to real servers: the only importer of the npm package `pg`, loaded when the first connection is made.
 *
 * Invariant: no call outlives its limit. The package waits for ever for a server that has accepted a connection and says nothing, so each wait is bounded here; when
 * time is up the statement is cancelled and the socket destroyed. Cancelling matters: a write that waits for a standby would otherwise keep its server process (and
 * its place among max_connections) long after we are gone.
 * When the process dies, the server notices the closed socket; nothing is left behind but what was committed.
 */
import type { Client, ClientConfig } from 'pg';
import { fail } from '../../base/errors.ts';
import type { CanaryRow } from '../../contracts/driver.ts';
import type { Evidence } from '../../contracts/observation.ts';
import type { Host, SocketWithBuffer } from '../../host/host.ts';
import { clientError, sqlStateOf } from './client-errors.ts';
import type { Address, ChangeableSetting, Connect, Connection, EpochRow, Limit, ServerStatus } from './ports.ts';
import { settingNames } from './ports.ts';
import * as sql from './statements.ts';

/** Parts of the package's client that its types leave out. */
interface ClientInside {
  readonly processID: number | null;
  readonly secretKey: number | null;
  readonly connection: { readonly stream: RawStream };
}

/** The socket, encrypted or not, under a client. */
export interface RawStream {
  write(bytes: Uint8Array): boolean;
  pause(): void;
  resume(): void;
  on(event: 'data', listener: (bytes: Uint8Array) => void): void;
  on(event: 'end' | 'close', listener: () => void): void;
  on(event: 'error', listener: (error: Error) => void): void;
  destroy(): void;
  removeAllListeners(event: string): void;
  once(event: 'drain' | 'close', listener: () => void): void;
  removeListener(event: 'drain' | 'close', listener: () => void): void;
}

type Row = Readonly<Record<string, unknown>>;

const cancelTimeoutMs = 1_000;
const replicationBufferBytes = 256 * 1024;
const cancelRequestCode = 80_877_102;

export function connectWith(host: Host): Connect {
  return async (address, limit) => {
    const { default: pg } = await import('pg');
    const client = new pg.Client(await clientConfig(host, address));
    const connection = new PgConnection(host, address, client);
    const where = `${address.host}:${address.port}`;
    try {
      await connection.bounded(limit, client.connect(), false);
    } catch (error) {
      connection.close();
      throw clientError(error, where);
    }
    return connection;
  };
}

/** A client of the package itself, for the statements and the replication protocol of backups. Connected, or an error, within the limit. */
export async function connectClient(
  host: Host,
  address: Address,
  limit: Limit,
  more: { readonly replication?: boolean } = {},
): Promise<{ readonly client: Client; readonly stream: RawStream; readonly takeOver: SocketWithBuffer['takeOver'] | undefined }> {
  const { default: pg } = await import('pg');
  // Where it is encrypted the socket is another one than the package was given.
  const own = more.replication === true && address.tls.mode === 'disable' ? host.net.socketWithBuffer?.(replicationBufferBytes) : undefined;
  // The package's types leave `replication` out; it hands it on as it is.
  const config = {
    ...(await clientConfig(host, address)),
    ...(more.replication === true ? { replication: 'true' } : {}),
    ...(own === undefined ? {} : { stream: () => own.socket }),
  };
  const client = new pg.Client(config as ClientConfig);
  const connection = new PgConnection(host, address, client);
  try {
    await connection.bounded(limit, client.connect(), false);
  } catch (error) {
    connection.close();
    throw clientError(error, `${address.host}:${address.port}`);
  }
  return { client, stream: (client as unknown as ClientInside).connection.stream, takeOver: own?.takeOver };
}

async function clientConfig(host: Host, address: Address): Promise<ClientConfig> {
  const { mode, ca } = address.tls;
  const authority = ca === undefined ? {} : { ca: await host.files.readText(ca) };
  const ssl =
    mode === 'disable'
      ? false
      : mode === 'require'
        ? { rejectUnauthorized: false }
        : mode === 'verify-ca'
          ? { ...authority, checkServerIdentity: () => undefined }
          : authority;
  return {
    host: address.host,
    port: address.port,
    user: address.user,
    database: address.database,
    // Never undefined: the package would look for a password in files of its own choice.
    password: address.password?.reveal() ?? '',
    application_name: sql.applicationName,
    keepAlive: true,
    keepAliveInitialDelayMillis: 5_000,
    ssl,
  };
}

class PgConnection implements Connection {
  readonly #host: Host;
  readonly #address: Address;
  readonly #client: Client;
  readonly #listeners: ((evidence: Evidence) => void)[] = [];
  #evidence: Evidence | undefined;
  #closed = false;
  #queue: Promise<unknown> = Promise.resolve();

  constructor(host: Host, address: Address, client: Client) {
    this.#host = host;
    this.#address = address;
    this.#client = client;
    client.on('error', (error) => this.#lose(clientError(error, this.#where).message));
    client.on('end', () => this.#lose(`${this.#where} closed the connection`));
  }

  get #where(): string {
    return `${this.#address.host}:${this.#address.port}`;
  }

  get lost(): boolean {
    return this.#evidence !== undefined || this.#closed;
  }

  onLost(listener: (evidence: Evidence) => void): void {
    if (this.#evidence) listener(this.#evidence);
    else this.#listeners.push(listener);
  }

  #lose(detail: string): void {
    if (this.#closed || this.#evidence) return;
    this.#evidence = { kind: 'connection-lost', detail };
    for (const listener of this.#listeners.splice(0)) listener(this.#evidence);
  }

  close(): void {
    this.#closed = true;
    (this.#client as unknown as ClientInside).connection.stream.destroy();
  }

  /** Waits for the work within the limit; past it, the statement is cancelled and the connection is gone. */
  async bounded<T>(limit: Limit, work: Promise<T>, changes: boolean): Promise<T> {
    let stop: (() => void) | undefined;
    const over = new Promise<never>((_resolve, reject) => {
      const end = (why: string) => {
        this.#cancel();
        this.close();
        reject(
          fail(changes ? 'SYSTEM_OUTCOME_UNKNOWN' : 'TIMED_OUT', {
            message: `${this.#where} ${why}`,
            details: { evidence: 'timeout' },
          }),
        );
      };
      const onAbort = () => end('did not answer before the wait was given up');
      const cancelTimer = this.#host.clock.after(limit.timeoutMs, () => end(`did not answer within ${limit.timeoutMs} ms`));
      stop = () => {
        cancelTimer();
        limit.signal.removeEventListener('abort', onAbort);
      };
      if (limit.signal.aborted) onAbort();
      else limit.signal.addEventListener('abort', onAbort);
    });
    work.catch(() => {
      // Heard through the race below, or too late to matter: the connection is destroyed by then.
    });
    try {
      return await Promise.race([work, over]);
    } finally {
      stop?.();
    }
  }

  /** The protocol's own way: a second connection that names process and key. Best effort: the server may be gone. */
  #cancel(): void {
    const { processID, secretKey } = this.#client as unknown as ClientInside;
    if (processID === null || secretKey === null || this.lost) return;
    const message = new DataView(new ArrayBuffer(16));
    [16, cancelRequestCode, processID, secretKey].forEach((value, index) => {
      message.setInt32(index * 4, value);
    });
    const { host, port } = this.#address;
    this.#host.net.connectTcp({ host, port, timeoutMs: cancelTimeoutMs }).then(
      (connection) => {
        // The server closes it when it has taken the request.
        const forget = this.#host.clock.after(cancelTimeoutMs, () => connection.close());
        connection.onClose(() => forget());
        connection.write(new Uint8Array(message.buffer));
      },
      () => {
        // Where no connection can be made, there is no statement left to cancel, or nobody to ask.
      },
    );
  }

  async #run(text: string, values: readonly unknown[], limit: Limit, changes = false): Promise<readonly Row[]> {
    if (this.lost)
      throw fail('SYSTEM_UNREACHABLE', { message: `${this.#where}: the connection is gone`, details: { evidence: 'connection-lost' } });
    const before = this.#queue;
    const work = before.then(() => this.#client.query<Row>(text, [...values])).then((result) => result.rows);
    this.#queue = work.catch(() => undefined);
    try {
      return await this.bounded(limit, work, changes);
    } catch (error) {
      throw clientError(error, this.#where, changes);
    }
  }

  async readStatus(limit: Limit): Promise<ServerStatus> {
    const read = async () => (await this.#run(sql.readStatusText, [settingNames], limit))[0]?.['status'];
    try {
      return sql.parseStatus(String(await read()));
    } catch (error) {
      // It was promoted while it answered: the next look sees one role only.
      if (sqlStateOf((error as Error).cause) !== '55000') throw error;
      return sql.parseStatus(String(await read()));
    }
  }

  async isInRecovery(limit: Limit): Promise<boolean> {
    return (await this.#run('SELECT pg_is_in_recovery() AS standby', [], limit))[0]?.['standby'] === true;
  }

  async writeCanary(component: string, row: CanaryRow, limit: Limit): Promise<void> {
    await this.#write(sql.writeCanaryText, [component, row.number, row.atMs, row.epoch], limit);
  }

  async readCanary(component: string, limit: Limit): Promise<CanaryRow | undefined> {
    const row = await this.#readPlaced(sql.readCanaryText, component, limit);
    return row && { number: Number(row['number']), atMs: Number(row['at_ms']), epoch: Number(row['epoch']) };
  }

  async writeEpoch(component: string, row: EpochRow, atMs: number, limit: Limit): Promise<EpochRow> {
    await this.#write(sql.writeEpochText, [component, row.epoch, row.region, atMs], limit);
    return (await this.readEpoch(component, limit)) ?? row;
  }

  async readEpoch(component: string, limit: Limit): Promise<EpochRow | undefined> {
    const row = await this.#readPlaced(sql.readEpochText, component, limit);
    return row && { epoch: Number(row['epoch']), region: String(row['region']) };
  }

  async #write(text: string, values: readonly unknown[], limit: Limit): Promise<void> {
    try {
      await this.#run(text, values, limit, true);
    } catch (error) {
      if (!isPlaceMissing(error)) throw error;
      for (const make of sql.makePlaceTexts) await this.#make(make, limit);
      await this.#run(text, values, limit, true);
    }
  }

  async #make(text: string, limit: Limit): Promise<void> {
    try {
      await this.#run(text, [], limit, true);
    } catch (error) {
      // IF NOT EXISTS does not hold between two that make it at the same time: the other one has made it.
      const state = sqlStateOf((error as Error).cause);
      if (state !== '23505' && state !== '42P07' && state !== '42P06') throw error;
    }
  }

  async #readPlaced(text: string, component: string, limit: Limit): Promise<Row | undefined> {
    try {
      return (await this.#run(text, [component], limit))[0];
    } catch (error) {
      if (isPlaceMissing(error)) return undefined;
      throw error;
    }
  }

  async changeSettings(settings: Readonly<Partial<Record<ChangeableSetting, string | null>>>, limit: Limit): Promise<void> {
    for (const [name, value] of Object.entries(settings)) {
      const change = value === null ? `ALTER SYSTEM RESET ${name}` : `ALTER SYSTEM SET ${name} = ${sql.quoteLiteral(value)}`;
      await this.#run(change, [], limit, true);
    }
    await this.reload(limit);
  }

  async reload(limit: Limit): Promise<void> {
    await this.#run('SELECT pg_reload_conf()', [], limit);
  }

  async signalPromotion(limit: Limit): Promise<void> {
    await this.#run('SELECT pg_promote(false)', [], limit, true);
  }

  async terminateClients(limit: Limit): Promise<number> {
    return Number((await this.#run(sql.terminateClientsText, [], limit))[0]?.['ended'] ?? 0);
  }

  async ensureSlot(name: string, limit: Limit): Promise<void> {
    await this.#run(sql.ensureSlotText, [name], limit);
  }

  async dropSlots(names: readonly string[], limit: Limit): Promise<void> {
    await this.#run(sql.dropSlotsText, [names], limit);
  }

  async checkpoint(limit: Limit): Promise<void> {
    await this.#run('CHECKPOINT', [], limit);
  }

  async readTimelineHistory(timeline: number, limit: Limit): Promise<string> {
    if (timeline === 1) return '';
    const file = `${timeline.toString(16).toUpperCase().padStart(8, '0')}.history`;
    return String((await this.#run(sql.readHistoryText, [file], limit))[0]?.['history'] ?? '');
  }
}

/** The schema or the table is not there yet. */
function isPlaceMissing(error: unknown): boolean {
  const state = sqlStateOf((error as Error).cause);
  return state === '42P01' || state === '3F000';
}
