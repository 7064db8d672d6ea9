/**
 * Name servers in memory, behind the same network port as real ones: they read and write the same bytes, verify signatures, and reject what BIND rejects.
 *
 * A zone has a primary and secondaries, each with a copy of its own. An update changes the primary's copy, whole or not at all; the secondaries get it at once unless
 * `transfers` is off. A server can be stopped (refuses), hung (silent), mute (does what is asked, the answer is lost) or failing (SERVFAIL).
 */
import { fail } from '../../base/errors.ts';
import type { Clock, TcpConnection } from '../../host/host.ts';
import type { DnsHost } from './client.ts';
import { answerQuery, answerUpdate, type FakeZone, makeZone, type NewZone, zoneSerial } from './fake-zone.ts';
import { formatServerAddress, type ServerAddress } from './options.ts';
import { appendUnsignedError, readTsig, signMessage, type TsigErrorName, type TsigKey, verifySignature } from './tsig.ts';
import {
  decodeMessage,
  encodeMessage,
  flagBits,
  opcodeOf,
  opcodes,
  type ReadMessage,
  rcodeNumber,
  uint16,
  type WireRecord,
} from './wire.ts';

export type FakeServerState = 'running' | 'stopped' | 'hung' | 'mute' | 'failing';

export interface FakeNameServersOptions {
  readonly clock: Clock;
  readonly zone: NewZone;
  readonly primary: ServerAddress;
  readonly secondaries?: readonly ServerAddress[];
  readonly key: TsigKey;
  /** How much the servers' clock is ahead. */
  readonly clockAheadMs?: number;
}

interface FakeServer {
  readonly zone: FakeZone;
  readonly isPrimary: boolean;
  state: FakeServerState;
}

const mtuBytes = 512;

export class FakeNameServers {
  readonly net: DnsHost['net'];
  /** Whether secondaries follow the primary. */
  transfers = true;
  readonly #options: FakeNameServersOptions;
  readonly #servers = new Map<string, FakeServer>();
  readonly #primary: FakeServer;

  constructor(options: FakeNameServersOptions) {
    this.#options = options;
    this.#primary = { zone: makeZone(options.zone), isPrimary: true, state: 'running' };
    this.#servers.set(formatServerAddress(options.primary), this.#primary);
    for (const server of options.secondaries ?? [])
      this.#servers.set(formatServerAddress(server), { zone: makeZone(options.zone), isPrimary: false, state: 'running' });
    this.net = {
      udpExchange: async ({ host, port, data, timeoutMs, accept, signal }) => {
        const server = this.#reach({ host, port });
        const answer = this.#answer(server, data);
        const short = answer === undefined || answer.length <= mtuBytes ? answer : truncated(answer);
        if (short !== undefined && accept(short)) return short;
        await this.#wait(timeoutMs, signal);
        throw fail('TIMED_OUT', { message: `no answer in ${timeoutMs} ms`, details: { cause: 'timeout' } });
      },
      connectTcp: async ({ host, port }) => this.#connect(this.#reach({ host, port })),
    };
  }

  setState(server: ServerAddress, state: FakeServerState): void {
    this.#find(server).state = state;
  }

  /** What a server would answer now: lines of `type ttl data`, in order. */
  records(server: ServerAddress, name: string): readonly string[] {
    return this.#find(server).zone.describe(name);
  }

  serial(server: ServerAddress): number {
    return zoneSerial(this.#find(server).zone);
  }

  /** Somebody else changes the primary's copy; the secondaries follow as after an update. */
  edit(change: (records: readonly WireRecord[]) => readonly WireRecord[]): void {
    this.#primary.zone.replace(change(this.#primary.zone.records()));
    this.#transfer();
  }

  #find(server: ServerAddress): FakeServer {
    const found = this.#servers.get(formatServerAddress(server));
    if (found === undefined)
      throw fail('SYSTEM_UNREACHABLE', {
        message: `${formatServerAddress(server)}: no way to the host`,
        details: { cause: 'unreachable' },
      });
    return found;
  }

