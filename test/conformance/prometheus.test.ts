/** Signals of health on a real Prometheus that scrapes real samples; and what answers in its place. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Secret } from '../../src/base/secret.ts';
import { driver } from '../../src/drivers/prometheus/driver.ts';
import { type FaultyHttp, startFaultyHttp } from '../systems/faulty-http.ts';
import { waitFor } from '../systems/http-service.ts';
import { type RunningPrometheus, startPrometheus } from '../systems/prometheus.ts';
import { describeSystem } from '../systems/requirement.ts';
import { type SampleExporter, startSampleExporter } from '../systems/sample-exporter.ts';
import { realHost } from './dns-route-subjects.ts';
import { openDriverSite } from './open-site.ts';
import { newJournal, stepContext } from './step-runner.ts';

const probe = () => AbortSignal.timeout(10_000);
const window = '[4s]';
const total = `sum(rate(requests_total{region="$region"}${window}))`;
const errorRate = {
  query: `sum(rate(requests_total{code=~"5..",region="$region"}${window})) / ${total}`,
  above: 0.5,
  traffic: total,
  series: 'requests_total{region="$region"}',
};
const p95 = {
  query: `histogram_quantile(0.95, sum by (le) (rate(seconds_bucket{region="$region"}${window})))`,
  above: 10,
  series: 'seconds_bucket{region="$region"}',
};

const open = (url: string, label: string, signals: object, more: object = {}, site: object = {}) =>
  openDriverSite(driver, {
    host: realHost,
    options: { signals, 'fresh-within': '10s', ...more },
    site: { url, label, ...site },
    probeTimeoutMs: 5_000,
  });

/** Requests and errors that grow by so much with each scrape. */
function requests(scrape: number, region: string, good: number, bad: number): readonly string[] {
  return [
    `requests_total{region="${region}",code="200"} ${good * scrape}`,
    `requests_total{region="${region}",code="500"} ${bad * scrape}`,
  ];
}

/** A histogram in which, with each scrape, so many take up to 10 s and so many up to 20 s. */
function durations(scrape: number, region: string, quick: number, slow: number): readonly string[] {
  return [
    `seconds_bucket{region="${region}",le="5"} 0`,
    `seconds_bucket{region="${region}",le="10"} ${quick * scrape}`,
    `seconds_bucket{region="${region}",le="20"} ${(quick + slow) * scrape}`,
    `seconds_bucket{region="${region}",le="+Inf"} ${(quick + slow) * scrape}`,
  ];
}

