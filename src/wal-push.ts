/**
 * `holdfast-wal-push PATH --component NAME`: archives one finished log file, for a server's archive command, as `holdfast wal-push` does. A database waits for it, so it loads nothing before
 * it has asked the controller that serves on this machine, which has everything loaded. Where none answers, or that one can't read the file, it is done here: with what an earlier push has
 * learnt of the spec, or, the first time and after every change, by the whole program.
 *
 * Ends with 0 only where the file is durable in the repository. When it dies, the server sends the file again.
 */
import { readFileSync } from 'node:fs';
import { enableCompileCache } from 'node:module';
import { connect } from 'node:net';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { cacheDirectory } from './cache-directory.ts';

/** Longer than a store is tried for; the server itself has no limit. */
const answerTimeoutMs = 300_000;

interface Pushed {
  readonly name: string;
  readonly component: string;
  readonly repository: string;
  readonly outcome: 'kept' | 'same';
}

interface Answer {
  readonly ok: boolean;
  readonly pushed?: Pushed;
  readonly error?: {
    readonly code: string;
    readonly message: string;
    readonly hint: string;
    readonly details?: { readonly cause?: string };
  };
}

/** What only the command line itself can explain is left to it. */
function readArguments(argv: readonly string[]) {
  try {
    const { values, positionals } = parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: {
        component: { type: 'string' },
        repository: { type: 'string' },
        spec: { type: 'string', multiple: true },
        state: { type: 'string' },
        by: { type: 'string' },
        'log-level': { type: 'string' },
        json: { type: 'boolean', default: false },
      },
    });
    return positionals.length === 1 && values.component !== undefined ? { ...values, path: positionals[0] as string } : undefined;
  } catch {
    return undefined;
  }
}

/** Undefined where nobody answers. */
function ask(socketPath: string, request: object): Promise<Answer | undefined> {
  return new Promise((settle) => {
    const socket = connect({ path: socketPath });
    let text = '';
    socket.setTimeout(answerTimeoutMs, () => socket.destroy());
    socket.once('connect', () => socket.write(`${JSON.stringify(request)}\n`));
    socket.on('data', (data) => {
      text += data.toString('utf8');
      if (!text.endsWith('\n')) return;
      socket.destroy();
      settle(JSON.parse(text) as Answer);
    });
    // The connection may be refused, cut or silent: what was asked for may have been done, and doing it again changes nothing.
    socket.once('error', () => settle(undefined));
    socket.once('close', () => settle(undefined));
  });
}

/** The controller runs as another user than the server, and can not see its files. */
const isForUs = ({ error }: Answer) =>
  error?.details?.cause === 'EACCES' || error?.details?.cause === 'EPERM' || error?.details?.cause === 'ENOENT';

/** With what an earlier push has learnt, where nothing has changed since. */
async function tryQuickly(given: NonNullable<ReturnType<typeof readArguments>>): Promise<Pushed | undefined> {
  const directory = cacheDirectory(process.env);
  enableCompileCache(directory);
  const { pushQuickly } = await import('./push-quickly.ts');
  const specs = given.spec ?? [process.env.HOLDFAST_SPEC ?? 'holdfast.yaml'];
  return await pushQuickly({
    path: resolve(given.path),
    specs: specs.map((path) => resolve(path)),
    component: given.component as string,
    repository: given.repository,
    workingDirectory: process.cwd(),
    version: (JSON.parse(readFileSync(join(import.meta.dirname, '..', 'package.json'), 'utf8')) as { version: string }).version,
    cacheDirectory: directory,
    environment: process.env,
    warn: (text) => process.stderr.write(`${text}\n`),
  });
}

function tellPushed(pushed: Pushed, json: boolean): number {
  const { name, component, outcome, repository } = pushed;
  const words = `${name} of ${component} is ${outcome === 'kept' ? 'kept' : 'there already, with the same content'} in ${repository}`;
  process.stdout.write(`${json ? JSON.stringify(pushed) : words}\n`);
  return 0;
}

async function main(argv: readonly string[]): Promise<number | undefined> {
  const given = readArguments(argv);
  if (given !== undefined) {
    const { component, repository, path } = given;
    const directory = given.state ?? process.env.HOLDFAST_STATE ?? '.holdfast';
    const socketPath = process.env.HOLDFAST_WAL_PUSH_SOCKET ?? join(directory, 'wal-push.sock');
    const request = { component, path: resolve(path), ...(repository === undefined ? {} : { repository }) };
    const answer = await ask(resolve(socketPath), request);
    if (answer?.ok === true && answer.pushed !== undefined) return tellPushed(answer.pushed, given.json);
    if (answer !== undefined && !isForUs(answer)) {
      process.stderr.write(`error ${answer.error?.code}: ${answer.error?.message}\n  ${answer.error?.hint}\n`);
      return 1;
    }
  }
  if (given !== undefined) {
    const pushed = await tryQuickly(given);
    if (pushed !== undefined) return tellPushed(pushed, given.json);
  }
  const { runHere } = await import('./main.ts');
  return await runHere(['wal-push', ...argv]);
}

process.exitCode = await main(process.argv.slice(2));
