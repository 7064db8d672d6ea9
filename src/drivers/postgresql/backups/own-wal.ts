/**
 * The log that a backup needs, kept inside of the backup where the component has no archive: one part for each segment, `wal-000000010000000000000003`.
 *
 * Received while the backup runs, under a temporary slot, as `pg_basebackup -X stream` does: fetched afterwards, the server might have thrown it away.
 */
import { fail } from '../../../base/errors.ts';
import type { ArchiveReader, BackupReader, BackupSink } from '../../../contracts/backup.ts';
import type { Host } from '../../../host/host.ts';
import { type Lsn, parseLsn } from '../lsn.ts';
import type { Address } from '../ports.ts';
import { ReplicationConnection } from './replication-connection.ts';
import { segmentNumberAt, segmentStart } from './wal-names.ts';
import { WalStream, type WalTarget } from './wal-stream.ts';

const prefix = 'wal-';
/** Of a segment that the server did not finish. */
const unfinishedSuffix = '.unfinished';

export class OwnWal {
  readonly #connection: ReplicationConnection;
  readonly #host: Host;
  readonly #sink: BackupSink;
  #until: Lsn | undefined;
  #stream: WalStream | undefined;
  #ended: Promise<unknown> = Promise.resolve();
  #unfinished: { name: string; bytes: Uint8Array[] } | undefined;

  private constructor(host: Host, connection: ReplicationConnection, sink: BackupSink) {
    this.#host = host;
    this.#connection = connection;
    this.#sink = sink;
  }

  static async open(host: Host, address: Address, sink: BackupSink, signal: AbortSignal): Promise<OwnWal> {
    const connection = await ReplicationConnection.open(host, address, signal);
    try {
      const name = `holdfast_backup_${Buffer.from(host.random.bytes(6)).toString('hex')}`;
      await connection.command(`CREATE_REPLICATION_SLOT "${name}" TEMPORARY PHYSICAL RESERVE_WAL`);
      return new OwnWal(host, connection, sink);
    } catch (error) {
      connection.close();
      throw error;
    }
  }

  begin(request: {
    readonly lsn: string;
    readonly timeline: number;
    readonly systemIdentifier: string;
    readonly segmentBytes: number;
  }): void {
    const { timeline, systemIdentifier, segmentBytes } = request;
    const from = segmentStart(segmentNumberAt(parseLsn(request.lsn), segmentBytes), segmentBytes);
    this.#stream = new WalStream(this.#connection, {
      clock: this.#host.clock,
      target: this.#target(),
      systemIdentifier,
      segmentBytes,
      slot: undefined,
      timeline,
      from,
      until: () => this.#until,
    });
    this.#ended = this.#stream.run();
    this.#ended.catch(() => {
      // Heard in `finish`; a backup that fails before it has its own reason.
    });
  }

  #target(): WalTarget {
    return {
      push: async (name, bytes) => {
        this.#unfinished = undefined;
        await this.#write(`${prefix}${name}`, [bytes]);
      },
      pushPart: async (name, _offset, bytes) => {
        if (this.#unfinished?.name === name) this.#unfinished.bytes.push(bytes);
        else this.#unfinished = { name, bytes: [bytes] };
      },
    };
  }

  async #write(name: string, pieces: readonly Uint8Array[]): Promise<void> {
    const part = this.#sink.openPart(name);
    for (const piece of pieces) await part.write(piece);
    await part.end();
  }

  /** Resolves once everything before the place is among the parts. */
  async finish(until: Lsn): Promise<void> {
    this.#until = until;
    this.#stream?.nudge();
    if ((await this.#ended) !== undefined)
      throw fail('BACKUP_INCOMPLETE', { message: 'the server changed its timeline while it was backed up' });
    if (this.#unfinished) await this.#write(`${prefix}${this.#unfinished.name}${unfinishedSuffix}`, this.#unfinished.bytes);
  }

  close(): void {
    this.#connection.close();
  }
}

/** The parts of such a backup, as an archive. */
export function ownWalOf(backup: Pick<BackupReader, 'parts' | 'readPart'>): ArchiveReader | undefined {
  const names = backup.parts.map(({ name }) => name).filter((name) => name.startsWith(prefix));
  if (names.length === 0) return undefined;
  const segments = new Map(names.map((name) => [name.slice(prefix.length).replace(unfinishedSuffix, ''), name]));
  return {
    async *list(from = '') {
      for (const name of [...segments.keys()].sort()) if (name >= from) yield name;
    },
    async fetch(name) {
      const part = segments.get(name);
      if (part === undefined) return undefined;
      const pieces: Uint8Array[] = [];
      for await (const piece of backup.readPart(part)) pieces.push(piece);
      return { bytes: Buffer.concat(pieces), whole: !part.endsWith(unfinishedSuffix) };
    },
    gaps: async () => [],
  };
}
