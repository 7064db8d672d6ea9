/**
 * Receives the log from a server, as a standby does, and hands it on in whole segments and, every second, in pieces of the unfinished one.
 *
 * Invariant: the server is told that a byte is safe only once the whole segment with it is (`push` has resolved); so its slot keeps everything that would have to be sent again. At
 * most two segments are in memory. When the process dies, the next one begins at the segment that was not whole: nothing is skipped, and what comes again is the same.
 */
import { fail } from '../../../base/errors.ts';
import type { Clock } from '../../../host/host.ts';
import { formatLsn, type Lsn, parseLsn } from '../lsn.ts';
import type { ReplicationConnection } from './replication-connection.ts';
import { formatSegmentName, readSegmentHeader, segmentNumberAt, segmentStart } from './wal-names.ts';

export interface WalTarget {
  push(name: string, bytes: Uint8Array): Promise<unknown>;
  pushPart(name: string, offset: number, bytes: Uint8Array): Promise<void>;
}

export interface WalStreamRequest {
  readonly clock: Clock;
  readonly target: WalTarget;
  readonly systemIdentifier: string;
  readonly segmentBytes: number;
  readonly slot: string | undefined;
  readonly timeline: number;
  /** The beginning of a segment. */
  readonly from: Lsn;
  /** Everything before `lsn` is kept; `atMs` is an instant by the server's clock at which nothing after it had been written. */
  onSafe?(state: { readonly lsn: Lsn; readonly atMs: number }): void;
  /** Ends the stream, orderly, once everything before it was received. */
  readonly until?: () => Lsn | undefined;
}

/** The server has left the timeline: it goes on with the next one. */
export interface TimelineEnd {
  readonly nextTimeline: number;
  readonly nextStart: Lsn;
}

/** Microseconds from 1970 to 2000, where PostgreSQL's time begins. */
const epochMicroseconds = 946_684_800_000_000n;
const tickMs = 1_000;
const seenEveryMs = 100;

export class WalStream {
  readonly #connection: ReplicationConnection;
  readonly #request: WalStreamRequest;
  #segment: bigint;
  #buffer: Buffer;
  #filled = 0;
  #pushedPart = 0;
  #safeWhole: Lsn;
  #pushing: Promise<void> = Promise.resolve();
  #failure: unknown;
  /** Instants that become safe once the log before their place is kept; oldest first. */
  #seen: { readonly lsn: Lsn; readonly atMs: number }[] = [];
  #keepaliveMs: number | undefined;
  #over = false;
  readonly #end = new AbortController();

  constructor(connection: ReplicationConnection, request: WalStreamRequest) {
    this.#connection = connection;
    this.#request = request;
    this.#segment = segmentNumberAt(request.from, request.segmentBytes);
    this.#buffer = Buffer.allocUnsafe(request.segmentBytes);
    this.#safeWhole = request.from;
  }

  get #received(): Lsn {
    return segmentStart(this.#segment, this.#request.segmentBytes) + BigInt(this.#filled);
  }

  /** Resolves where the server's timeline ends, or (undefined) where `until` was reached. */
  async run(): Promise<TimelineEnd | undefined> {
    const { slot, timeline, from } = this.#request;
    const words = slot === undefined ? '' : `SLOT "${slot}" `;
    this.#connection.send(`START_REPLICATION ${words}PHYSICAL ${formatLsn(from)} TIMELINE ${timeline}`);
    const ticking = this.#tick();
    try {
      const ended = await this.#receive();
      await this.#pushing;
      if (this.#failure !== undefined) throw this.#failure;
      await this.#pushUnfinished();
      return ended;
    } catch (error) {
      // What went wrong while keeping has closed the connection: it is the reason, not the closing.
      throw this.#failure ?? error;
    } finally {
      this.#over = true;
      this.#end.abort();
      this.#connection.close();
      await ticking;
    }
  }

  /** Makes the server speak, so that `until` is looked at soon. */
  nudge(): void {
    if (!this.#over) this.#answer(true);
  }

  async #receive(): Promise<TimelineEnd | undefined> {
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure;
      const until = this.#request.until?.();
      if (until !== undefined && this.#received >= until) return undefined;
      const { type, body } = await this.#connection.next();
      if (type === 'd') await this.#take(body);
      else if (type === 'c') return this.#readTimelineEnd();
      // A stream that begins where the timeline has ended already sends its end instead of `W`.
      else if (type === 'D') return this.#timelineEnd(body);
      else if (type !== 'W' && type !== 'T')
        throw fail('SYSTEM_WRONG_ANSWER', { message: `the server sent a message "${type}" in its log` });
    }
  }

  async #readTimelineEnd(): Promise<TimelineEnd> {
    this.#connection.sendCopyDone();
    const [row] = await this.#connection.rows();
    if (!row?.[0] || !row[1])
      throw fail('SYSTEM_UNREACHABLE', { message: 'the server has ended its log', details: { evidence: 'connection-lost' } });
    return { nextTimeline: Number(row[0]), nextStart: parseLsn(row[1]) };
  }

