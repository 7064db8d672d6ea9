/** Addresses as people write them and as records carry them, both in one canonical form, so that equal values are equal texts. Pure. */
import { fail } from '../../base/errors.ts';
import { decodeName, encodeName, normalizeName, recordTypes, type WireRecord } from './wire.ts';

export const routeTypes = ['A', 'AAAA', 'CNAME'] as const;
export type RouteType = (typeof routeTypes)[number];

/** All records of one name and type. */
export interface RecordSet {
  /** Canonical texts in order. */
  readonly values: readonly string[];
  /** The largest of the records' TTLs: so long may somebody keep one. */
  readonly ttlSeconds: number;
}

/** `2001:DB8:0::1` -> `2001:db8::1`, `WWW.example.com.` -> `www.example.com`. Throws SPEC_INVALID where the value doesn't fit the type. */
export function canonicalValue(type: RouteType, value: string): string {
  return decodeValue(type, encodeValue(type, value));
}

export function encodeValue(type: RouteType, value: string): Uint8Array {
  if (type === 'A') return encodeIpv4(value);
  if (type === 'AAAA') return encodeIpv6(value);
  if (!/^[a-z0-9_*-]+(\.[a-z0-9_-]+)*$/.test(normalizeName(value)) || /^[\d.]+$/.test(value)) throw notA('domain name', value);
  return encodeName(value);
}

export function decodeValue(type: RouteType, data: Uint8Array): string {
  const hex = Buffer.from(data);
  if (type === 'CNAME') return decodeName(data).name;
  if (data.length !== (type === 'A' ? 4 : 16))
    throw fail('SYSTEM_WRONG_ANSWER', { message: `a record of type ${type} has ${data.length} bytes of data` });
  if (type === 'A') return [...data].join('.');
  const groups = Array.from({ length: 8 }, (_, index) => hex.readUInt16BE(2 * index).toString(16));
  return canonicalIpv6(groups.join(':')) as string;
}

/** The records of one type among an answer's, or undefined where there is none. */
export function readRecordSet(type: RouteType, records: readonly WireRecord[]): RecordSet | undefined {
  const wanted = records.filter((record) => record.type === recordTypes[type]);
  if (wanted.length === 0) return undefined;
  return {
    values: wanted.map((record) => decodeValue(type, record.data)).sort(),
    ttlSeconds: Math.max(...wanted.map((record) => record.ttl)),
  };
}

export function sameRecordSet(left: RecordSet | undefined, right: RecordSet | undefined): boolean {
  if (left === undefined || right === undefined) return left === right;
  return left.ttlSeconds === right.ttlSeconds && left.values.join() === right.values.join();
}

/** For people: `192.0.2.1 192.0.2.2 (TTL 60 s)`. */
export function describeRecordSet(set: RecordSet | undefined): string {
  return set === undefined ? 'no record' : `${set.values.join(' ')} (TTL ${set.ttlSeconds} s)`;
}

function encodeIpv4(value: string): Uint8Array {
  const parts = value.split('.');
  const fits = parts.length === 4 && parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255);
  if (!fits) throw notA('IPv4 address', value);
  return Uint8Array.from(parts.map(Number));
}

function encodeIpv6(value: string): Uint8Array {
  const canonical = /^[0-9a-f:.]+$/i.test(value) ? canonicalIpv6(value) : undefined;
  if (canonical === undefined) throw notA('IPv6 address', value);
  const [head = '', tail] = canonical.split('::');
  const groupsOf = (text: string) => (text === '' ? [] : text.split(':'));
  const before = groupsOf(head);
  const after = tail === undefined ? [] : groupsOf(tail);
  const groups = [...before, ...Array<string>(8 - before.length - after.length).fill('0'), ...after];
  const bytes = Buffer.alloc(16);
  for (const [index, group] of groups.entries()) bytes.writeUInt16BE(Number.parseInt(group, 16), 2 * index);
  return Uint8Array.from(bytes);
}

/** The standard's URL parser knows how an IPv6 address is written best. */
function canonicalIpv6(value: string): string | undefined {
  const url = `http://[${value}]/`;
  return URL.canParse(url) ? new URL(url).hostname.slice(1, -1) : undefined;
}

function notA(what: string, value: string) {
  const hint =
    what === 'domain name'
      ? 'A record of type CNAME points to a name such as eu.example.com.'
      : 'Set type to A for IPv4, AAAA for IPv6, or CNAME for a name.';
  return fail('SPEC_INVALID', { message: `"${value}" is not an ${what}`.replace('an domain', 'a domain'), hint });
}
