/**
 * The configuration file of a server that is down, edited through the hands of its site.
 *
 * Invariants: the file is replaced whole, with its owner and mode, after the new text is on the disk: a crash leaves the old one or the new one. Its text, which may
 * hold passwords, travels by standard input only and is never printed.
 */
import { fail } from '../../base/errors.ts';
import type { Hands } from '../../contracts/hands.ts';
import { commandFailed } from '../../contracts/site-command.ts';

const stepTimeoutMs = 10_000;
const fileMaxBytes = 4 * 1024 * 1024;

/** Directives under their former names mean the same. */
const formerNames: Readonly<Record<string, string>> = {
  slaveof: 'replicaof',
  'slave-read-only': 'replica-read-only',
  'min-slaves-to-write': 'min-replicas-to-write',
  'min-slaves-max-lag': 'min-replicas-max-lag',
};

/** `undefined` takes the directive out. */
export type ConfigChanges = Readonly<Record<string, string | undefined>>;

function directiveOf(line: string): string | undefined {
  const name = /^\s*([A-Za-z][A-Za-z0-9-]*)/.exec(line)?.[1]?.toLowerCase();
  return name === undefined ? undefined : (formerNames[name] ?? name);
}

/** The last value wins, as in Redis. */
export function readDirective(text: string, name: string): string | undefined {
  const line = text.split('\n').findLast((candidate) => directiveOf(candidate) === name);
  return line
    ?.trim()
    .replace(/^\S+\s*/, '')
    .replace(/^"(.*)"$/, '$1');
}

export function changeDirectives(text: string, changes: ConfigChanges): string {
  const kept = text.split('\n').filter((line) => {
    const name = directiveOf(line);
    return name === undefined || !Object.hasOwn(changes, name);
  });
  while (kept.at(-1) === '') kept.pop();
  const added = Object.entries(changes).flatMap(([name, value]) => (value === undefined ? [] : [`${name} ${quoted(name, value)}`]));
  return `${[...kept, ...added].join('\n')}\n`;
}

/** Single words stay as they are; `replicaof` has two. Everything else is quoted as Redis reads it. */
function quoted(name: string, value: string): string {
  if (name === 'replicaof' || /^[A-Za-z0-9_./:-]+$/.test(value)) return value;
  return `"${value.replace(/[\\"]/g, '\\$&').replace(/\n/g, '\\n').replace(/\r/g, '\\r')}"`;
}

export class ConfigFile {
  readonly path: string;
  readonly #hands: Hands;
  readonly #signal: AbortSignal;

  constructor(hands: Hands, path: string, signal: AbortSignal) {
    this.#hands = hands;
    this.path = path;
    this.#signal = signal;
  }

  async read(): Promise<string> {
    return await this.#run('cat', [this.path]);
  }

  async change(changesOf: (text: string) => ConfigChanges): Promise<void> {
    const text = await this.read();
    const changed = changeDirectives(text, changesOf(text));
    if (changed === text) return;
    const beside = `${this.path}.holdfast`;
    // A copy first, for owner and mode; what `dd` writes into it is on the disk before it takes the place of the file.
    await this.#run('cp', ['-p', this.path, beside]);
    await this.#run('dd', [`of=${beside}`, 'conv=fsync', 'status=none'], changed);
    await this.#run('mv', ['-f', beside, this.path]);
  }

  async #run(program: string, args: readonly string[], stdin?: string): Promise<string> {
    const result = await this.#hands.run({
      program,
      args,
      timeoutMs: stepTimeoutMs,
      signal: this.#signal,
      maxOutputBytes: fileMaxBytes,
      ...(stdin === undefined ? {} : { stdin }),
    });
    if (result.exitCode !== 0) throw commandFailed(this.#hands, [program, ...args], result);
    return result.stdout;
  }
}

/** The configuration file as the spec names it, or as the running server named it when it was last seen. */
export function configFileOf(
  hands: Hands | undefined,
  known: { readonly fromSpec: string | undefined; readonly lastSeen?: string | undefined },
  signal: AbortSignal,
): ConfigFile {
  const path = known.fromSpec ?? (known.lastSeen === '' ? undefined : known.lastSeen);
  if (hands === undefined) throw fail('HANDS_MISSING');
  if (path === undefined)
    throw fail('HANDS_MISSING', {
      message: 'its configuration file is not known',
      hint: 'Set config-file on the site, so that hands can bar it while it is down.',
    });
  return new ConfigFile(hands, path, signal);
}
