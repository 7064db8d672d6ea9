/** Looks at the record from every side: at the primary, which takes updates, and at each name server that clients' resolvers may ask. Reads only. */
import { asHoldfastError, fail, type HoldfastError } from '../../base/errors.ts';
import { askAuthority, type DnsHost, type ExchangeLimits } from './client.ts';
import { type EpochMark, epochRecordName, readEpochMark } from './epoch-record.ts';
import { type ComponentOptions, formatServerAddress, type ServerAddress } from './options.ts';
import { decodeValue, type RecordSet, readRecordSet } from './record-set.ts';
import { decodeName, recordTypes, type WireRecord } from './wire.ts';

/** What one name server says: a record set (undefined: there is none), or why it can't be told. */
export interface AuthorityView {
  readonly server: string;
  readonly set: RecordSet | undefined;
  readonly error: HoldfastError | undefined;
}

/** What the primary holds, raw as well, for the prerequisites of an update. */
export interface PrimaryView {
  readonly set: RecordSet | undefined;
  readonly records: readonly WireRecord[];
  readonly mark: EpochMark | undefined;
  readonly markRecords: readonly WireRecord[];
}

export interface RouteView {
  readonly authorities: readonly AuthorityView[];
  readonly primary: PrimaryView | HoldfastError;
}

export async function readRoute(host: DnsHost, options: ComponentOptions, limits: ExchangeLimits): Promise<RouteView> {
  const [authorities, primary] = await Promise.all([
    readAuthorities(host, options, limits),
    readPrimary(host, options, limits).catch(asSeen),
  ]);
  return { authorities, primary };
}

export async function readPrimary(host: DnsHost, options: ComponentOptions, limits: ExchangeLimits): Promise<PrimaryView> {
  const { server, record, type } = options;
  const [answer, markAnswer] = await Promise.all([
    askAuthority(host, server, { name: record, type: recordTypes[type] }, limits),
    askAuthority(host, server, { name: epochRecordName(record), type: recordTypes.TXT }, limits),
  ]);
  refuseAlias(options, answer.answers, server);
  const markRecords = answersFor(markAnswer.answers, epochRecordName(record), recordTypes.TXT);
  const records = answersFor(answer.answers, record, recordTypes[type]);
  return { set: readRecordSet(type, records), records, mark: readEpochMark(markRecords), markRecords };
}

async function readAuthorities(host: DnsHost, options: ComponentOptions, limits: ExchangeLimits): Promise<readonly AuthorityView[]> {
  const servers = options.authorities ?? (await findAuthorities(host, options, limits));
  return Promise.all(servers.map((server) => readAuthority(host, options, server, limits)));
}

async function readAuthority(
  host: DnsHost,
  options: ComponentOptions,
  server: ServerAddress,
  limits: ExchangeLimits,
): Promise<AuthorityView> {
  try {
    const answer = await askAuthority(host, server, { name: options.record, type: recordTypes[options.type] }, limits);
    refuseAlias(options, answer.answers, server);
    return {
      server: formatServerAddress(server),
      set: readRecordSet(options.type, answersFor(answer.answers, options.record, recordTypes[options.type])),
      error: undefined,
    };
  } catch (error) {
    return { server: formatServerAddress(server), set: undefined, error: asSeen(error) };
  }
}

/**
 * The name servers of the zone by its NS records, each with all addresses that the primary knows; a name that it does not know is left to the system's
 * resolver. Without any answer the configured server is the only one known.
 */
async function findAuthorities(host: DnsHost, options: ComponentOptions, limits: ExchangeLimits): Promise<readonly ServerAddress[]> {
  const share = { ...limits, timeoutMs: Math.ceil(limits.timeoutMs / 3) };
  let names: string[];
  try {
    const answer = await askAuthority(host, options.server, { name: options.zone, type: recordTypes.NS }, share);
    names = answersFor(answer.answers, options.zone, recordTypes.NS).map((record) => decodeName(record.data).name);
  } catch {
    // The same server is asked for the record itself right after: that error is the one to show.
    return [options.server];
  }
  const addresses = (await Promise.all(names.map((name) => findAddresses(host, options, name, share)))).flat();
  return addresses.length === 0 ? [options.server] : addresses;
}

async function findAddresses(
  host: DnsHost,
  options: ComponentOptions,
  name: string,
  limits: ExchangeLimits,
): Promise<readonly ServerAddress[]> {
  const found = await Promise.all(
    (['A', 'AAAA'] as const).map(async (type) => {
      try {
        const answer = await askAuthority(host, options.server, { name, type: recordTypes[type] }, limits);
        return answersFor(answer.answers, name, recordTypes[type]).map((record) => ({ host: decodeValue(type, record.data), port: 53 }));
      } catch {
        // The name lies in another zone, for which this server is no authority.
        return [];
      }
    }),
  );
  const addresses = found.flat();
  return addresses.length === 0 ? [{ host: name, port: 53 }] : addresses;
}

function answersFor(records: readonly WireRecord[], name: string, type: number): readonly WireRecord[] {
  return records.filter((record) => record.name === name && record.type === type);
}

/** An error of the world is part of what is seen; one of ours is not. */
function asSeen(thrown: unknown): HoldfastError {
  const error = asHoldfastError(thrown);
  if (error.kind === 'bug') throw error;
  return error;
}

/** A server ignores, without a word, an update that would put an address beside a CNAME: better to say so before. */
function refuseAlias(options: ComponentOptions, records: readonly WireRecord[], server: ServerAddress): void {
  const isAlias = records.some((record) => record.name === options.record && record.type === recordTypes.CNAME);
  if (options.type === 'CNAME' || !isAlias) return;
  throw fail('SYSTEM_REFUSED', {
    message: `${options.record} is a CNAME at ${formatServerAddress(server)}, not of type ${options.type}`,
    hint: 'Set type to CNAME, or remove the CNAME first.',
  });
}
