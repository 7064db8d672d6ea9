/** A real Prometheus scrapes a real controller over a real PostgreSQL, and the alert rules that we give to people fire in it. */
import { execFileSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startTwoRegions, type TwoRegions } from '../../examples/demo/two-regions.ts';
import { repositoryDirectory, requireProgram } from '../systems/programs.ts';
import { type RunningPrometheus, startPrometheus } from '../systems/prometheus.ts';
import { describeSystem } from '../systems/requirement.ts';
import { type RunningProgram, runHoldfast, startHoldfast, until, type Where } from './holdfast-program.ts';

const passphrase = 'a long sentence that nobody guesses';

/** The rules as they are delivered, but for the time that a trouble must last: minutes are for people. */
async function rulesInAHurry(name: string): Promise<string> {
  const text = await readFile(join(repositoryDirectory, 'deploy', 'prometheus', name), 'utf8');
  return text.replaceAll(/for: \d+[mhd]/g, 'for: 1s');
}

describeSystem(['postgresql', 'sshd', 'prometheus'], 'metrics', () => {
  let regions: TwoRegions;
  let where: Where;
  let serve: RunningProgram;
  let prometheus: RunningPrometheus;
  let url = '';
  const stuck: Socket[] = [];

  beforeAll(async () => {
    regions = await startTwoRegions({ databaseOnly: true, automatic: false });
    const spec = await readFile(regions.specFile, 'utf8');
    const backup =
      '    backup:\n      - { what: base, every: "0 3 * * *", keep: { proven: 2, days: 30d }, prove: { every: monthly, level: P4, within: 1h } }\n';
    await writeFile(
      regions.specFile,
      `${spec.replace(/^( {2}orders-db:\n)/m, `$1${backup}`)}repositories:\n  main: { driver: filesystem, path: ${join(regions.directory, 'repository')}, encryption: { passphrase: { env: BACKUP_PASSPHRASE } } }\n`,
    );
    where = { ...regions, env: { ...regions.env, BACKUP_PASSPHRASE: passphrase } };
    const made = await runHoldfast(where, ['repository', 'create', 'main', '--recovery-key-file', join(regions.directory, 'recovery.key')]);
    expect(made, made.err).toMatchObject({ exitCode: 0 });
    serve = startHoldfast(where, ['serve', '--metrics', '0'], { timeoutMs: 600_000 });
    url = await until('serve tells where its metrics are', () => serve.events.find(({ event }) => event === 'metrics')?.url, 20_000);
    prometheus = await startPrometheus({
      targets: [new URL(url).host],
      rules: [await rulesInAHurry('platform.rules.yml'), await rulesInAHurry('backups.rules.yml')],
    });
    // From here on to the end: some who never ask, and some who never read.
    for (let count = 0; count < 10; count += 1) {
      const { hostname, port } = new URL(url);
      const socket = connect({ host: hostname, port: Number(port) }).on('error', () => undefined);
      if (count % 2 === 0) socket.write('GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n');
      socket.pause();
      stuck.push(socket);
    }
  }, 120_000);

  afterAll(async () => {
    for (const socket of stuck) socket.destroy();
    await prometheus?.stop();
    await serve?.stop();
    await regions?.stop();
  }, 60_000);

  const firing = async () => (await prometheus.alerts()).filter(({ state }) => state === 'firing');
  const isFiring = (alert: string, labels: Readonly<Record<string, string>>) =>
    until(
      `${alert} fires`,
      async () =>
        (await firing()).find(
          (one) => one.labels['alertname'] === alert && Object.entries(labels).every(([name, value]) => one.labels[name] === value),
        ),
      30_000,
    );

  it('[S1-06] [S1-39] Prometheus scrapes it, and its own tool has nothing to say against the text', async () => {
    const query = (expression: string, what: string) =>
      until(what, async () => ((await prometheus.query(expression)).length > 0 ? await prometheus.query(expression) : undefined));
    expect(await query('holdfast_ready{losing="us-east-1"} == 1', 'the platform is ready')).toHaveLength(1);
    expect((await prometheus.targets()).map(({ health, lastError }) => `${health}${lastError}`)).toEqual(['up']);
    expect(
      (await prometheus.query('holdfast_site_up == 1')).map(({ labels }) => `${labels['component']} ${labels['region']}`).sort(),
    ).toEqual(['orders-db us-east-1', 'orders-db us-west-2']);
    expect(await query('holdfast_replication_lag_seconds or holdfast_replication_lag_bytes', 'a lag')).not.toEqual([]);
    expect((await query('time() - holdfast_canary_acknowledged_timestamp_seconds', 'canaries'))[0]?.value).toBeLessThan(10);
    await query('holdfast_executions_ended_total{kind="backup",outcome="done"} == 1', 'the first backup has ended');
    expect(await query('histogram_quantile(0.5, sum by (le) (holdfast_step_duration_seconds_bucket))', 'durations')).toHaveLength(1);
    const text = await (await fetch(url)).text();
    expect(execFileSync(requireProgram('promtool'), ['check', 'metrics'], { input: text, encoding: 'utf8' })).toBe('');
  });

  it('[S4-52] [S4-51] alarms of backups fire: a backup that was never proven', async () => {
    const { annotations } = await isFiring('HoldfastBackupUnproven', { component: 'orders-db', what: 'base' });
    expect(annotations['summary']).toBe('No base backup of orders-db was ever proven');
    expect((await firing()).filter(({ labels }) => labels['alertname'] === 'HoldfastBackupKeyUnreachable')).toEqual([]);
  });

  it('[I8] no secret is told, and a second one on the same port is refused in words', async () => {
    const text = await (await fetch(url)).text();
    expect(text).toContain('holdfast_backup_key_reachable{repository="main"} 1');
    for (const [name, value] of Object.entries(where.env)) if (/PASS|KEY|SECRET/.test(name)) expect(text).not.toContain(value);
    expect(text).not.toMatch(/127\.0\.0\.1|password/i);
    const { port } = new URL(url);
    const second = await runHoldfast(where, ['serve', '--metrics', port]);
    expect(second).toMatchObject({
      exitCode: 1,
      json: { error: { code: 'SYSTEM_REFUSED', message: expect.stringContaining('another process has that port') } },
    });
  });

  it('[E1-09] a standby that goes is an alarm within seconds, with scrapers that hang all the while; so is a controller that goes', async () => {
    expect((await fetch(new URL('/healthz', url))).status).toBe(200);
    expect((await fetch(new URL('/readyz', url))).status).toBe(200);
    expect((await firing()).filter(({ labels }) => labels['alertname'] === 'HoldfastSiteDown')).toEqual([]);
    await regions.regions['us-west-2'].database.kill();
    await isFiring('HoldfastSiteDown', { component: 'orders-db', region: 'us-west-2' });
    await isFiring('HoldfastNotReady', { losing: 'us-east-1' });
    await serve.stop();
    await isFiring('HoldfastGone', {});
    await isFiring('HoldfastBackupMetricsMissing', {});
  });
});