  #reach(address: ServerAddress): FakeServer {
    const server = this.#find(address);
    if (server.state === 'stopped')
      throw fail('SYSTEM_UNREACHABLE', { message: `${formatServerAddress(address)}: connection refused`, details: { cause: 'refused' } });
    return server;
  }

  /** As the real network door says it. */
  async #wait(timeoutMs: number, signal: AbortSignal | undefined): Promise<void> {
    try {
      await this.#options.clock.sleep(timeoutMs, signal);
    } catch (error) {
      throw fail('INTERRUPTED', { message: 'interrupted', cause: error });
    }
  }

  #transfer(): void {
    if (!this.transfers) return;
    for (const server of this.#servers.values())
      if (server.state !== 'stopped' && server.state !== 'hung') server.zone.copyFrom(this.#primary.zone);
  }

  #answer(server: FakeServer, bytes: Uint8Array): Buffer | undefined {
    if (server.state === 'hung') return undefined;
    const answer = this.#handle(server, bytes);
    return server.state === 'mute' ? undefined : answer;
  }

  #handle(server: FakeServer, bytes: Uint8Array): Buffer {
    const request = decodeMessage(bytes);
    const answerWith = (rcode: number, parts: Partial<ReadMessage> = {}) =>
      encodeMessage({
        id: request.id,
        questions: request.questions,
        answers: [],
        authorities: [],
        additionals: [],
        ...parts,
        flags: flagBits.response | (parts.flags ?? 0) | (opcodeOf(request) << 11) | rcode,
      });
    if (server.state === 'failing') return answerWith(rcodeNumber('SERVFAIL'));
    if (opcodeOf(request) === opcodes.query) {
      const { rcode, authoritative, answers } = answerQuery(server.zone, request);
      return answerWith(rcodeNumber(rcode), { answers, flags: authoritative ? flagBits.authoritative : 0 });
    }
    if (opcodeOf(request) !== opcodes.update) return answerWith(rcodeNumber('NOTIMP'));
    return this.#handleUpdate(server, bytes, request, answerWith);
  }

  #handleUpdate(server: FakeServer, bytes: Uint8Array, request: ReadMessage, answerWith: (rcode: number) => Buffer): Buffer {
    const { key, clock } = this.#options;
    const tsig = readTsig(request);
    const nowSeconds = Math.floor((clock.nowMs() + (this.#options.clockAheadMs ?? 0)) / 1_000);
    if (tsig === undefined) return answerWith(rcodeNumber('REFUSED'));
    const refuseKey = (error: TsigErrorName) =>
      appendUnsignedError(
        answerWith(rcodeNumber('NOTAUTH')),
        { name: tsig.keyName, algorithm: key.algorithm },
        { timeSeconds: nowSeconds, error },
      );
    if (tsig.keyName !== key.name || tsig.algorithm !== key.algorithm) return refuseKey('BADKEY');
    if (!verifySignature(bytes, request, key)) return refuseKey('BADSIG');
    const sign = (answer: Buffer, timeSeconds: number, more: { error?: TsigErrorName; other?: Uint8Array } = {}) =>
      signMessage(answer, key, { timeSeconds, requestMac: tsig.mac, ...more }).bytes;
    if (Math.abs(nowSeconds - tsig.timeSeconds) > tsig.fudgeSeconds) {
      const other = Buffer.alloc(6);
      other.writeUIntBE(nowSeconds, 0, 6);
      return sign(answerWith(rcodeNumber('NOTAUTH')), tsig.timeSeconds, { error: 'BADTIME', other });
    }
    if (!server.isPrimary) return sign(answerWith(rcodeNumber('REFUSED')), nowSeconds);
    const rcode = answerUpdate(server.zone, request);
    if (rcode === 'NOERROR') this.#transfer();
    return sign(answerWith(rcodeNumber(rcode)), nowSeconds);
  }

  #connect(server: FakeServer): TcpConnection {
    const listeners: ((data: Uint8Array) => void)[] = [];
    const closeListeners: (() => void)[] = [];
    let received = Buffer.alloc(0);
    let closed = false;
    return {
      write: (data) => {
        received = Buffer.concat([received, typeof data === 'string' ? Buffer.from(data) : data]);
        if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
        const answer = this.#answer(server, received.subarray(2, 2 + received.readUInt16BE(0)));
        queueMicrotask(() => {
          if (closed) return;
          if (answer !== undefined) for (const listener of listeners) listener(Buffer.concat([uint16(answer.length), answer]));
          else if (server.state === 'mute') for (const listener of closeListeners) listener();
        });
      },
      onData: (listener) => void listeners.push(listener),
      onClose: (listener) => void closeListeners.push(listener),
      close: () => {
        closed = true;
      },
    };
  }
}

function truncated(answer: Buffer): Buffer {
  const message = decodeMessage(answer);
  return encodeMessage({ ...message, flags: message.flags | flagBits.truncated, answers: [], authorities: [], additionals: [] });
}
