/** Command lines on a toy platform: run as the program runs them, with a terminal that keeps what was said. Virtual time goes by while a command runs. */
import { serveMetrics } from '../../src/api/serve-metrics.ts';
import { runCommandLine } from '../../src/cli/program.ts';
import type { Terminal } from '../../src/cli/terminal.ts';
import type { StateStore } from '../../src/contracts/state-store.ts';
import type { ToyPlatform } from './toy-control.ts';

export interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  /** The last line of the answer, as JSON. */
  readonly json: () => Record<string, unknown>;
}

export interface RunParts {
  /** Somebody is there: their answers, in order; undefined ends the input. */
  readonly answers?: readonly (string | undefined)[];
  readonly signal?: AbortSignal;
  readonly person?: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** Called after each step of virtual time. */
  readonly meanwhile?: (said: string) => void | Promise<void>;
  readonly withinMs?: number;
  /** The state as this command reaches it. */
  readonly openStore?: () => Promise<StateStore>;
}

let pid = 4_000;

/** Runs to its end; throws when the command does not end within the virtual time. */
export async function holdfast(platform: ToyPlatform, argv: readonly string[], parts: RunParts = {}): Promise<Ended> {
  const out: string[] = [];
  const err: string[] = [];
  const answers = [...(parts.answers ?? [])];
  const terminal: Terminal = {
    out: (text) => out.push(text),
    err: (text) => err.push(text),
    interactive: parts.answers !== undefined,
    color: false,
    columns: 120,
    rows: 40,
    ask: async (question) => {
      out.push(question);
      return answers.shift();
    },
    redraw: (text) => out.push(text),
  };
  pid += 1;
  let code: number | undefined;
  const running = runCommandLine(argv, {
    version: '9.9.9',
    catalog: platform.catalog,
    repositories: platform.repositories,
    terminal,
    pid,
    person: parts.person ?? 'ann',
    environment: { HOLDFAST_SPEC: 'toy.yaml', ...parts.environment },
    signal: parts.signal ?? new AbortController().signal,
    openHost: () => platform.host,
    openStore: parts.openStore ?? (async () => platform.state.open()),
    openHands: () => () => {
      throw new Error('the toy platform has no hands');
    },
    serveMetrics,
  }).then((ended) => {
    code = ended;
  });
  for (let goneMs = 0; code === undefined; goneMs += 25) {
    if (goneMs > (parts.withinMs ?? 120_000))
      throw new Error(`holdfast ${argv.join(' ')} does not end; so far: ${out.join('\n')} ${err.join('\n')}`);
    await platform.host.clock.advance(25);
    await parts.meanwhile?.([...out, ...err].join('\n'));
  }
  await running;
  return { code: code ?? -1, out: out.join('\n'), err: err.join('\n'), json: () => JSON.parse(out.at(-1)?.split('\n').at(-1) ?? '') };
}