describeSystem('prometheus', 'signals of health', () => {
  let exporter: SampleExporter;
  let mortal: SampleExporter;
  let prometheus: RunningPrometheus;
  let url: string;
  beforeAll(async () => {
    exporter = await startSampleExporter((scrape) => [
      ...requests(scrape, 'half', 5, 5),
      ...requests(scrape, 'bad', 5, 6),
      ...requests(scrape, 'fine', 99, 1),
      ...requests(scrape, 'idle', 0, 0),
      `requests_total{region="flawless",code="200"} ${scrape}`,
      ...durations(scrape, 'bound', 95, 5),
      ...durations(scrape, 'slow', 94, 6),
      ...durations(scrape, 'nobody', 0, 0),
    ]);
    mortal = await startSampleExporter((scrape) => requests(scrape, 'mortal', 9, 1));
    prometheus = await startPrometheus({ targets: [exporter.target, mortal.target] });
    url = `http://${prometheus.address}:${prometheus.port}`;
    await waitFor(async () => Math.min(exporter.scrapes(), mortal.scrapes()) > 5, 'enough samples', 20_000);
  });
  afterAll(async () => {
    await prometheus?.stop();
    await exporter?.stop();
    await mortal?.stop();
  });

  it.each([
    ['fine', 'up', 'answered'],
    ['half', 'up', 'answered'],
    ['bad', 'down', 'wrong-answer'],
    ['idle', 'unknown', 'error'],
    ['flawless', 'unknown', 'error'],
    ['nowhere', 'unknown', 'error'],
  ] as const)('[S3-08] the error rate of a region that is %s: %s', async (region, health, kind) => {
    expect(await open(url, region, { 'error-rate': errorRate }).observe(probe())).toMatchObject({ health, evidence: { kind } });
  });

  it('takes no errors for none where the query says so, and no requests still for nothing', async () => {
    const query = `(sum(rate(requests_total{code=~"5..",region="$region"}${window})) or vector(0)) / ${total}`;
    const signals = { 'error-rate': { ...errorRate, query } };
    expect(await open(url, 'flawless', signals).observe(probe())).toMatchObject({ health: 'up' });
    expect(await open(url, 'idle', signals).observe(probe())).toMatchObject({ health: 'unknown' });
    expect(await open(url, 'nowhere', signals).observe(probe())).toMatchObject({ health: 'unknown' });
  });

  it.each([
    ['bound', 'up'],
    ['slow', 'down'],
    ['nobody', 'unknown'],
    ['nowhere', 'unknown'],
  ] as const)('[S3-09] the 95th percentile of a region that is %s: %s', async (region, health) => {
    expect(await open(url, region, { p95 }).observe(probe())).toMatchObject({ health });
  });

  it('one that is ill outweighs one that says nothing, which outweighs those that are well', async () => {
    const up = { query: 'up', below: 1, series: 'up' };
    const none = { query: 'no_such_series', above: 1, series: 'no_such_series' };
    expect((await open(url, 'bad', { rate: errorRate, none, up }).observe(probe())).health).toBe('down');
    expect((await open(url, 'fine', { rate: errorRate, none, up }).observe(probe())).health).toBe('unknown');
    expect((await open(url, 'fine', { rate: errorRate, up }).observe(probe())).health).toBe('up');
  });

  it('judges every series that a query gives', async () => {
    const each = { query: `rate(requests_total{code="500"}${window})`, above: 5.5, series: 'requests_total' };
    const reading = await open(url, '-', { each }).observe(probe());
    expect(reading).toMatchObject({ health: 'down', evidence: { detail: expect.stringContaining('region="bad"') } });
  });

  it('says nothing by too little traffic', async () => {
    const signals = { 'error-rate': { ...errorRate, 'traffic-at-least': 1_000 } };
    expect(await open(url, 'bad', signals).observe(probe())).toMatchObject({
      health: 'unknown',
      evidence: { detail: expect.stringContaining('too little traffic') },
    });
  });

  it('names an expression that is none', async () => {
    const reading = await open(url, 'fine', { rate: { ...errorRate, query: 'sum(rate(' } }).observe(probe());
    expect(reading).toMatchObject({
      health: 'unknown',
      faults: [{ severity: 'problem', message: expect.stringContaining('does not understand') }],
    });
  });

  it('[S3-58] the verb check is done when the signals are well, and waits when not', async () => {
    const context = () => stepContext(realHost, newJournal());
    expect(
      await open(url, 'fine', { 'error-rate': errorRate, up: { query: 'up', below: 1, series: 'up' } }).verbs.check?.inspect({}, context()),
    ).toMatchObject({
      state: 'done',
      output: { detail: expect.stringMatching(/^error-rate is 0\.0/) },
    });
    expect(await open(url, 'bad', { 'error-rate': errorRate }).verbs.check?.inspect({}, context())).toMatchObject({ state: 'pending' });
    expect(await open(url, 'idle', { 'error-rate': errorRate }).verbs.check?.inspect({}, context())).toMatchObject({ state: 'pending' });
  });

  it('[S3-21] [S3-23] a bake wants every point well from when it began, and fails at errors that come', async () => {
    const context = (journal = newJournal()) => stepContext(realHost, journal);
    const bake = { bake: '2s', 'bake-step': '1s' };
    const journal = newJournal();
    const good = open(url, 'fine', { 'error-rate': errorRate }, bake);
    expect(await good.verbs.check?.inspect({}, context(journal))).toMatchObject({ state: 'absent' });
    await good.verbs.check?.apply({}, context(journal));
    expect(await good.verbs.check?.inspect({}, context(journal))).toMatchObject({
      state: 'pending',
      why: expect.stringContaining('watched for'),
    });
    await expect.poll(async () => (await good.verbs.check?.inspect({}, context(journal)))?.state, { timeout: 15_000 }).toBe('done');
    const ill = newJournal();
    const bad = open(url, 'bad', { 'error-rate': errorRate }, bake);
    await bad.verbs.check?.apply({}, context(ill));
    await expect(bad.verbs.check?.inspect({}, context(ill))).rejects.toMatchObject({ code: 'STEP_FAILED', kind: 'refused' });
    const late = newJournal();
    late.note = { begunMs: realHost.clock.nowMs() - 600_000 };
    const gap = open(url, 'fine', { 'error-rate': errorRate }, { bake: '10m', 'bake-step': '1s' });
    expect(await gap.verbs.check?.inspect({}, context(late))).toMatchObject({
      state: 'pending',
      why: expect.stringContaining('points over'),
    });
  });

  it('takes samples that have become old for nothing, though Prometheus still gives them', async () => {
    const signals = {
      'error-rate': {
        ...errorRate,
        query: 'last_over_time(requests_total{code="500",region="$region"}[5m]) * 0',
        above: 0,
        traffic: undefined,
      },
    };
    const site = open(url, 'mortal', signals, { 'fresh-within': '3s' });
    expect((await site.observe(probe())).health).toBe('up');
    await mortal.stop();
    await expect
      .poll(async () => (await site.observe(probe())).evidence, { timeout: 20_000 })
      .toMatchObject({
        kind: 'error',
        detail: expect.stringMatching(/old|no series/),
      });
  });

  it('[E3-01] a Prometheus that is gone or silent says nothing of the region', async () => {
    const site = openDriverSite(driver, {
      host: realHost,
      options: { signals: { errorless: { ...errorRate } } },
      site: { url, label: 'bad' },
      probeTimeoutMs: 300,
    });
    await prometheus.pause();
    expect(await site.observe(probe())).toMatchObject({ health: 'unknown', evidence: { kind: 'error' } });
    await prometheus.resume();
    await prometheus.kill();
    expect(await site.observe(probe())).toMatchObject({ health: 'unknown', evidence: { kind: 'error' } });
  });
});

