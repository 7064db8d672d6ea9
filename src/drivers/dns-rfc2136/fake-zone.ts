/** A zone in memory that answers questions and takes updates by the rules of RFC 2136, sections 3.1 to 3.4. */
import { decodeValue, encodeValue, type RouteType, routeTypes } from './record-set.ts';
import { encodeName, normalizeName, type Rcode, type ReadMessage, recordClasses, recordTypes, type WireRecord } from './wire.ts';

export interface NewZone {
  readonly name: string;
  readonly nameServers: readonly string[];
  /** The zone's other records: `{ name: 'api.example.test', type: 'A', ttlSeconds: 60, value: '192.0.2.1' }`. */
  readonly records: readonly { readonly name: string; readonly type: RouteType; readonly ttlSeconds: number; readonly value: string }[];
}

export interface FakeZone {
  readonly name: string;
  records(): readonly WireRecord[];
  replace(records: readonly WireRecord[]): void;
  copyFrom(other: FakeZone): void;
  describe(name: string): readonly string[];
}

type KnownRcode = Exclude<Rcode, `RCODE${number}`>;

export function makeZone(zone: NewZone): FakeZone {
  const name = normalizeName(zone.name);
  const make = (owner: string, type: number, ttl: number, data: Uint8Array): WireRecord => ({
    name: normalizeName(owner),
    type,
    class: recordClasses.IN,
    ttl,
    data,
  });
  let records: readonly WireRecord[] = [
    make(name, recordTypes.SOA, 60, soaData(name, 1)),
    ...zone.nameServers.map((server) => make(name, recordTypes.NS, 60, encodeName(server))),
    ...zone.records.map((record) => make(record.name, recordTypes[record.type], record.ttlSeconds, encodeValue(record.type, record.value))),
  ];
  const self: FakeZone = {
    name,
    records: () => records,
    replace: (changed) => {
      if (describeAll(changed) === describeAll(records)) return;
      const serial = zoneSerial(self) + 1;
      records = changed.map((record) => (record.type === recordTypes.SOA ? { ...record, data: soaData(name, serial) } : record));
    },
    copyFrom: (other) => {
      records = other.records();
    },
    describe: (owner) =>
      records
        .filter((record) => record.name === normalizeName(owner))
        .map(describe)
        .sort(),
  };
  return self;
}

export function zoneSerial(zone: FakeZone): number {
  const soa = zone.records().find((record) => record.type === recordTypes.SOA);
  const data = Buffer.from(soa?.data ?? new Uint8Array(20));
  return data.readUInt32BE(data.length - 20);
}

export function answerQuery(
  zone: FakeZone,
  request: ReadMessage,
): { readonly rcode: KnownRcode; readonly authoritative: boolean; readonly answers: readonly WireRecord[] } {
  const [question] = request.questions;
  if (question === undefined || request.questions.length !== 1) return { rcode: 'FORMERR', authoritative: false, answers: [] };
  if (!isInside(question.name, zone.name)) return { rcode: 'REFUSED', authoritative: false, answers: [] };
  const here = zone.records().filter((record) => record.name === question.name);
  const answers = here.filter((record) => record.type === question.type || record.type === recordTypes.CNAME);
  const exists = zone.records().some((record) => isInside(record.name, question.name));
  return { rcode: exists ? 'NOERROR' : 'NXDOMAIN', authoritative: true, answers };
}

/** All of it or nothing: the zone is replaced only after every check has passed. */
export function answerUpdate(zone: FakeZone, request: ReadMessage): KnownRcode {
  const [target] = request.questions;
  if (target === undefined || request.questions.length !== 1 || target.type !== recordTypes.SOA) return 'FORMERR';
  if (target.name !== zone.name || target.class !== recordClasses.IN) return 'NOTAUTH';
  const refusal = checkPrerequisites(zone, request.answers) ?? checkChanges(zone, request.authorities);
  if (refusal !== undefined) return refusal;
  let records = [...zone.records()];
  for (const change of request.authorities) records = applyChange(records, change);
  zone.replace(records);
  return 'NOERROR';
}

