/**
 * The few calls of Route 53 that a route needs. The only importer of the SDK, which is loaded by the first of them.
 *
 * The service limits a whole account to five requests a second and takes one batch at a time for a zone: "slow down" is waited out here, a bounded number of times, for it did nothing then. A
 * batch is all or nothing. A batch whose answer is lost is SYSTEM_OUTCOME_UNKNOWN.
 */
import type { Route53Client, ResourceRecordSet as SdkRecordSet } from '@aws-sdk/client-route-53';
import { fail, HoldfastError } from '../../base/errors.ts';
import type { Host } from '../../host/host.ts';
import { type AwsAccess, clientAccess } from '../aws-api/access-options.ts';
import { type AwsCall, awsFailure, slowDownNames } from '../aws-api/aws-failure.ts';
import { NetRequestHandler } from '../aws-api/net-request-handler.ts';

type Sdk = typeof import('@aws-sdk/client-route-53');

/** A record set as the service lists it; a DELETE has to repeat it exactly. */
export type RecordSet = SdkRecordSet;

export interface Change {
  readonly action: 'CREATE' | 'DELETE' | 'UPSERT';
  readonly set: RecordSet;
}

export interface CallLimits {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

export interface HealthCheckFacts {
  readonly disabled: boolean;
  readonly inverted: boolean;
}

/** Before each further try. */
const pausesMs = [250, 750, 2_000];
const pageSize = 100;

export class Route53 {
  readonly #host: Host;
  readonly #access: AwsAccess;
  readonly #zoneId: string;
  #opening: Promise<{ readonly sdk: Sdk; readonly client: Route53Client }> | undefined;
  #timeoutMs = 5_000;

  constructor(host: Host, zoneId: string, access: AwsAccess) {
    this.#host = host;
    this.#zoneId = zoneId;
    this.#access = access;
  }

  /** For people. */
  get name(): string {
    return `Route 53, zone ${this.#zoneId}`;
  }

  /** Every record set of the name and type: several where it is shared. */
  async listRecords(name: string, type: string, limits: CallLimits): Promise<readonly RecordSet[]> {
    const listed = listedName(name);
    const found: RecordSet[] = [];
    let start: { StartRecordName: string; StartRecordType: 'A'; StartRecordIdentifier?: string } = {
      StartRecordName: listed,
      StartRecordType: type as 'A',
    };
    for (;;) {
      const input = { HostedZoneId: this.#zoneId, ...start, MaxItems: pageSize };
      const answer = await this.#call({ doing: `list ${name} in ${this.name}`, changes: false }, limits, ({ sdk, client }, options) =>
        client.send(new sdk.ListResourceRecordSetsCommand(input), options),
      );
      // A foreign page is read as an answer that lists nothing.
      if (answer.ResourceRecordSets === undefined || answer.IsTruncated === undefined || answer.MaxItems === undefined)
        throw noAnswer(this.name);
      const page = answer.ResourceRecordSets.filter((set) => set.Name?.toLowerCase() === listed && set.Type === type);
      found.push(...page);
      const goesOn = answer.IsTruncated && answer.NextRecordName?.toLowerCase() === listed && answer.NextRecordType === type;
      if (!goesOn || answer.NextRecordIdentifier === undefined || answer.NextRecordIdentifier === start.StartRecordIdentifier) return found;
      start = { ...start, StartRecordIdentifier: answer.NextRecordIdentifier };
    }
  }

  /** Sends one batch; the id of the change, to be asked for with `isInSync`. STATE_CONFLICT where the service says that the batch does not fit what there is. */
  async change(changes: readonly Change[], comment: string, limits: CallLimits): Promise<string> {
    const batch = {
      Comment: comment.slice(0, 256),
      Changes: changes.map(({ action, set }) => ({ Action: action, ResourceRecordSet: set })),
    };
    const input = { HostedZoneId: this.#zoneId, ChangeBatch: batch };
    const answer = await this.#call({ doing: `change ${this.name}`, changes: true }, limits, ({ sdk, client }, options) =>
      client.send(new sdk.ChangeResourceRecordSetsCommand(input), options),
    );
    const id = answer.ChangeInfo?.Id;
    if (id === undefined) throw fail('SYSTEM_OUTCOME_UNKNOWN', { message: `${this.name} answered a batch without naming the change` });
    return id;
  }

