/** Numbers for a monitoring system: what there is (a definition for each name) and what it is now (samples). */

export type MetricType = 'gauge' | 'counter' | 'histogram';

export interface MetricDefinition {
  readonly type: MetricType;
  /** One sentence without a full stop. */
  readonly help: string;
  /** The labels that each sample of it carries. */
  readonly labels: readonly string[];
}

export interface MetricSample {
  readonly name: string;
  /** Of a histogram: which of its series. */
  readonly suffix?: '_bucket' | '_sum' | '_count';
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}
