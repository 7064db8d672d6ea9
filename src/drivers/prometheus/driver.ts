/**
 * Signals of health that a Prometheus keeps, as a component that is looked at: an error rate, a latency, any expression with a bound.
 *
 * A Prometheus that is gone, slow or wrong says nothing of what it watches: then the site is unknown by `error`, which counts neither as health nor as loss.
 */
import { defineDriver } from '../../contracts/driver.ts';
import type { Reading } from '../../contracts/observation.ts';
import { Endpoint } from '../../contracts/workload/endpoint.ts';
import { readingOf } from '../../contracts/workload/net-evidence.ts';
import { signalsVerb } from './check.ts';
import { PrometheusClient } from './client.ts';
import { type ComponentOptions, componentOptions, type SiteOptions, siteOptions, validateOptions } from './options.ts';
import { type Asking, askSignals, type SignalWord } from './signals.ts';

function readingFrom(words: readonly SignalWord[]): Reading {
  const ill = words.filter(({ says }) => says === 'ill');
  const silent = words.filter(({ says }) => says === 'nothing');
  const told = (some: readonly SignalWord[]) => some.map(({ why }) => why).join('; ');
  const facts = {
    signals: Object.fromEntries(words.map(({ signal, says, value }) => [signal, value === undefined ? says : { says, value }])),
  };
  const faults = silent
    .filter(({ error }) => error?.code === 'SYSTEM_REFUSED')
    .map(({ why, error }) => ({ severity: 'problem' as const, message: why, hint: error?.hint ?? '' }));
  const shown = { facts, ...(faults.length > 0 ? { faults } : {}) };
  if (ill.length > 0) return { ...readingOf({ kind: 'wrong-answer', detail: told(ill) }), ...shown };
  if (silent.length === 0) return { ...readingOf({ kind: 'answered', detail: told(words) }), ...shown };
  const notAllowed = silent.every(({ error }) => error?.code === 'SYSTEM_WRONG_CREDENTIALS');
  return { ...readingOf({ kind: notAllowed ? 'not-allowed' : 'error', detail: told(silent) }), ...shown };
}

export const driver = defineDriver<ComponentOptions, SiteOptions>({
  name: 'prometheus',
  title: 'Prometheus (as a source of health)',
  summary:
    'Judges a region by expressions in PromQL with bounds, such as its error rate or its latency; no traffic and no data are unknown, never healthy.',
  kind: 'check',
  verbs: [{ verb: 'check', needsHands: false, typicalMs: 1_000 }],
  hasCanary: false,
  componentOptions,
  siteOptions,
  validate: validateOptions,
  open(context) {
    const endpoint = new Endpoint(context.host, context.site);
    const asking: Asking = {
      client: new PrometheusClient(context.host.net, endpoint, context.probeTimeoutMs),
      options: context.options,
      label: context.site.label ?? context.region,
    };
    return {
      observe: async (signal) => readingFrom(await askSignals(asking, signal)),
      verbs: { check: signalsVerb(asking, context.host.clock) },
      close: async () => {
        // Connections belong to the host.
      },
    };
  },
});
