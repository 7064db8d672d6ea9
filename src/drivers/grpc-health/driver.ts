/** A server that tells its health by grpc.health.v1: looked at, and asked in smoke tests. It is changed by nothing here. */
import { fail, HoldfastError } from '../../base/errors.ts';
import { defineDriver } from '../../contracts/driver.ts';
import type { Evidence, EvidenceKind, Reading } from '../../contracts/observation.ts';
import type { Verb } from '../../contracts/verbs.ts';
import { evidenceOfNetError, readingOf } from '../../contracts/workload/net-evidence.ts';
import { HealthClient } from './client.ts';
import { type ComponentOptions, componentOptions, type SiteOptions, siteOptions, validateOptions } from './options.ts';

interface Word {
  readonly service: string;
  readonly evidence: Evidence;
  readonly error?: HoldfastError;
}

/** What the server does not know, or does not let us ask, says nothing of its health; nor does a server of another kind. */
const kinds: Readonly<Partial<Record<HoldfastError['code'], EvidenceKind>>> = {
  SYSTEM_REFUSED: 'error',
  SYSTEM_WRONG_ANSWER: 'error',
  SYSTEM_WRONG_CREDENTIALS: 'not-allowed',
};

async function askOne(client: HealthClient, service: string, signal: AbortSignal): Promise<Word> {
  const label = service === '' ? client.name : `${service} at ${client.name}`;
  try {
    const state = await client.check(service, signal);
    const kind = state === 'SERVING' ? 'answered' : state === 'NOT_SERVING' ? 'wrong-answer' : 'error';
    return { service, evidence: { kind, detail: `${label} is ${state}` } };
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    const kind = kinds[error.code];
    return { service, evidence: kind === undefined ? evidenceOfNetError(error, client.name) : { kind, detail: error.message }, error };
  }
}

/** One service that is down outweighs those that say nothing, which outweigh those that are well. */
async function observeServices(client: HealthClient, services: readonly string[], signal: AbortSignal): Promise<Reading> {
  const words = await Promise.all(services.map((service) => askOne(client, service, signal)));
  const readings = words.map(({ evidence }) => readingOf(evidence));
  const reading = readings.find(({ health }) => health === 'down') ?? readings.find(({ health }) => health === 'unknown') ?? readings[0];
  if (reading === undefined) throw fail('BUG_BROKEN_BELIEF', { message: 'there is at least one service' });
  const faults = words.flatMap(({ error }) =>
    error?.code === 'SYSTEM_REFUSED' ? [{ severity: 'problem' as const, message: error.message, hint: error.hint }] : [],
  );
  return faults.length === 0 ? reading : { ...reading, faults };
}

function checkVerb(observe: (signal: AbortSignal) => Promise<Reading>): Verb {
  return {
    async inspect(_want, context) {
      const { health, evidence } = await observe(context.signal);
      return health === 'up' ? { state: 'done', output: { detail: evidence.detail } } : { state: 'pending', why: evidence.detail };
    },
    async apply() {
      throw fail('BUG_BROKEN_BELIEF', { message: 'check only looks: there is nothing to apply' });
    },
  };
}

export const driver = defineDriver<ComponentOptions, SiteOptions>({
  name: 'grpc-health',
  title: 'gRPC health check',
  summary: 'Asks a gRPC server whether its services are serving, by the protocol that gRPC has for that (grpc.health.v1).',
  kind: 'check',
  verbs: [{ verb: 'check', needsHands: false, typicalMs: 500 }],
  hasCanary: false,
  componentOptions,
  siteOptions,
  validate: validateOptions,
  open({ host, options, site, probeTimeoutMs }) {
    const client = new HealthClient(host, site, Math.min(options.timeout ?? probeTimeoutMs, probeTimeoutMs));
    const observe = (signal: AbortSignal) => observeServices(client, options.services, signal);
    return { observe, verbs: { check: checkVerb(observe) }, close: () => client.close() };
  },
});