  /** Undefined where the service does not know such a change (any more). */
  async isInSync(changeId: string, limits: CallLimits): Promise<boolean | undefined> {
    try {
      const answer = await this.#call({ doing: `ask for ${changeId}`, changes: false }, limits, ({ sdk, client }, options) =>
        client.send(new sdk.GetChangeCommand({ Id: changeId.replace(/^\/change\//, '') }), options),
      );
      if (answer.ChangeInfo?.Status === undefined) throw noAnswer(this.name);
      return answer.ChangeInfo.Status === 'INSYNC';
    } catch (error) {
      if (error instanceof HoldfastError && error.details.service === 'NoSuchChange') return undefined;
      throw error;
    }
  }

  /** Undefined where there is no such health check. */
  async readHealthCheck(id: string, limits: CallLimits): Promise<HealthCheckFacts | undefined> {
    try {
      const answer = await this.#call({ doing: `look at health check ${id}`, changes: false }, limits, ({ sdk, client }, options) =>
        client.send(new sdk.GetHealthCheckCommand({ HealthCheckId: id }), options),
      );
      const config = answer.HealthCheck?.HealthCheckConfig;
      if (config === undefined) throw noAnswer(this.name);
      return { disabled: config.Disabled === true, inverted: config.Inverted === true };
    } catch (error) {
      if (error instanceof HoldfastError && error.details.service === 'NoSuchHealthCheck') return undefined;
      throw error;
    }
  }

  async close(): Promise<void> {
    const opening = this.#opening;
    this.#opening = undefined;
    if (opening !== undefined) (await opening).client.destroy();
  }

  async #call<T>(
    call: AwsCall,
    { timeoutMs, signal }: CallLimits,
    work: (open: { sdk: Sdk; client: Route53Client }, options: { abortSignal: AbortSignal }) => Promise<T>,
  ): Promise<T> {
    for (let tried = 0; ; tried += 1) {
      if (signal.aborted) throw fail('INTERRUPTED', { message: `${call.doing}: interrupted before it was asked for` });
      this.#opening ??= this.#load();
      const open = await this.#opening;
      this.#timeoutMs = timeoutMs;
      try {
        return await work(open, { abortSignal: signal });
      } catch (thrown) {
        const error = awsFailure(thrown, call);
        const pauseMs = pausesMs[tried];
        if (pauseMs === undefined || !slowDownNames.has(String(error.details.service))) throw error;
        await this.#host.clock.sleep(pauseMs * (0.75 + this.#host.random.next() / 2), signal);
      }
    }
  }

  async #load(): Promise<{ readonly sdk: Sdk; readonly client: Route53Client }> {
    const sdk = await import('@aws-sdk/client-route-53');
    const client = new sdk.Route53Client({
      // The control plane has one place for all of the world, whichever region is named.
      ...clientAccess(this.#access, 'us-east-1'),
      maxAttempts: 1,
      requestHandler: new NetRequestHandler(this.#host.net, () => this.#timeoutMs) as never,
    });
    return { sdk, client };
  }
}

function noAnswer(name: string): HoldfastError {
  return fail('SYSTEM_WRONG_ANSWER', {
    message: `${name}: what answered does not answer as Route 53 does`,
    hint: 'Look at endpoint, and at proxies in between.',
  });
}

/** As the service writes names: a dot at the end, and a star in octal. */
export function listedName(name: string): string {
  return `${name.replace('*', '\\052')}.`;
}
