/** A real `holdfast serve` in a region, and commands that a person runs there. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Namespace } from '../../systems/network-namespaces.ts';
import { runProgram } from '../../systems/run-program.ts';
import { type Running, startServer } from '../../systems/server-process.ts';
import { temporaryDirectory } from '../../systems/temporary-directory.ts';
import { controllerGroup, mainProgram, nodeProgram, type ServeEvent } from '../holdfast-program.ts';

export interface ControllerPlace {
  readonly region: string;
  readonly namespace: Namespace;
  readonly env: Readonly<Record<string, string>>;
  /** Of the server only, not of commands. */
  readonly serveEnv: Readonly<Record<string, string>>;
  /** Words after `serve`. */
  readonly serveArguments: readonly string[];
}

export interface Controller {
  readonly running: Running;
  /** What it has said so far, all its lives together. */
  events(): readonly ServeEvent[];
}

export interface CommandEnd {
  readonly exitCode: number | null;
  // biome-ignore lint/suspicious/noExplicitAny: each caller knows the shape that it asks for.
  readonly json: any;
  readonly err: string;
}

/** Whatever a controller starts, its hands included, belongs to this group: so the packet filter can tell it from the region's other programs. */
const asControllerGroup = ['setpriv', `--regid=${controllerGroup}`, '--keep-groups', '--'];

export async function startController(place: ControllerPlace): Promise<Controller> {
  const directory = await temporaryDirectory(`controller-${place.region}`);
  const file = join(directory, 'output.log');
  const events = (): readonly ServeEvent[] =>
    readFileSync(file, 'utf8')
      .split('\n')
      .filter((line) => line.startsWith('{"event"'))
      .flatMap((line) => {
        try {
          return [JSON.parse(line) as ServeEvent];
        } catch {
          return []; // It is being written.
        }
      });
  let lives = 0;
  const running = await startServer({
    name: `controller in ${place.region}`,
    address: place.namespace.address,
    port: 0,
    dir: directory,
    command: [...place.namespace.commandPrefix, ...asControllerGroup, nodeProgram, mainProgram, 'serve', ...place.serveArguments, '--json'],
    env: { HOME: directory, NO_COLOR: '1', ...place.env, ...place.serveEnv },
    prepare: async () => {
      lives += 1;
    },
    isReady: async () => events().filter((event) => event.event === 'started').length >= lives,
    readyTimeoutMs: 60_000,
  });
  return { running, events };
}

export async function runCommand(place: ControllerPlace, words: readonly string[], timeoutMs = 60_000): Promise<CommandEnd> {
  const command = [...place.namespace.commandPrefix, nodeProgram, mainProgram, ...words, '--json'];
  const { exitCode, stdout, stderr } = await runProgram(command, {
    env: { HOME: '/root', NO_COLOR: '1', ...place.env },
    timeoutMs,
    anyExit: true,
  });
  const last = stdout.trimEnd().split('\n').at(-1) ?? '';
  try {
    return { exitCode, json: JSON.parse(last), err: stderr };
  } catch {
    throw new Error(`holdfast ${words.join(' ')} ended with ${exitCode} and no JSON: ${stdout.slice(-1_000)} ${stderr.slice(-1_000)}`);
  }
}
