/**
 * Metrics as the text that Prometheus reads. https://prometheus.io/docs/instrumenting/exposition_formats/
 *
 * Invariant: every sample belongs to a definition and carries just its labels; a name or a label that nobody has defined is a bug, and is said rather than published.
 */
import { fail } from '../base/errors.ts';
import type { MetricDefinition, MetricSample } from '../base/metric.ts';

export const expositionType = 'text/plain; version=0.0.4; charset=utf-8';

export function writeExposition(definitions: Readonly<Record<string, MetricDefinition>>, samples: readonly MetricSample[]): string {
  const byName = new Map<string, MetricSample[]>();
  for (const sample of samples) {
    const definition = definitions[sample.name];
    if (!definition) throw fail('BUG_BROKEN_BELIEF', { subject: sample.name, message: `the metric ${sample.name} is defined nowhere` });
    assertLabels(sample, definition);
    const known = byName.get(sample.name);
    if (known) known.push(sample);
    else byName.set(sample.name, [sample]);
  }
  let text = '';
  for (const [name, { type, help }] of Object.entries(definitions)) {
    const own = byName.get(name);
    if (!own) continue;
    text += `# HELP ${name} ${escapeHelp(help)}\n# TYPE ${name} ${type}\n`;
    for (const sample of own) text += `${name}${sample.suffix ?? ''}${labelsText(sample.labels)} ${formatValue(sample.value)}\n`;
  }
  return text;
}

function assertLabels({ name, suffix, labels }: MetricSample, definition: MetricDefinition): void {
  const expected = suffix === '_bucket' ? [...definition.labels, 'le'] : definition.labels;
  const found = Object.keys(labels);
  if (found.length !== expected.length || !expected.every((label) => label in labels))
    throw fail('BUG_BROKEN_BELIEF', {
      subject: name,
      message: `the metric ${name} has the labels ${found.join(', ')}; defined are ${expected.join(', ')}`,
    });
}

function labelsText(labels: MetricSample['labels']): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(value)}"`);
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

const escapeHelp = (text: string): string => text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
const escapeLabel = (text: string): string => escapeHelp(text).replaceAll('"', '\\"');

function formatValue(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  if (Number.isFinite(value)) return String(value);
  return value > 0 ? '+Inf' : '-Inf';
}
