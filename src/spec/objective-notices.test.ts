import { describe, expect, it } from 'vitest';
import { db, expectFaults, head, load, noticesIn } from '../../test/spec/expect-faults.ts';
import { formatFaults } from './fault.ts';

const withObjectives = (objectives: string, more = '') => `${head}components:\n${db}objectives: ${objectives}\n${more}`;

/** The notices with both of their lines, as text. */
async function contradictions(text: string): Promise<string[][]> {
  const lines = text.split('\n');
  const spec = await load({ 'orders.yaml': text });
  return spec.notices
    .filter((notice) => notice.other)
    .map(({ line, other, message }) => [lines[line - 1] as string, lines[(other?.line as number) - 1] as string, message]);
}

describe('[X-04] objectives that contradict each other are shown, never averaged', () => {
  it('[S4-35] a failure that may take longer than the platform may be gone', async () => {
    const text = withObjectives('\n  rto: 1h\n  scenarios:\n    zone: { rto: 5m }\n    total-loss: { rto: 2h, most: 4h }');
    expect(await contradictions(text)).toEqual([
      ['    total-loss: { rto: 2h, most: 4h }', '  rto: 1h', 'the platform may be gone for 1 h, and for 4 h after the loss of everything'],
    ]);
    const spec = await load({ 'orders.yaml': text });
    expect(spec.objectives.scenarios?.get('total-loss')).toEqual({ rtoMs: 7_200_000, mostMs: 14_400_000 });
  });
  it('is drawn with both lines', async () => {
    const text = withObjectives('\n  rto: 1h\n  scenarios:\n    total-loss: { rto: 2h }');
    const spec = await load({ 'orders.yaml': text });
    expect(formatFaults(spec.notices, new Map([['orders.yaml', text]])).split('\n')).toEqual([
      expect.stringMatching(/^orders\.yaml:\d+:24 {2}the platform may be gone for 1 h/),
      expect.stringMatching(/^ {2}\d+ | {5}total-loss: \{ rto: 2h \}/),
      expect.stringMatching(/\^$/),
      expect.stringMatching(/^ {2}\d+ | {3}rto: 1h/),
      expect.stringMatching(/\^$/),
      expect.stringMatching(/^ {2}hint: /),
    ]);
  });
  it('[S4-35] an outage as long as the objective breaks the availability of its month', async () => {
    expect(await contradictions(withObjectives('\n  rto: 1h\n  availability: 99.9%'))).toEqual([
      ['  availability: 99.9%', '  rto: 1h', 'this availability leaves 43 min 12 s of a month, and one outage may last 1 h'],
    ]);
    expect(await contradictions(withObjectives('{ rto: 40m, availability: 99.9% }'))).toEqual([]);
  });
  it('[S3-48] no loss over asynchronous replication', async () => {
    const text = `${head}components:\n${db}    replication: asynchronous\n    rpo: 0s\n`;
    expect(await contradictions(text)).toEqual([
      [
        '    replication: asynchronous',
        '    rpo: 0s',
        'nothing of orders-db may be lost, and its replication is asynchronous: what was acknowledged last is in one region only',
      ],
    ]);
    expect(await contradictions(text.replace('asynchronous', 'synchronous'))).toEqual([]);
    expect((await contradictions(withObjectives('{ rpo: 0s }')))[0]?.slice(0, 2)).toEqual([
      '    driver: memory-store',
      'objectives: { rpo: 0s }',
    ]);
  });
  it('more loss by one failure, and by the button, than the platform may have', async () => {
    expect(
      await contradictions(withObjectives('\n  rpo: 15m\n  scenarios:\n    corruption: { rpo: 6h }', 'failover:\n  loss-budget: 1h\n')),
    ).toEqual([
      ['    corruption: { rpo: 6h }', '  rpo: 15m', 'no more than 15 min of the newest data may be lost, and 6 h by a corruption'],
      ['  loss-budget: 1h', '  rpo: 15m', 'an automatic failover may lose 1 h, and the objective is 15 min'],
    ]);
  });
  it('a detection that alone takes longer than the recovery may', async () => {
    const watch = 'watch: { every: 30s, timeout: 3s, failures: 3 }\n';
    expect(await contradictions(withObjectives('{ rto: 60s }', watch))).toEqual([
      [
        'objectives: { rto: 60s }',
        'watch: { every: 30s, timeout: 3s, failures: 3 }',
        'a silent region counts as lost after 1 min 33 s (3 probes, then the grace), and the recovery may take 1 min in all',
      ],
    ]);
    expect(await contradictions(withObjectives('{ rto: 60s }', 'watch: { every: 5s, timeout: 3s, failures: 3 }\n'))).toEqual([]);
  });
  it('says nothing of objectives that agree', async () => {
    expect(
      await noticesIn(withObjectives('{ rto: 4h, rpo: 1h, scenarios: { node: { rto: 2m, most: 5m }, region: { rto: 30m, rpo: 15m } } }')),
    ).toEqual([]);
  });
});

describe('objectives of one kind of failure', () => {
  it('a limit below the target', () =>
    expectFaults(withObjectives('{ scenarios: { node: { rto: 10m, most: ▲5m } } }'), {
      message: /at most 5 min, and 10 min is what it should take/,
      hint: /rto is the target, most the limit/,
      path: 'objectives.scenarios.node.most',
    }));
  it('a failure that nobody knows', () =>
    expectFaults(withObjectives('{ scenarios: { ▲regions: { rto: 10m } } }'), {
      message: /unknown key "regions"/,
      hint: /"region"|process, node, zone/,
    }));
  it('a failure without an objective', () =>
    expectFaults(withObjectives('{ scenarios: { node: ▲{} } }'), { message: /no objective/, hint: /rto/ }));
});