  #timelineEnd(body: Buffer): TimelineEnd {
    const length = body.readInt32BE(2);
    const place = 6 + length;
    return {
      nextTimeline: Number(body.toString('utf8', 6, place)),
      nextStart: parseLsn(body.toString('utf8', place + 4, place + 4 + body.readInt32BE(place))),
    };
  }

  async #take(body: Buffer): Promise<void> {
    const kind = String.fromCharCode(body[0] as number);
    if (kind === 'w') {
      await this.#append(body.readBigUInt64BE(1), body.subarray(25));
      this.#remember(body.readBigUInt64BE(9), toMs(body.readBigInt64BE(17)));
    } else if (kind === 'k') {
      const atMs = toMs(body.readBigInt64BE(9));
      // Whatever was written before the last time it spoke has been sent by now.
      if (this.#keepaliveMs !== undefined && body.readBigUInt64BE(1) <= this.#received) this.#remember(this.#received, this.#keepaliveMs);
      this.#keepaliveMs = atMs;
      if (body[17] === 1) this.#answer(false);
    }
  }

  #remember(lsn: Lsn, atMs: number): void {
    const last = this.#seen.at(-1);
    if (last === undefined || atMs - last.atMs >= seenEveryMs) this.#seen.push({ lsn, atMs });
  }

  async #append(start: Lsn, bytes: Buffer): Promise<void> {
    if (start !== this.#received)
      throw fail('SYSTEM_WRONG_ANSWER', {
        message: `the server sent its log at ${formatLsn(start)} instead of ${formatLsn(this.#received)}`,
      });
    for (let at = 0; at < bytes.length; ) {
      const count = Math.min(bytes.length - at, this.#buffer.length - this.#filled);
      bytes.copy(this.#buffer, this.#filled, at, at + count);
      this.#filled += count;
      at += count;
      if (this.#filled === this.#buffer.length) await this.#finishSegment();
    }
  }

  async #finishSegment(): Promise<void> {
    // The one before has to be kept first: two in memory, never three.
    await this.#pushing;
    if (this.#failure !== undefined) throw this.#failure;
    const { segmentBytes, target } = this.#request;
    const bytes = this.#buffer;
    const name = this.#name();
    this.#checkHeader(name);
    const end = segmentStart(this.#segment + 1n, segmentBytes);
    this.#pushing = target.push(name, bytes).then(
      () => {
        this.#safeWhole = end;
        this.#tellSafe(end);
        if (!this.#over) this.#answer(false);
      },
      (error: unknown) => {
        this.#failure = error;
        this.#connection.close();
      },
    );
    this.#segment += 1n;
    this.#buffer = Buffer.allocUnsafe(segmentBytes);
    this.#filled = 0;
    this.#pushedPart = 0;
  }

  #name(): string {
    return formatSegmentName({ timeline: this.#request.timeline, number: this.#segment }, this.#request.segmentBytes);
  }

  #checkHeader(name: string): void {
    const { systemIdentifier } = readSegmentHeader(this.#buffer, name);
    if (systemIdentifier !== this.#request.systemIdentifier)
      throw fail('ARCHIVE_CONFLICT', {
        message: `${name} comes from the server ${systemIdentifier}, the archive is of ${this.#request.systemIdentifier}`,
      });
  }

  async #pushUnfinished(): Promise<void> {
    const upTo = this.#filled;
    if (upTo <= this.#pushedPart) return;
    const [name, offset, end] = [this.#name(), this.#pushedPart, this.#received];
    await this.#request.target.pushPart(name, offset, Buffer.from(this.#buffer.subarray(offset, upTo)));
    this.#pushedPart = upTo;
    this.#tellSafe(end);
  }

  #tellSafe(kept: Lsn): void {
    const safe = this.#seen.filter(({ lsn }) => lsn <= kept);
    const newest = safe.at(-1);
    if (!newest) return;
    this.#seen = this.#seen.slice(safe.length);
    this.#request.onSafe?.({ lsn: kept, atMs: newest.atMs });
  }

  /** Once a second: keeps what has come of the unfinished segment, says that we live (also while a slow store keeps a piece), and asks for a sign of life. */
  async #tick(): Promise<void> {
    let queued = false;
    while (!this.#over) {
      await this.#request.clock.sleep(tickMs, this.#end.signal).catch(() => undefined);
      if (this.#over || this.#failure !== undefined) return;
      this.#answer(true);
      if (queued) continue;
      queued = true;
      const segment = this.#segment;
      this.#pushing = this.#pushing
        .then(() => (this.#segment === segment ? this.#pushTick() : undefined))
        .catch((error: unknown) => {
          this.#failure ??= error;
          this.#connection.close();
        })
        .finally(() => {
          queued = false;
        });
    }
  }

  async #pushTick(): Promise<void> {
    if (this.#filled > this.#pushedPart) await this.#pushUnfinished();
    else this.#tellSafe(this.#received);
  }

  /** Standby status update. Written: all that was received; flushed: whole segments that are kept; applied: nothing is said. */
  #answer(wantsReply: boolean): void {
    const message = Buffer.alloc(34);
    message.write('r', 'latin1');
    message.writeBigUInt64BE(this.#received, 1);
    message.writeBigUInt64BE(this.#safeWhole, 9);
    message.writeBigUInt64BE(0n, 17);
    message.writeBigInt64BE(BigInt(Math.round(this.#request.clock.nowMs())) * 1_000n - epochMicroseconds, 25);
    message[33] = wantsReply ? 1 : 0;
    this.#connection.sendCopyData(message);
  }
}

function toMs(microseconds: bigint): number {
  return Number((microseconds + epochMicroseconds) / 1_000n);
}
