/** Asks name servers of the zone, one question each without wish for recursion, whether they answer what was wanted. The service's own "in sync" comes first; this is for whoever wants to see it. */
import { asHoldfastError } from '../../base/errors.ts';
import { canonicalAddress } from './address.ts';
import type { CallLimits, RecordSet } from './client.ts';
import type { RouteParts } from './route-parts.ts';
import { valuesOf } from './weighted-records.ts';

const authoritative = 0x0400;

export interface Confirmations {
  readonly confirmedBy: readonly string[];
  /** Why it is not done yet, one sentence for each server that does not confirm. */
  readonly waiting: readonly string[];
}

/** A server confirms by answering with authority, the wanted TTL, and the value of a region that shall get traffic: with shared traffic it answers one of them at a time. */
export async function askConfirmations(parts: RouteParts, wanted: readonly RecordSet[], limits: CallLimits): Promise<Confirmations> {
  const { options } = parts;
  const right = new Set(wanted.filter(({ Weight = 0 }) => Weight > 0).flatMap((set) => valuesOf(options, set)));
  const answers = await Promise.all((options['confirm-at'] ?? []).map((server) => askOne(parts, server, limits)));
  const isRight = ({ values }: Answer) => values.length > 0 && values.every((value) => right.has(value));
  return {
    confirmedBy: answers.filter(isRight).map(({ server }) => server),
    waiting: answers
      .filter((answer) => !isRight(answer))
      .map(({ server, values, why }) => `${server} ${why ?? `still answers ${values.join(' ')}`}`),
  };
}

interface Answer {
  readonly server: string;
  readonly values: readonly string[];
  readonly why?: string;
}

async function askOne({ host, options }: RouteParts, server: string, limits: CallLimits): Promise<Answer> {
  const packet = await import('dns-packet');
  const id = Buffer.from(host.random.bytes(2)).readUInt16BE(0);
  const data = packet.encode({ type: 'query', id, flags: 0, questions: [{ type: options.type, name: options.record }] });
  const read = (bytes: Uint8Array) => packet.decode(Buffer.from(bytes));
  const accept = (bytes: Uint8Array) => {
    try {
      const message = read(bytes);
      return message.id === id && message.type === 'response';
    } catch {
      return false; // a stray or forged datagram: the right one may still come
    }
  };
  try {
    const message = read(await host.net.udpExchange({ ...addressOf(server), data, accept, ...limits }));
    if (((message.flags ?? 0) & authoritative) === 0) return { server, values: [], why: 'is no authority for the record' };
    const values = (message.answers ?? []).flatMap((answer) =>
      answer.type === options.type && typeof answer.data === 'string' ? [canonicalAddress(options.type, answer.data)] : [],
    );
    return values.length === 0 ? { server, values, why: 'answers no such record' } : { server, values };
  } catch (thrown) {
    const error = asHoldfastError(thrown);
    if (error.kind === 'bug') throw error;
    return { server, values: [], why: `does not confirm: ${error.message}` };
  }
}

function addressOf(server: string): { host: string; port: number } {
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d+))?$/.exec(server) ?? [];
  return { host: bracketed ?? plain ?? server, port: Number(port ?? 53) };
}
