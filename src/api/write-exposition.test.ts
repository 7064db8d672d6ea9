import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { MetricDefinition } from '../base/metric.ts';
import { metricDefinitions } from '../control/metrics/metric-definitions.ts';
import { writeExposition } from './write-exposition.ts';

const definitions: Readonly<Record<string, MetricDefinition>> = {
  b_total: { type: 'counter', help: 'How many\nof \\ them', labels: ['kind'] },
  a_seconds: { type: 'gauge', help: 'How long', labels: [] },
};

describe('metrics as text', () => {
  it('families in the order of their definitions, each with its head once; what has no sample is left out', () => {
    const text = writeExposition(definitions, [
      { name: 'a_seconds', labels: {}, value: 0.5 },
      { name: 'b_total', labels: { kind: 'x' }, value: 1 },
      { name: 'b_total', labels: { kind: 'y' }, value: 2e21 },
    ]);
    expect(text).toBe(
      '# HELP b_total How many\\nof \\\\ them\n# TYPE b_total counter\nb_total{kind="x"} 1\nb_total{kind="y"} 2e+21\n# HELP a_seconds How long\n# TYPE a_seconds gauge\na_seconds 0.5\n',
    );
    expect(writeExposition(definitions, [])).toBe('');
  });

  it('a label can hold anything, and a value what is no number', () => {
    const text = writeExposition(definitions, [
      { name: 'b_total', labels: { kind: 'a "b"\\c\nd' }, value: Number.NaN },
      { name: 'a_seconds', labels: {}, value: -Infinity },
    ]);
    expect(text).toContain('b_total{kind="a \\"b\\"\\\\c\\nd"} NaN\n');
    expect(text).toContain('a_seconds -Inf\n');
  });

  it.each([
    [{ name: 'c', labels: {}, value: 1 }, /defined nowhere/],
    [{ name: 'b_total', labels: {}, value: 1 }, /defined are kind/],
    [{ name: 'a_seconds', labels: { kind: 'x' }, value: 1 }, /has the labels kind/],
  ])('%j is a bug, not a metric', (sample, why) => {
    expect(() => writeExposition(definitions, [sample])).toThrow(why);
  });

  it('the names are as Prometheus wants them', () => {
    for (const [name, { type, help, labels }] of Object.entries(metricDefinitions)) {
      expect(name).toMatch(/^holdfast_[a-z]+(_[a-z]+)*$/);
      expect(name.endsWith('_total'), name).toBe(type === 'counter');
      expect(help, name).not.toMatch(/\.$/);
      for (const label of labels) expect(label).toMatch(/^[a-z]+$/);
    }
  });

  it('the alert rules ask for metrics that exist, with labels that they have', () => {
    for (const file of ['platform', 'backups']) {
      const rules = readFileSync(join(import.meta.dirname, `../../deploy/prometheus/${file}.rules.yml`), 'utf8');
      const asked = [...rules.matchAll(/(holdfast_[a-z_]+)(?:\{([a-z]+)=)?/g)];
      expect(asked.length).toBeGreaterThan(10);
      for (const [, name, label] of asked) {
        expect(metricDefinitions, name).toHaveProperty([String(name)]);
        if (label !== undefined) expect(metricDefinitions[String(name)]?.labels).toContain(label);
      }
    }
  });
});
