/**
 * Talks to one name server at a time: questions over UDP (over TCP when the answer is truncated), updates over TCP.
 *
 * Updates never go over UDP: a lost datagram could not be told from a lost answer, and sending it again would fail on its own prerequisites. Over TCP a connection that was
 * never made means "not sent", and everything after it that brings no verified answer is SYSTEM_OUTCOME_UNKNOWN. Dying after sending leaves the update to the server: whole or not at all.
 */
import { fail, HoldfastError } from '../../base/errors.ts';
import type { Host, TcpConnection } from '../../host/host.ts';
import { formatServerAddress, type ServerAddress } from './options.ts';
import { readTsig, signMessage, type TsigKey, verifySignature } from './tsig.ts';
import {
  decodeMessage,
  encodeMessage,
  flagBits,
  normalizeName,
  opcodeOf,
  opcodes,
  type Rcode,
  type ReadMessage,
  rcodeOf,
  recordClasses,
  recordTypes,
  uint16,
  type WireRecord,
} from './wire.ts';

/** All that the driver needs of the outside: what a simulated name server stands in for. */
export type DnsHost = Pick<Host, 'clock' | 'random'> & { readonly net: Pick<Host['net'], 'udpExchange' | 'connectTcp'> };

export interface ExchangeLimits {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

export interface UpdateParts {
  readonly zone: string;
  readonly prerequisites: readonly WireRecord[];
  readonly changes: readonly WireRecord[];
}

const udpAttempts = 2;

/** Asks without wish for recursion. The answer's rcode is NOERROR or NXDOMAIN, and it is authoritative; anything else is an error. */
export async function askAuthority(
  host: DnsHost,
  server: ServerAddress,
  question: { readonly name: string; readonly type: number },
  limits: ExchangeLimits,
): Promise<ReadMessage> {
  const id = Buffer.from(host.random.bytes(2)).readUInt16BE(0);
  const questions = [{ name: question.name, type: question.type, class: recordClasses.IN }];
  const data = encodeMessage({ id, flags: opcodes.query << 11, questions, answers: [], authorities: [], additionals: [] });
  const isAnswer = (message: ReadMessage) =>
    isAnswerTo(message, id, opcodes.query) &&
    message.questions[0]?.type === question.type &&
    message.questions[0].name === normalizeName(question.name);
  let message = await exchangeByUdp(host, server, data, isAnswer, limits);
  if ((message.flags & flagBits.truncated) !== 0) {
    const bytes = await exchangeByTcp(host, server, data, limits);
    message = decodeMessage(bytes);
    if (!isAnswer(message))
      throw fail('SYSTEM_WRONG_ANSWER', { message: `${formatServerAddress(server)} answered another question than was asked` });
  }
  checkQueryAnswer(server, question.name, message);
  return message;
}

/** Asks for a change under its prerequisites; returns once the server has said, signed, that it was made. STATE_CONFLICT when a prerequisite does not hold. */
export async function sendUpdate(
  host: DnsHost,
  server: ServerAddress,
  key: TsigKey,
  parts: UpdateParts,
  limits: ExchangeLimits,
): Promise<void> {
  const id = Buffer.from(host.random.bytes(2)).readUInt16BE(0);
  const questions = [{ name: parts.zone, type: recordTypes.SOA, class: recordClasses.IN }];
  const unsigned = encodeMessage({
    id,
    flags: opcodes.update << 11,
    questions,
    answers: parts.prerequisites,
    authorities: parts.changes,
    additionals: [],
  });
  const send = async (timeSeconds: number) => {
    const { bytes, mac } = signMessage(unsigned, key, { timeSeconds });
    const answer = await exchangeByTcp(host, server, bytes, limits, 'update');
    const message = readUpdateAnswer(server, answer, id);
    return { message, verified: verifySignature(answer, message, key, mac) };
  };
  let answer = await send(Math.floor(host.clock.nowMs() / 1_000));
  const theirs = clockOf(answer.message);
  // Said under the key, and bound to this very request, which has changed nothing: a clock of ours that is wrong must not keep clients from being led away.
  if (answer.verified && theirs !== undefined) answer = await send(theirs);
  checkUpdateAnswer(host, server, key, parts.zone, answer.message, answer.verified);
}

function readUpdateAnswer(server: ServerAddress, answer: Uint8Array, id: number): ReadMessage {
  let message: ReadMessage;
  try {
    message = decodeMessage(answer);
  } catch (error) {
    throw outcomeUnknown(server, 'the answer is malformed', error);
  }
  if (!isAnswerTo(message, id, opcodes.update)) throw outcomeUnknown(server, 'the answer belongs to another request');
  return message;
}

/** The clock of a server that finds ours wrong, in seconds. */
function clockOf(message: ReadMessage): number | undefined {
  const tsig = readTsig(message);
  if (rcodeOf(message) !== 'NOTAUTH' || tsig?.error !== 'BADTIME' || tsig.other.length !== 6) return undefined;
  return Buffer.from(tsig.other).readUIntBE(0, 6);
}

function isAnswerTo(message: ReadMessage, id: number, opcode: number): boolean {
  return message.id === id && (message.flags & flagBits.response) !== 0 && opcodeOf(message) === opcode;
}

function checkQueryAnswer(server: ServerAddress, name: string, message: ReadMessage): void {
  const rcode = rcodeOf(message);
  const from = formatServerAddress(server);
  const details = { server: from, rcode };
  if (rcode === 'SERVFAIL')
    throw fail('SYSTEM_NOT_SERVING', {
      message: `${from} answers SERVFAIL for ${name}`,
      hint: 'The zone is not loaded there, or has expired: see the log of the name server.',
      details,
    });
  if (rcode === 'REFUSED')
    throw fail('SYSTEM_REFUSED', {
      message: `${from} refuses to answer for ${name}`,
      hint: 'The name server must hold the zone and allow queries from here.',
      details,
    });
  if (rcode !== 'NOERROR' && rcode !== 'NXDOMAIN')
    throw fail('SYSTEM_WRONG_ANSWER', { message: `${from} answers ${rcode} for ${name}`, details });
  if ((message.flags & flagBits.authoritative) === 0) {
    throw fail('SYSTEM_WRONG_ROLE', {
      message: `${from} is no authority for ${name}`,
      hint: 'Name the servers that hold the zone; a resolver or a cache does not count.',
      details,
    });
  }
}

function checkUpdateAnswer(
  host: DnsHost,
  server: ServerAddress,
  key: TsigKey,
  zone: string,
  message: ReadMessage,
  verified: boolean,
): void {
  const rcode = rcodeOf(message);
  const from = formatServerAddress(server);
  const tsig = readTsig(message);
  const details = { server: from, rcode, ...(tsig?.error === undefined ? {} : { tsig: tsig.error }) };
  if (rcode === 'NOTAUTH' && tsig?.error !== undefined) throw keyRejected(host, key, from, tsig.error, tsig.other, details);
  if (rcode === 'NOERROR') {
    if (verified) return;
    throw outcomeUnknown(server, 'the answer is not signed with our key');
  }
  // A refusal that nobody signed may be forged; all it can do is stop this step, as silence could.
  throw updateRefused(rcode, from, zone, details);
}

function updateRefused(rcode: Rcode, from: string, zone: string, details: { server: string; rcode: string }): HoldfastError {
  switch (rcode) {
    case 'NXRRSET':
    case 'YXRRSET':
    case 'NXDOMAIN':
    case 'YXDOMAIN':
      return fail('STATE_CONFLICT', {
        message: `${from} made no change: the record was changed by somebody else in between (${rcode})`,
        details,
      });
    case 'NOTAUTH':
      return fail('SYSTEM_WRONG_ROLE', {
        message: `${from} is not the primary of the zone ${zone} (NOTAUTH)`,
        hint: 'Set server to the primary name server, the first name in the SOA record of the zone.',
        details,
      });
    case 'REFUSED':
      return fail('SYSTEM_REFUSED', {
        message: `${from} refuses the update (REFUSED)`,
        hint: 'Allow the key to update the record and the TXT record _holdfast.<record> (allow-update or update-policy), and send to the primary, not to a secondary.',
        details,
      });
    case 'NOTZONE':
      return fail('SYSTEM_REFUSED', {
        message: `${from} says that the record is not in the zone ${zone} (NOTZONE)`,
        hint: 'Set zone to the zone that holds the record: it may have been delegated further.',
        details,
      });
    case 'SERVFAIL':
      return fail('SYSTEM_NOT_SERVING', {
        message: `${from} could not make the update (SERVFAIL)`,
        hint: 'See the log of the name server: often its directory is full or not writable for it.',
        details,
      });
    default:
      return fail('SYSTEM_WRONG_ANSWER', {
        message: `${from} answers ${rcode} to an update`,
        hint: 'Does this server know dynamic updates (RFC 2136)?',
        details,
      });
  }
}

function keyRejected(
  host: DnsHost,
  key: TsigKey,
  from: string,
  error: string,
  other: Uint8Array,
  details: { server: string; rcode: string },
): HoldfastError {
  if (error === 'BADTIME') {
    const theirs = other.length === 6 ? Buffer.from(other).readUIntBE(0, 6) : undefined;
    const skew = theirs === undefined ? '' : ` by ${Math.abs(Math.round(host.clock.nowMs() / 1_000) - theirs)} s`;
    return fail('SYSTEM_WRONG_CREDENTIALS', {
      message: `${from} rejects the signature: its clock and ours differ${skew} (BADTIME)`,
      hint: 'Set the clocks of both hosts (NTP).',
      details,
    });
  }
  const why =
    error === 'BADKEY'
      ? `it has no key ${key.name} with ${key.algorithm} (BADKEY)`
      : `the secret of key ${key.name} is another one there (${error})`;
  return fail('SYSTEM_WRONG_CREDENTIALS', {
    message: `${from} rejects the signature: ${why}`,
    hint: `Compare the key statement of the name server with key in the spec (secret from ${key.secret.source}).`,
    details,
  });
}

async function exchangeByUdp(
  host: DnsHost,
  server: ServerAddress,
  data: Uint8Array,
  isAnswer: (message: ReadMessage) => boolean,
  limits: ExchangeLimits,
): Promise<ReadMessage> {
  const accept = (bytes: Uint8Array) => {
    try {
      return isAnswer(decodeMessage(bytes));
    } catch (error) {
      if (error instanceof HoldfastError) return false; // a stray or forged datagram: the right one may still come
      throw error;
    }
  };
  const timeoutMs = Math.max(1, Math.floor(limits.timeoutMs / udpAttempts));
  for (let attempt = 1; ; attempt += 1) {
    try {
      return decodeMessage(await host.net.udpExchange({ ...server, data, timeoutMs, accept, signal: limits.signal }));
    } catch (error) {
      const silent = error instanceof HoldfastError && error.details.cause === 'timeout';
      if (!silent || attempt >= udpAttempts || limits.signal.aborted) throw error;
    }
  }
}

/** For `update`, every failure after the request has left is an unknown outcome. */
async function exchangeByTcp(
  host: DnsHost,
  server: ServerAddress,
  data: Uint8Array,
  limits: ExchangeLimits,
  purpose: 'query' | 'update' = 'query',
): Promise<Uint8Array> {
  const connection = await host.net.connectTcp({ ...server, ...limits });
  const ended = (why: string, cause?: unknown) =>
    purpose === 'update'
      ? outcomeUnknown(server, why, cause)
      : fail('SYSTEM_UNREACHABLE', {
          message: `${formatServerAddress(server)}: ${why}`,
          details: { cause: 'other' },
          ...(cause === undefined ? {} : { cause }),
        });
  try {
    return await receiveAnswer(host, connection, Buffer.concat([uint16(data.length), data]), limits, ended);
  } finally {
    connection.close();
  }
}

function receiveAnswer(
  host: DnsHost,
  connection: TcpConnection,
  request: Uint8Array,
  limits: ExchangeLimits,
  ended: (why: string, cause?: unknown) => HoldfastError,
): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    let received = Buffer.alloc(0);
    const settle = (action: () => void) => {
      cancel();
      limits.signal.removeEventListener('abort', onAbort);
      action();
    };
    const onAbort = () => settle(() => reject(ended('interrupted before the answer came', limits.signal.reason)));
    const cancel = host.clock.after(limits.timeoutMs, () => settle(() => reject(ended(`no answer in ${limits.timeoutMs} ms`))));
    limits.signal.addEventListener('abort', onAbort);
    connection.onData((data) => {
      received = Buffer.concat([received, data]);
      if (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0))
        settle(() => resolve(received.subarray(2, 2 + received.readUInt16BE(0))));
    });
    connection.onClose((error) => settle(() => reject(ended('the connection was closed before the answer came', error))));
    if (limits.signal.aborted) onAbort();
    else connection.write(request);
  });
}

function outcomeUnknown(server: ServerAddress, why: string, cause?: unknown): HoldfastError {
  return fail('SYSTEM_OUTCOME_UNKNOWN', {
    message: `the update was sent to ${formatServerAddress(server)}: ${why}`,
    details: { server: formatServerAddress(server) },
    ...(cause === undefined ? {} : { cause }),
  });
}
