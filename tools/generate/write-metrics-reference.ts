/** The text of docs/reference/metrics.md, from the definitions that the endpoint itself uses. */
import type { MetricDefinition } from '../../src/base/metric.ts';
import { markdownTable } from './markdown.ts';

interface Chapter {
  readonly title: string;
  readonly metrics: Readonly<Record<string, MetricDefinition>>;
}

const code = (text: string): string => `\`${text}\``;

export function writeMetricsReference(chapters: readonly Chapter[]): string {
  const sections = chapters.map(({ title, metrics }) => {
    const rows = Object.entries(metrics).map(([name, { type, help, labels }]) => [code(name), type, labels.map(code).join(' '), help]);
    return `## ${title}\n\n${markdownTable(['metric', 'type', 'labels', 'what it tells'], rows)}\n`;
  });
  return `# Metrics

<!-- Written by "npm run generate" from src/control/metrics/metric-definitions.ts; changes made here are lost. -->

\`holdfast serve --metrics [HOST:]PORT\` answers \`/metrics\` in Prometheus' text format; [operating](../guide/operate.md#monitoring) says how it is set up, and
[\`deploy/prometheus\`](../../deploy/prometheus) has alert rules for it. Every controller tells what it sees itself, with the labels that are given here and those that Prometheus adds.

- What is not known is absent, never 0: a rule on a number needs one on its absence beside it.
- An age is told as the instant that it counts from, \`…_timestamp_seconds\`: \`time() - …\` is the age, and goes on growing when nobody answers any more.
- Of what has several states, each state is a series: 1 for the one that is, 0 for the others.
- Counters and histograms begin at 0 when the process begins.
- No value and no label holds a secret, an address or the text of an error: only names of the spec, states and numbers.

${sections.join('\n')}`;
}
