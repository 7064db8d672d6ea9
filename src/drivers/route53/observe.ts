/**
 * One look at the records for one region: does the service answer, where do its records send clients, and what would make a failover slow or do something else than was meant.
 *
 * The service is asked no more often than `look-every`: the probes of all regions would else use up what it allows the whole account, and a failover would have to wait for them.
 */
import { asHoldfastError, type HoldfastError } from '../../base/errors.ts';
import type { EvidenceKind, Reading, Role } from '../../contracts/observation.ts';
import { ttlFaults } from '../../contracts/route-ttl.ts';
import { evidenceOfNetError, readingOf } from '../../contracts/workload/net-evidence.ts';
import type { HealthCheckFacts, RecordSet } from './client.ts';
import { type RouteView, readRoute } from './route.ts';
import type { RouteParts } from './route-parts.ts';
import { describeRecords, policyOf, sharesOf, valuesOf, wantedRecords } from './weighted-records.ts';

type Fault = NonNullable<Reading['faults']>[number];
type HealthChecks = ReadonlyMap<string, HealthCheckFacts | undefined>;

const evenly = 1e-9;

export class RouteObserver {
  readonly #parts: RouteParts;
  readonly #region: string;
  #last: { readonly reading: Reading; readonly atMs: number } | undefined;

  constructor(parts: RouteParts, region: string) {
    this.#parts = parts;
    this.#region = region;
  }

  async observe(signal: AbortSignal): Promise<Reading> {
    const { host, options } = this.#parts;
    const nowMs = host.clock.monotonicMs();
    if (this.#last !== undefined && nowMs - this.#last.atMs < options['look-every']) return this.#last.reading;
    this.#last = undefined;
    const reading = await look(this.#parts, this.#region, signal);
    if (reading.health === 'up') this.#last = { reading, atMs: nowMs };
    return reading;
  }
}

async function look(parts: RouteParts, region: string, signal: AbortSignal): Promise<Reading> {
  const limits = { timeoutMs: parts.probeTimeoutMs, signal };
  let view: RouteView;
  let healthChecks: HealthChecks;
  try {
    view = await readRoute(parts, limits);
    const ids = [...new Set(view.sets.flatMap(({ HealthCheckId }) => (HealthCheckId === undefined ? [] : [HealthCheckId])))];
    healthChecks = new Map(await Promise.all(ids.map(async (id) => [id, await parts.client.readHealthCheck(id, limits)] as const)));
  } catch (thrown) {
    return readingOfFailure(parts, thrown);
  }
  const { options, sites, client } = parts;
  const shares = sharesOf(options, sites, view.sets);
  return {
    ...readingOf({ kind: 'answered', detail: `${client.name} has ${describeRecords(options, view.sets)}` }),
    role: roleOf(shares, region, view.sets),
    faults: [
      ...ttlFaults(
        parts.options.record,
        parts.options.ttl,
        view.sets.map(({ TTL }) => TTL ?? 0),
      ),
      ...recordFaults(parts, view.sets, shares),
      ...healthCheckFaults(parts, healthChecks),
    ],
    facts: {
      record: options.record,
      type: options.type,
      shares: Object.fromEntries(shares),
      ...(view.mark === undefined ? {} : { epoch: view.mark.epoch, routedTo: view.mark.to }),
    },
  };
}

function readingOfFailure({ client }: RouteParts, thrown: unknown): Reading {
  if (thrown instanceof Error && (thrown.name === 'AbortError' || thrown.name === 'TimeoutError'))
    return readingOf(evidenceOfNetError(thrown, client.name));
  const error = asHoldfastError(thrown);
  if (error.kind === 'bug' || error.kind === 'invalid') throw error;
  const kind = evidenceKinds[error.code];
  return readingOf(kind === undefined ? evidenceOfNetError(error, client.name) : { kind, detail: error.message });
}

/** Whoever may not ask, or is told to slow down, knows nothing of the records. */
const evidenceKinds: Readonly<Partial<Record<HoldfastError['code'], EvidenceKind>>> = {
  SYSTEM_WRONG_CREDENTIALS: 'not-allowed',
  SYSTEM_REFUSED: 'not-allowed',
  SYSTEM_NOT_SERVING: 'error',
  SYSTEM_WRONG_ANSWER: 'error',
};

/** The region with the largest share is where traffic goes; an even share leads nowhere in particular. */
function roleOf(shares: ReadonlyMap<string, number>, region: string, sets: readonly RecordSet[]): Role {
  if (sets.length === 0) return 'none';
  const [first = 0, second = 0] = [...shares.values()].sort((a, b) => b - a);
  if (first === 0 || (shares.size > 1 && first - second < evenly)) return 'unknown';
  return shares.get(region) === first ? 'primary' : 'standby';
}

function recordFaults(parts: RouteParts, sets: readonly RecordSet[], shares: ReadonlyMap<string, number>): readonly Fault[] {
  const { options, sites } = parts;
  if (sets.length === 0)
    return [
      problem(`${options.record} has no record of type ${options.type}`, 'Clients find nothing: route to the active region to create it.'),
    ];
  const foreign = sets.find((set) => policyOf(set) === 'other' || set.AliasTarget !== undefined);
  if (foreign !== undefined)
    return [
      problem(
        `${options.record} is an alias, or follows another routing policy than weights: Holdfast does not replace it`,
        'A failover could not move it. Give Holdfast a name of its own and let this one be a CNAME of it.',
      ),
    ];
  const faults: Fault[] = [];
  if (sets.every((set) => policyOf(set) === 'weighted' && set.Weight === 0))
    faults.push(
      problem(
        `all weights of ${options.record} are 0: Route 53 takes that for equal shares, not for no traffic`,
        'Route to the active region: it gets all of the weight.',
      ),
    );
  const known = new Set(wantedRecords(options, sites, new Map()).flatMap((set) => valuesOf(options, set)));
  const strange = sets.filter(({ Weight }) => Weight !== 0).flatMap((set) => valuesOf(options, set).filter((value) => !known.has(value)));
  const lost = 1 - [...shares.values()].reduce((sum, share) => sum + share, 0);
  if (strange.length > 0 && lost > evenly)
    faults.push(
      problem(
        `${options.record} points to ${strange.join(' ')}, which is no region of the spec`,
        'Somebody changed the record, or the addresses in the spec are not up to date.',
      ),
    );
  return faults;
}

/** A health check decides by itself, and not as its switches read. */
function healthCheckFaults({ options }: RouteParts, checks: HealthChecks): readonly Fault[] {
  return [...checks].map(([id, facts]) => {
    const what =
      facts === undefined
        ? 'does not exist'
        : facts.disabled
          ? 'is disabled, which Route 53 takes for healthy always'
          : facts.inverted
            ? 'is inverted, so that what is well counts as ill'
            : 'can take the record out of answers by itself';
    return problem(
      `health check ${id} of ${options.record} ${what}`,
      'Changing where its checkers are moves no traffic. Holdfast routes by weights alone: routing again makes the records anew without the health check.',
    );
  });
}

function problem(message: string, hint: string): Fault {
  return { severity: 'problem', message, hint };
}
