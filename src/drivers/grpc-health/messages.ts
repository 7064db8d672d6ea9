/** The two messages of grpc.health.v1 as bytes. Pure. https://github.com/grpc/grpc/blob/master/doc/health-checking.md */
import { fail, type HoldfastError } from '../../base/errors.ts';

export const servingStates = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'] as const;
export type ServingState = (typeof servingStates)[number];

/** `HealthCheckRequest { string service = 1; }` */
export function encodeRequest(service: string): Buffer {
  const text = Buffer.from(service, 'utf8');
  return text.length === 0 ? Buffer.alloc(0) : Buffer.concat([Buffer.from([0x0a, ...varint(text.length)]), text]);
}

/** `HealthCheckResponse { ServingStatus status = 1; }`: without the field it is UNKNOWN; other fields are passed over. SYSTEM_WRONG_ANSWER for bytes that are no such message. */
export function decodeResponse(bytes: Uint8Array): ServingState {
  let state = 0;
  let at = 0;
  const readVarint = (): number => {
    let value = 0;
    for (let shift = 0; shift < 49; shift += 7) {
      const byte = bytes[at];
      if (byte === undefined) throw notHealth();
      at += 1;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw notHealth();
  };
  const skip: Readonly<Record<number, () => number>> = {
    0: () => {
      readVarint();
      return at;
    },
    1: () => at + 8,
    2: () => readVarint() + at,
    5: () => at + 4,
  };
  while (at < bytes.length) {
    const tag = readVarint();
    if (tag === 0x08) {
      state = readVarint();
      continue;
    }
    const next = skip[tag & 7]?.();
    if (next === undefined || next > bytes.length || tag >> 3 <= 1) throw notHealth();
    at = next;
  }
  return servingStates[state] ?? 'UNKNOWN';
}

function varint(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...varint(value >> 7)];
}

function notHealth(): HoldfastError {
  return fail('SYSTEM_WRONG_ANSWER', {
    message: 'the answer is no message of grpc.health.v1',
    hint: 'Does another service stand at this address?',
  });
}
