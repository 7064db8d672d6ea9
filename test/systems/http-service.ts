/**
 * A real HTTP service in a process of its own, with the troubles that a health check must tell apart: hung, slow, failing, resetting, the wrong page, nothing listening.
 *
 * Its directory holds `replicas` and `mood`, which it follows, and two programs that a spec may name as commands: `scale N` and `count`.
 */
import { chmod, readFile, rename, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from './ports.ts';
import { type Running, startServer } from './server-process.ts';
import { temporaryDirectory } from './temporary-directory.ts';

export type ServiceMood = 'healthy' | 'checking' | 'failing' | 'html' | 'hung' | 'slow' | 'reset';

export interface RunningHttpService extends Running {
  readonly url: string;
  /** The programs that scale and count. */
  readonly scaleProgram: string;
  readonly countProgram: string;
  become(mood: ServiceMood): Promise<void>;
  /** Sets the number of replicas; resolves once it listens, or no longer does. */
  setReplicas(count: number): Promise<void>;
  replicas(): Promise<number>;
}

/** The command that runs the service by hand: for tests that start it as a user would. */
export function httpServiceCommand(port: number, directory: string): readonly string[] {
  return [process.execPath, fileURLToPath(new URL('./http-service-program.ts', import.meta.url)), String(port), directory];
}

export async function startHttpService(options: { readonly replicas?: number } = {}): Promise<RunningHttpService> {
  const dir = await temporaryDirectory('http-service');
  const port = await freePort();
  await writeServiceFile(dir, 'replicas', '1');
  const scaleProgram = join(dir, 'scale');
  const countProgram = join(dir, 'count');
  await writeFile(
    scaleProgram,
    `#!/bin/sh\necho "$1" >'${dir}/replicas.new' && mv '${dir}/replicas.new' '${dir}/replicas' && echo "$1" >>'${dir}/scaled'\n`,
  );
  await writeFile(countProgram, `#!/bin/sh\ncat '${dir}/replicas'\n`);
  await chmod(scaleProgram, 0o755);
  await chmod(countProgram, 0o755);
  const running = await startServer({
    name: 'http-service',
    address: '127.0.0.1',
    port,
    dir,
    command: httpServiceCommand(port, dir),
    isReady: () => listensOn(port),
  });
  const service: RunningHttpService = Object.defineProperties(
    {
      url: `http://127.0.0.1:${port}`,
      scaleProgram,
      countProgram,
      become: (mood: ServiceMood) => writeServiceFile(dir, 'mood', mood),
      setReplicas: async (count: number) => {
        await writeServiceFile(dir, 'replicas', String(count));
        await waitFor(async () => (await listensOn(port)) === count > 0, `the service to follow ${count} replicas`);
      },
      replicas: async () => Number(await readFile(join(dir, 'replicas'), 'utf8')),
    } as RunningHttpService,
    Object.getOwnPropertyDescriptors(running),
  );
  await service.setReplicas(options.replicas ?? 1);
  return service;
}

/** Readers see the old content or the new, whole. */
async function writeServiceFile(dir: string, name: string, content: string): Promise<void> {
  await writeFile(join(dir, `${name}.new`), content);
  await rename(join(dir, `${name}.new`), join(dir, name));
}

export async function setMood(dir: string, mood: ServiceMood): Promise<void> {
  await writeServiceFile(dir, 'mood', mood);
}

export function listensOn(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

export async function waitFor(condition: () => boolean | Promise<boolean>, what: string, timeoutMs = 10_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`waited ${timeoutMs} ms in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
