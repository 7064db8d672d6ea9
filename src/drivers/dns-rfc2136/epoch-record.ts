/**
 * The fencing token in the zone: a TXT record beside the routed one says under which epoch and to which region traffic was last sent. Each update has the exact old text
 * as its prerequisite, so whoever read an older text changes nothing. Pure.
 */
import { fail } from '../../base/errors.ts';
import { recordClasses, recordTypes, type WireRecord } from './wire.ts';

export interface EpochMark {
  readonly epoch: number;
  readonly region: string;
}

/** `api.example.com` -> `_holdfast.api.example.com`; the star of a wildcard may stand only at the beginning of a name. */
export function epochRecordName(record: string): string {
  return `_holdfast.${record.replace(/^\*\./, '_wildcard.')}`;
}

export function encodeEpochMark(mark: EpochMark): Uint8Array {
  const text = Buffer.from(`epoch=${mark.epoch} region=${mark.region}`, 'utf8');
  if (text.length > 255) throw fail('SPEC_INVALID', { message: `the region name ${mark.region} is too long for a TXT record` });
  return Uint8Array.from([text.length, ...text]);
}

/** The mark among the records at its name, or undefined where there is none. A text of somebody else's is SYSTEM_REFUSED: it is not ours to replace. */
export function readEpochMark(records: readonly WireRecord[]): EpochMark | undefined {
  const texts = records.filter((record) => record.type === recordTypes.TXT);
  const [first] = texts;
  if (first === undefined) return undefined;
  const text = Buffer.from(first.data.subarray(1, 1 + (first.data[0] ?? 0))).toString('utf8');
  const match = /^epoch=(\d{1,15}) region=(\S+)$/.exec(text);
  if (texts.length > 1 || match === null) {
    throw fail('SYSTEM_REFUSED', {
      message: `the TXT record ${first.name} holds something that Holdfast did not write`,
      hint: 'Remove that TXT record, or use another record name: Holdfast keeps its epoch there.',
    });
  }
  return { epoch: Number(match[1]), region: match[2] as string };
}

/** EPOCH_SUPERSEDED when traffic was already sent somewhere under a newer epoch. */
export function refuseOlderEpoch(mark: EpochMark | undefined, epoch: number): void {
  if (mark === undefined || mark.epoch <= epoch) return;
  throw fail('EPOCH_SUPERSEDED', {
    message: `traffic was sent to ${mark.region} under epoch ${mark.epoch}; this execution works under ${epoch}`,
    details: { epoch: mark.epoch, region: mark.region },
  });
}

export function epochRecord(name: string, data: Uint8Array, ttlSeconds: number): WireRecord {
  return { name, type: recordTypes.TXT, class: recordClasses.IN, ttl: ttlSeconds, data };
}