describe('answers that are not those of Prometheus (stand-in)', () => {
  let server: FaultyHttp;
  beforeAll(async () => {
    server = await startFaultyHttp('server-error');
  });
  afterAll(() => server?.stop());
  const look = async (site: object = {}) =>
    openDriverSite(driver, {
      host: realHost,
      options: { signals: { up: { query: 'up', below: 1, series: 'up' } } },
      site: { url: server.url, ...site },
      probeTimeoutMs: 300,
    }).observe(probe());
  const vector = (value: string, extra = '') =>
    `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"${value}"]}]}${extra}}`;

  it.each([
    ['too-many-requests', 'error'],
    ['server-error', 'error'],
    ['unavailable', 'error'],
    ['unauthorized', 'not-allowed'],
    ['forbidden', 'not-allowed'],
    ['web-page', 'error'],
    ['empty-body', 'error'],
    ['empty-object', 'error'],
    ['half-json', 'error'],
    ['cut-off', 'error'],
    ['reset', 'error'],
    ['hang', 'error'],
  ] as const)('%s is unknown', async (answer, kind) => {
    server.become(answer);
    expect(await look()).toMatchObject({ health: 'unknown', evidence: { kind } });
  });

  it('a partial answer, a text for a number and an answer of another form are unknown; a whole one is up', async () => {
    server.become(() => ({ body: vector('1') }));
    expect((await look()).health).toBe('up');
    for (const body of [
      vector('1', ',"warnings":["store is unavailable"]'),
      vector('many'),
      vector(''),
      vector('NaN'),
      '{"status":"success","data":{"resultType":"string","result":[1,"1"]}}',
    ]) {
      server.become(() => ({ body }));
      expect((await look()).health, body).toBe('unknown');
    }
  });

  it('sends a token, and does not tell it', async () => {
    server.become(() => ({ status: 400, body: '{"status":"error","errorType":"bad_data","error":"what is Bearer token-of-the-test"}' }));
    const reading = await look({ headers: { Authorization: new Secret('Bearer token-of-the-test', 'env:T') } });
    expect(reading.faults).toHaveLength(1);
    expect(JSON.stringify(reading)).not.toContain('token-of-the-test');
  });

  it('a certificate that is not trusted is unknown', async () => {
    const tls = await startFaultyHttp(() => ({ body: vector('1') }), { tls: true });
    try {
      const site = openDriverSite(driver, {
        host: realHost,
        options: { signals: { up: { query: 'up', below: 1, series: 'up' } } },
        site: { url: tls.url },
      });
      expect(await site.observe(probe())).toMatchObject({ health: 'unknown', evidence: { kind: 'error' } });
    } finally {
      await tls.stop();
    }
  });
});

describe('signals: what a spec may not say', () => {
  it.each([
    [{}, 'there are no signals'],
    [{ rate: { query: 'up', series: 'up' } }, 'has no bound'],
    [{ rate: { query: 'up', series: 'up', above: 1, below: 2 } }, 'no value of rate is well'],
  ])('%j', (signals, message) => {
    expect(() => open('http://127.0.0.1:1', 'east', signals)).toThrow(message);
  });
});
