/**
 * `holdfast-wal-push PATH --component NAME`: archives one finished log file, for a server's archive command, as `holdfast wal-push` does. A database waits for it, so it loads nothing before
 * it has asked the controller that serves on this machine, which has everything loaded; only where none answers, or where that one can't read the file, the whole program is loaded and
 * does it here.
 *
 * Ends with 0 only where the file is durable in the repository. When it dies, the server sends the file again.
 */
import { connect } from 'node:net';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';

/** Longer than a store is tried for; the server itself has no limit. */
const answerTimeoutMs = 300_000;

interface Answer {
  readonly ok: boolean;
  readonly pushed?: { readonly name: string; readonly component: string; readonly repository: string; readonly outcome: 'kept' | 'same' };
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

async function main(argv: readonly string[]): Promise<number | undefined> {
  const given = readArguments(argv);
  if (given !== undefined) {
    const { component, repository, path, json } = given;
    const directory = given.state ?? process.env.HOLDFAST_STATE ?? '.holdfast';
    const socketPath = process.env.HOLDFAST_WAL_PUSH_SOCKET ?? join(directory, 'wal-push.sock');
    const request = { component, path: resolve(path), ...(repository === undefined ? {} : { repository }) };
    const answer = await ask(resolve(socketPath), request);
    if (answer?.ok === true && answer.pushed !== undefined) {
      const { name, outcome, repository: where } = answer.pushed;
      const words = `${name} of ${component} is ${outcome === 'kept' ? 'kept' : 'there already, with the same content'} in ${where}`;
      process.stdout.write(`${json ? JSON.stringify(answer.pushed) : words}\n`);
      return 0;
    }
    if (answer !== undefined && !isForUs(answer)) {
      process.stderr.write(`error ${answer.error?.code}: ${answer.error?.message}\n  ${answer.error?.hint}\n`);
      return 1;
    }
  }
  const { runHere } = await import('./main.ts');
  return await runHere(['wal-push', ...argv]);
}

process.exitCode = await main(process.argv.slice(2));