function checkPrerequisites(zone: FakeZone, prerequisites: readonly WireRecord[]): KnownRcode | undefined {
  const exact = new Map<string, { readonly existing: readonly string[]; readonly wanted: string[] }>();
  for (const prerequisite of prerequisites) {
    const { name, type } = prerequisite;
    if (prerequisite.ttl !== 0) return 'FORMERR';
    if (!isInside(name, zone.name)) return 'NOTZONE';
    const existing = zone.records().filter((record) => record.name === name && (type === recordTypes.ANY || record.type === type));
    const isAny = type === recordTypes.ANY;
    if (prerequisite.class === recordClasses.IN) {
      const set = exact.get(`${name} ${type}`) ?? { existing: existing.map(dataText), wanted: [] };
      set.wanted.push(dataText(prerequisite));
      exact.set(`${name} ${type}`, set);
      continue;
    }
    if (prerequisite.data.length > 0) return 'FORMERR';
    if (prerequisite.class === recordClasses.ANY && existing.length === 0) return isAny ? 'NXDOMAIN' : 'NXRRSET';
    if (prerequisite.class === recordClasses.NONE && existing.length > 0) return isAny ? 'YXDOMAIN' : 'YXRRSET';
    if (prerequisite.class !== recordClasses.ANY && prerequisite.class !== recordClasses.NONE) return 'FORMERR';
  }
  const differs = [...exact.values()].some(({ existing, wanted }) => [...existing].sort().join() !== [...wanted].sort().join());
  return differs ? 'NXRRSET' : undefined;
}

function checkChanges(zone: FakeZone, changes: readonly WireRecord[]): KnownRcode | undefined {
  for (const change of changes) {
    if (!isInside(change.name, zone.name)) return 'NOTZONE';
    const removesSet = change.class === recordClasses.ANY;
    if (removesSet && (change.ttl !== 0 || change.data.length > 0)) return 'FORMERR';
    if (change.class === recordClasses.NONE && (change.ttl !== 0 || change.type === recordTypes.ANY)) return 'FORMERR';
    if (change.class === recordClasses.IN && (change.type === recordTypes.ANY || !isWellFormed(change))) return 'FORMERR';
    if (![recordClasses.IN, recordClasses.NONE, recordClasses.ANY].some((known) => known === change.class)) return 'FORMERR';
  }
  return undefined;
}

function isWellFormed(record: WireRecord): boolean {
  if (record.type === recordTypes.A) return record.data.length === 4;
  if (record.type === recordTypes.AAAA) return record.data.length === 16;
  return record.data.length > 0;
}

/** An address beside a CNAME, or a CNAME beside anything, is left out without a word, as the RFC says. */
function applyChange(records: WireRecord[], change: WireRecord): WireRecord[] {
  const same = (record: WireRecord) => record.name === change.name && record.type === change.type;
  if (change.class === recordClasses.ANY)
    return records.filter((record) => !(change.type === recordTypes.ANY ? record.name === change.name : same(record)));
  if (change.class === recordClasses.NONE) return records.filter((record) => !(same(record) && dataText(record) === dataText(change)));
  const others = records.filter((record) => record.name === change.name && record.type !== change.type);
  const blocked = change.type === recordTypes.CNAME ? others.length > 0 : others.some((record) => record.type === recordTypes.CNAME);
  if (blocked) return records;
  const kept = records.filter((record) => !(same(record) && (change.type === recordTypes.CNAME || dataText(record) === dataText(change))));
  return [...kept.map((record) => (same(record) ? { ...record, ttl: change.ttl } : record)), change];
}

function isInside(name: string, zone: string): boolean {
  return name === zone || name.endsWith(`.${zone}`);
}

function dataText(record: WireRecord): string {
  return Buffer.from(record.data).toString('hex');
}

function describeAll(records: readonly WireRecord[]): string {
  return records
    .filter((record) => record.type !== recordTypes.SOA)
    .map((record) => `${record.name} ${describe(record)}`)
    .sort()
    .join('\n');
}

function describe(record: WireRecord): string {
  const type = routeTypes.find((known) => recordTypes[known] === record.type);
  if (type !== undefined) return `${type} ${record.ttl} ${decodeValue(type, record.data)}`;
  if (record.type === recordTypes.TXT) return `TXT ${record.ttl} ${Buffer.from(record.data.subarray(1)).toString('utf8')}`;
  return `TYPE${record.type} ${record.ttl} ${dataText(record)}`;
}

function soaData(zone: string, serial: number): Uint8Array {
  const numbers = Buffer.alloc(20);
  for (const [index, value] of [serial, 3_600, 600, 86_400, 60].entries()) numbers.writeUInt32BE(value, 4 * index);
  return Uint8Array.from(Buffer.concat([encodeName(`ns.${zone}`), encodeName(`hostmaster.${zone}`), numbers]));
}
