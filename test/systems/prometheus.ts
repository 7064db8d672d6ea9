/** A real Prometheus that scrapes what it is told to, once a second, and judges rules as often. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort } from './ports.ts';
import { requireProgram } from './programs.ts';
import { type Running, startServer } from './server-process.ts';
import { serverDirectory } from './temporary-directory.ts';

export interface PrometheusOptions {
  /** `127.0.0.1:9484`. */
  readonly targets: readonly string[];
  /** Texts of rule files. */
  readonly rules?: readonly string[];
  readonly address?: string;
  readonly dir?: string;
  readonly outliveParent?: boolean;
}

export interface Alert {
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly state: 'pending' | 'firing';
}

export interface RunningPrometheus extends Running {
  /** The answer to an instant query: labels and the value. */
  query(expression: string): Promise<readonly { readonly labels: Readonly<Record<string, string>>; readonly value: number }[]>;
  alerts(): Promise<readonly Alert[]>;
  /** What it says of each of its targets: `up`, or why not. */
  targets(): Promise<readonly { readonly health: string; readonly lastError: string }[]>;
}

export async function startPrometheus(options: PrometheusOptions): Promise<RunningPrometheus> {
  const address = options.address ?? '127.0.0.1';
  const port = await freePort(address);
  const dir = await serverDirectory(options.dir, 'prometheus', options);
  const files = (options.rules ?? []).map((_, at) => `rules-${at}.yml`);
  for (const [at, file] of files.entries()) await writeFile(join(dir, file), options.rules?.[at] ?? '');
  // JSON is YAML.
  const configuration = {
    global: { scrape_interval: '1s', scrape_timeout: '1s', evaluation_interval: '1s' },
    rule_files: files,
    scrape_configs: [{ job_name: 'holdfast', static_configs: [{ targets: options.targets }] }],
  };
  await writeFile(join(dir, 'prometheus.yml'), JSON.stringify(configuration));
  const base = `http://${address}:${port}`;
  const running = await startServer({
    name: `prometheus ${address}:${port}`,
    address,
    port,
    dir,
    command: [
      requireProgram('prometheus'),
      `--config.file=${join(dir, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(dir, 'data')}`,
      `--web.listen-address=${address}:${port}`,
    ],
    isReady: async () => (await fetch(`${base}/-/ready`, { signal: AbortSignal.timeout(2_000) })).status === 200,
    outliveParent: options.outliveParent ?? false,
  });
  // biome-ignore lint/suspicious/noExplicitAny: each question knows the shape of its answer.
  const ask = async (path: string): Promise<any> => {
    const response = await fetch(`${base}/api/v1/${path}`, { signal: AbortSignal.timeout(5_000) });
    const { status, data, error } = (await response.json()) as { status: string; data: unknown; error?: string };
    if (status !== 'success') throw new Error(`prometheus: ${error}`);
    return data;
  };
  return Object.assign(running, {
    query: async (expression: string) => {
      const { result } = await ask(`query?query=${encodeURIComponent(expression)}`);
      return (result as { metric: Record<string, string>; value: [number, string] }[]).map(({ metric, value }) => ({
        labels: metric,
        value: Number(value[1]),
      }));
    },
    alerts: async () => (await ask('alerts')).alerts as readonly Alert[],
    targets: async () => (await ask('targets')).activeTargets as readonly { health: string; lastError: string }[],
  });
}
