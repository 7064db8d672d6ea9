/** The fencing token in the zone: a TXT record beside the routed one says under which epoch traffic was last sent, and where to. It is deleted and made anew in the batch that moves traffic. Pure. */
import { fail } from '../../base/errors.ts';
import type { RecordSet } from './client.ts';

export interface EpochMark {
  readonly epoch: number;
  /** `us-west-2`, or `us-east-1:90,us-west-2:10`. */
  readonly to: string;
}

/** `api.example.com` -> `_holdfast.api.example.com`; the star of a wildcard may stand only at the beginning of a name. */
export function epochRecordName(record: string): string {
  return `_holdfast.${record.replace(/^\*\./, '_wildcard.')}`;
}

export function epochRecord(record: string, mark: EpochMark, ttlSeconds: number): RecordSet {
  const text = `epoch=${mark.epoch} to=${mark.to}`;
  if (Buffer.byteLength(text) > 255) throw fail('SPEC_INVALID', { message: 'the names of the regions are too long for a TXT record' });
  return { Name: `${epochRecordName(record)}.`, Type: 'TXT', TTL: ttlSeconds, ResourceRecords: [{ Value: `"${text}"` }] };
}

/** Undefined where there is none. A text of somebody else's is SYSTEM_REFUSED: it is not ours to replace. */
export function readEpochMark(sets: readonly RecordSet[]): EpochMark | undefined {
  const [first] = sets;
  if (first === undefined) return undefined;
  const values = (first.ResourceRecords ?? []).map(({ Value }) => Value ?? '');
  const match = /^"epoch=(\d{1,15}) to=([^"\s]+)"$/.exec(values[0] ?? '');
  if (sets.length > 1 || values.length !== 1 || match === null)
    throw fail('SYSTEM_REFUSED', {
      message: `the TXT record ${first.Name} holds something that Holdfast did not write`,
      hint: 'Remove that TXT record, or use another record name: Holdfast keeps its epoch there.',
    });
  return { epoch: Number(match[1]), to: match[2] as string };
}

/** EPOCH_SUPERSEDED when traffic was already sent somewhere under a newer epoch. */
export function refuseOlderEpoch(mark: EpochMark | undefined, epoch: number): void {
  if (mark === undefined || mark.epoch <= epoch) return;
  throw fail('EPOCH_SUPERSEDED', {
    message: `traffic was sent to ${mark.to} under epoch ${mark.epoch}; this execution works under ${epoch}`,
    details: { epoch: mark.epoch, to: mark.to },
  });
}
