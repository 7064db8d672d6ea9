import { afterEach, describe, expect, it } from 'vitest';
import { holdfast } from '../../test/fakes/toy-command-line.ts';
import { ToyPlatform } from '../../test/fakes/toy-control.ts';
import { toySpecText } from '../../test/fakes/toy-platform.ts';
import { MetricsReader } from '../control/metrics/metrics-reader.ts';
import { answerMetrics } from './serve-metrics.ts';

let platform: ToyPlatform;
afterEach(() => platform.close());

const get = (reader: MetricsReader, path: string, method = 'GET') => answerMetrics(reader, { method, path });

describe('what a controller tells Prometheus', () => {
  it('[S1-06] [S1-39] sites, roles, the verdict, what would be lost, who watches; and after a failover how long its steps took', async () => {
    platform = new ToyPlatform(toySpecText());
    const { control } = await platform.serve({ onEvent: (event, state) => reader.counts.count(event, state) });
    const reader = new MetricsReader(control, { version: '9.9.9' });
    await platform.host.clock.advance(5_000);
    const before = (await get(reader, '/metrics')).body;
    for (const line of [
      'holdfast_build_info{version="9.9.9"} 1',
      'holdfast_state_readable 1',
      'holdfast_site_up{component="db",region="east"} 1',
      'holdfast_site_role{component="db",region="west",role="standby"} 1',
      'holdfast_active_region{region="east"} 1',
      'holdfast_region_verdict{region="east",state="healthy"} 1',
      'holdfast_region_verdict{region="east",state="lost"} 0',
      'holdfast_ready{losing="east"} 1',
      'holdfast_readiness_faults{losing="east",severity="problem"} 0',
      'holdfast_rpo_now_seconds{component="db",target="west"} 0',
      'holdfast_rpo_objective_seconds{component="db"} 10',
      'holdfast_controller_up{controller="serve-1"} 1',
      'holdfast_controller_leads{controller="serve-1"} 1',
    ])
      expect(before.split('\n')).toContain(line);
    expect(before).not.toContain('holdfast_step_duration_seconds');

    platform.world.kill('east');
    await platform.until(
      async () => (await get(reader, '/metrics')).body.includes('holdfast_executions_ended_total{kind="failover",outcome="done"} 1'),
      120_000,
    );
    await platform.host.clock.advance(2_000);
    const after = (await get(reader, '/metrics')).body;
    for (const line of [
      'holdfast_site_up{component="db",region="east"} 0',
      'holdfast_site_state{component="db",region="east",state="down"} 1',
      'holdfast_site_role{component="db",region="west",role="primary"} 1',
      'holdfast_active_region{region="west"} 1',
      'holdfast_active_region{region="east"} 0',
      'holdfast_epoch 2',
      'holdfast_step_duration_seconds_count{verb="promote",result="applied"} 1',
      'holdfast_step_duration_seconds_bucket{verb="promote",result="applied",le="+Inf"} 1',
      '# TYPE holdfast_step_duration_seconds histogram',
    ])
      expect(after.split('\n')).toContain(line);
    expect(after).toMatch(/^holdfast_rto_measured_seconds\{region="west"\} [\d.]+$/m);
  });

  it('[I5] a state that does not answer is asked once, whoever asks; the answer comes in time, and says what is missing', async () => {
    platform = new ToyPlatform(toySpecText());
    let hangs = false;
    let asked = 0;
    const plain = platform.state.open();
    const store = new Proxy(plain, {
      get: (target, name) => {
        if (name !== 'readLease') return Reflect.get(target, name);
        return (lease: string) => {
          asked += 1;
          return hangs ? new Promise(() => {}) : target.readLease(lease);
        };
      },
    });
    const control = await platform.control({ store });
    await control.startWatching();
    await platform.host.clock.advance(2_000);
    const reader = new MetricsReader(control, { version: '1' });
    expect((await get(reader, '/metrics')).body).toContain('holdfast_epoch 1');
    for (let more = 0; more < 50; more += 1) await get(reader, '/metrics');
    expect(asked).toBe(1);

    hangs = true;
    await platform.host.clock.advance(1_100);
    let answers = 0;
    const asking = Array.from({ length: 20 }, () =>
      get(reader, '/metrics').then(({ body }) => {
        answers += 1;
        return body;
      }),
    );
    await platform.host.clock.advance(1_900);
    expect(answers).toBe(0);
    await platform.host.clock.advance(200);
    for (const body of await Promise.all(asking)) {
      expect(body).toContain('holdfast_state_readable 0');
      expect(body).toContain('holdfast_site_up{component="db",region="east"} 1');
      expect(body).not.toContain('holdfast_epoch');
    }
    expect(asked).toBe(2);
    await control.close();
  });

  it('is alive as long as it answers, and ready once it watches and can read the state', async () => {
    platform = new ToyPlatform(toySpecText());
    const control = await platform.control();
    const reader = new MetricsReader(control, { version: '1' });
    expect(await get(reader, '/healthz')).toMatchObject({ status: 200, body: 'ok\n' });
    expect(await get(reader, '/readyz')).toMatchObject({ status: 503, body: 'the sites are not watched yet\n' });
    await control.startWatching();
    expect(await get(reader, '/readyz')).toMatchObject({ status: 200 });
    await control.close();
  });

  it('takes only questions, and knows only its paths', async () => {
    platform = new ToyPlatform(toySpecText());
    const reader = new MetricsReader(await platform.control(), { version: '1' });
    expect((await get(reader, '/metrics', 'POST')).status).toBe(405);
    expect((await get(reader, '/state')).status).toBe(404);
  });
});

describe('holdfast serve --metrics', () => {
  it('an address that is none is bad usage; one that can not be had ends it before anything is begun', async () => {
    platform = new ToyPlatform(toySpecText());
    const wrong = await holdfast(platform, ['serve', '--metrics', 'somewhere']);
    expect([wrong.code, wrong.err]).toEqual([2, expect.stringContaining('give a port, or HOST:PORT')]);
    const nowhere = await holdfast(platform, ['serve', '--metrics', '9484']);
    expect([nowhere.code, nowhere.err]).toEqual([1, expect.stringContaining('can not answer over the network')]);
    expect(await platform.state.open().readLease('serve')).toBeUndefined();
  });
});
