/** One look at the record for one region: do name servers answer, where do they send clients, and what would make a failover slow or impossible. */

import { asHoldfastError, HoldfastError } from '../../base/errors.ts';
import type { EvidenceKind, Reading, Role } from '../../contracts/observation.ts';
import { ttlFaults } from '../../contracts/route-ttl.ts';
import type { ComponentOptions } from './options.ts';
import { describeRecordSet, type RecordSet, sameRecordSet } from './record-set.ts';
import { type RouteParts, wantedRecordSet } from './route.ts';
import { type AuthorityView, type RouteView, readRoute } from './route-view.ts';

type Fault = NonNullable<Reading['faults']>[number];

export async function observeRoute(parts: RouteParts, region: string, signal: AbortSignal): Promise<Reading> {
  let view: RouteView;
  try {
    view = await readRoute(parts.host, parts.options, { timeoutMs: parts.probeTimeoutMs, signal });
  } catch (thrown) {
    const error = asHoldfastError(thrown);
    if (error.kind === 'bug' || error.kind === 'invalid') throw error;
    return { health: 'unknown', evidence: { kind: 'error', detail: error.message } };
  }
  const answered = view.authorities.filter(({ error }) => error === undefined);
  const [first] = answered;
  if (first === undefined) return readingOfSilence(view.authorities);
  return {
    health: 'up',
    evidence: { kind: 'answered', detail: `${first.server} answers ${describeRecordSet(first.set)}` },
    role: roleOf(parts, region, answered),
    faults: findFaults(parts, view),
    facts: {
      record: parts.options.record,
      type: parts.options.type,
      authorities: view.authorities.map(({ server, set, error }) => ({
        server,
        values: set?.values,
        ttlSeconds: set?.ttlSeconds,
        error: error?.message,
      })),
      ...(view.primary instanceof HoldfastError || view.primary.mark === undefined
        ? {}
        : { epoch: view.primary.mark.epoch, routedTo: view.primary.mark.region }),
    },
  };
}

function roleOf(parts: RouteParts, region: string, answered: readonly AuthorityView[]): Role {
  const [first, ...others] = answered.map(({ set }) => set?.values.join(' ') ?? '');
  if (first === undefined || others.some((values) => values !== first)) return 'unknown';
  if (first === '') return 'none';
  const site = parts.sites.get(region);
  return site !== undefined && wantedRecordSet(parts.options, site).values.join(' ') === first ? 'primary' : 'standby';
}

/** A live host that refuses is down at once; silence and refusals to answer say nothing sure. */
function readingOfSilence(authorities: readonly AuthorityView[]): Reading {
  const errors = authorities.map(({ error }) => error).filter((error) => error !== undefined);
  const kinds = errors.map(evidenceKind);
  const detail = authorities.map(({ server, error }) => `${server}: ${error?.message}`).join('; ');
  const sure = kinds.length > 0 && kinds.every((kind) => kind === 'refused' || kind === 'wrong-answer');
  return { health: sure ? 'down' : 'unknown', evidence: { kind: kinds.find((kind) => kind !== 'refused') ?? 'refused', detail } };
}

function evidenceKind(error: HoldfastError): EvidenceKind {
  if (error.code === 'SYSTEM_REFUSED') return 'not-allowed';
  if (error.code === 'SYSTEM_NOT_SERVING' || error.code === 'SYSTEM_WRONG_ANSWER' || error.code === 'SYSTEM_WRONG_ROLE')
    return 'wrong-answer';
  switch (error.details.cause) {
    case 'refused':
      return 'refused';
    case 'reset':
      return 'connection-lost';
    case 'timeout':
      return 'timeout';
    case 'unreachable':
      return 'unreachable';
    default:
      // An interrupted probe is one whose time was over.
      return error.code === 'TIMED_OUT' || error.code === 'INTERRUPTED' ? 'timeout' : 'error';
  }
}

function findFaults(parts: RouteParts, view: RouteView): readonly Fault[] {
  const answered = view.authorities.filter(({ error }) => error === undefined);
  const sets = answered.map(({ set }) => set);
  return [
    ...primaryFaults(view),
    ...view.authorities.flatMap(({ server, error }) =>
      error === undefined
        ? []
        : [
            warning(
              `${server} does not answer for the record: ${error.message}`,
              'A change is done only once every name server confirms it; see the option confirm.',
            ),
          ],
    ),
    ...agreementFaults(parts.options, answered),
    ...ttlFaults(
      parts.options.record,
      parts.options.ttl,
      sets.map((set) => set?.ttlSeconds ?? 0),
    ),
    ...targetFaults(parts, sets[0]),
    ...(view.authorities.length === 1
      ? [
          warning(
            'only one name server answers for the zone',
            'With it the name is lost for everybody: add a second one outside the region that can be lost.',
          ),
        ]
      : []),
  ];
}

function primaryFaults(view: RouteView): readonly Fault[] {
  if (!(view.primary instanceof HoldfastError)) return [];
  return [problem(`the record can't be changed: ${view.primary.message}`, view.primary.hint)];
}

function agreementFaults(options: ComponentOptions, answered: readonly AuthorityView[]): readonly Fault[] {
  const [first, ...others] = answered;
  if (first === undefined || others.every(({ set }) => sameRecordSet(set, first.set))) return [];
  const all = answered.map(({ server, set }) => `${server}: ${describeRecordSet(set)}`).join('; ');
  return [
    problem(
      `the name servers disagree on ${options.record}: ${all}`,
      'Some clients go elsewhere than others: look at zone transfers (NOTIFY, serial number, transfer key).',
    ),
  ];
}

function targetFaults(parts: RouteParts, set: RecordSet | undefined): readonly Fault[] {
  if (set === undefined)
    return [
      problem(
        `${parts.options.record} has no record of type ${parts.options.type}`,
        'Clients find nothing: route to the active region to create it.',
      ),
    ];
  const known = [...parts.sites.values()].some((site) => wantedRecordSet(parts.options, site).values.join(' ') === set.values.join(' '));
  return known
    ? []
    : [
        problem(
          `${parts.options.record} points to ${set.values.join(' ')}, which is no region of the spec`,
          'Somebody changed the record, or the addresses in the spec are not up to date.',
        ),
      ];
}

function problem(message: string, hint: string): Fault {
  return { severity: 'problem', message, hint };
}

function warning(message: string, hint: string): Fault {
  return { severity: 'warning', message, hint };
}
