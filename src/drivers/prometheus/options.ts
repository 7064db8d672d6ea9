/** What the spec says about signals of health that a Prometheus keeps. */
import { z } from 'zod';
import { duration } from '../../contracts/options.ts';
import { endpointOptions } from '../../contracts/workload/endpoint.ts';

const promql = z.string().min(1);

const signalOptions = z
  .strictObject({
    query: promql.meta({
      description: 'An expression in PromQL; $region stands for the name of the site',
      examples: ['histogram_quantile(0.95, sum by (le) (rate(http_request_duration_seconds_bucket{region="$region"}[5m])))'],
    }),
    above: z.number().optional().describe('The site is ill when a value is greater than this; a value that is just this is well'),
    below: z.number().optional().describe('The site is ill when a value is less than this; a value that is just this is well'),
    traffic: promql
      .optional()
      .describe('An expression that counts requests: where it gives nothing, or 0, or less than traffic-at-least, the signal says nothing'),
    'traffic-at-least': z.number().min(0).default(0).describe('How much traffic it takes for the signal to say something'),
    series: promql.meta({
      description: 'A selector of series that the query reads: where none has a sample newer than fresh-within, the signal says nothing',
      examples: ['http_requests_total{region="$region"}'],
    }),
  })
  .describe('One signal: an expression, its bound, and how to tell that it says something');

export const componentOptions = z.strictObject({
  signals: z
    .record(z.string().regex(/^[a-z][a-z0-9-]*$/, 'small letters, digits and hyphens'), signalOptions)
    .describe('Signals by name: one that is out of its bound makes the site ill, one that says nothing makes it unknown'),
  'fresh-within': duration('How old the newest sample may be; at least twice the interval at which targets are scraped').prefault('60s'),
  bake: duration(
    'The verb check is done only when all signals were well for so long after it began, and fails at the first that was not',
  ).optional(),
  'bake-step': duration('How close together the signals are looked at over that time').prefault('15s'),
});

export type ComponentOptions = z.output<typeof componentOptions>;
export type SignalOptions = z.output<typeof signalOptions>;

export const siteOptions = z.strictObject({
  ...endpointOptions,
  label: z
    .string()
    .regex(/^[^"\\$]+$/)
    .optional()
    .describe('What $region stands for in the queries; default: the name of the site'),
});

export type SiteOptions = z.output<typeof siteOptions>;

interface Fault {
  readonly path: readonly (string | number)[];
  readonly message: string;
  readonly hint: string;
}

export function validateOptions({ options }: { readonly options: ComponentOptions }): readonly Fault[] {
  const faults: Fault[] = [];
  const signals = Object.entries(options.signals);
  if (signals.length === 0)
    faults.push({ path: ['signals'], message: 'there are no signals', hint: 'Name at least one: without it nothing can be ill.' });
  for (const [name, { above, below }] of signals) {
    if (above === undefined && below === undefined)
      faults.push({ path: ['signals', name], message: `the signal ${name} has no bound`, hint: 'Give above, or below, or both.' });
    if (above !== undefined && below !== undefined && above < below)
      faults.push({
        path: ['signals', name],
        message: `no value of ${name} is well: above is less than below`,
        hint: 'Values between below and above are well.',
      });
  }
  if (options['bake-step'] < 1_000)
    faults.push({
      path: ['bake-step'],
      message: 'bake-step is less than a second',
      hint: 'Write 15s, or another time that is as long as a scrape takes.',
    });
  return faults;
}
