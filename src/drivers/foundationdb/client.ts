/**
 * The only file that calls FoundationDB's programs. Arguments are never joined into a shell line; every call has its time, at the program and at the hands.
 *
 * Invariant: what a command prints for people is shown, never judged: decisions go by exit codes, by `status json`, and by the JSON of fdbbackup. Keys come from `get` and `getrange`, whose
 * notation is what fdbcli has for them.
 */
import { fail, HoldfastError } from '../../base/errors.ts';
import type { Json } from '../../base/json.ts';
import type { Hands, HandsResult } from '../../contracts/hands.ts';
import { endOfOutput } from '../../contracts/site-command.ts';
import type { SiteContext } from '../../contracts/site-context.ts';
import { readPairs, toArgument } from './key-text.ts';
import type { FdbOptions, FdbSiteOptions } from './options.ts';
import type { RegionConfiguration } from './status.ts';
import { type ClusterView, parseStatus } from './status.ts';

export type FdbContext = SiteContext<FdbOptions, FdbSiteOptions>;

export interface CallOptions {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** The program's own clock is the nearer one: it says what it was doing. */
const graceMs = 1_000;
const statusMaxBytes = 64 * 1024 * 1024;

type Runner = Pick<Hands, 'name' | 'run'>;

export interface Access {
  readonly runner: Runner;
  readonly fdbcli: readonly string[];
  readonly clusterFile: string;
}

/** One cluster, as it is asked from one place. */
export class FdbClient {
  readonly #access: Access;

  constructor(access: Access) {
    this.#access = access;
  }

  get place(): string {
    return this.#access.runner.name;
  }

  async readStatus(call: CallOptions): Promise<ClusterView> {
    const { stdout } = await this.#look(['status json'], call);
    return parseStatus(stdout);
  }

  async get(key: string, call: CallOptions): Promise<string | undefined> {
    const { stdout } = await this.#look([`get ${toArgument(key)}`], call);
    return readPairs(stdout)[0]?.value;
  }

  /** Begin and end in fdbcli's own notation. */
  async getRange(begin: string, end: string, limit: number, call: CallOptions) {
    const { stdout } = await this.#look([`getrange ${begin} ${end} ${limit}`], call);
    return readPairs(stdout);
  }

  /** A range and the version at which it is so, in one transaction. */
  async getRangeAtVersion(begin: string, end: string, limit: number, call: CallOptions) {
    const { stdout } = await this.#look(['begin', 'getversion', `getrange ${begin} ${end} ${limit}`, 'reset'], call);
    const version = /^\d+$/m.exec(stdout)?.[0];
    if (version === undefined) throw fail('SYSTEM_WRONG_ANSWER', { message: 'fdbcli has not told the version' });
    return { version: Number(version), rows: readPairs(stdout) };
  }

  async set(values: Readonly<Record<string, string>>, call: CallOptions): Promise<void> {
    const sets = Object.entries(values).map(([key, value]) => `set ${toArgument(key)} ${toArgument(value)}`);
    await this.#change(['writemode on', ...sets], call);
  }

  async clear(key: string, call: CallOptions): Promise<void> {
    await this.#change(['writemode on', `clear ${toArgument(key)}`], call);
  }

  async setUsableRegions(count: 1 | 2, call: CallOptions): Promise<void> {
    await this.#change([`configure usable_regions=${count}`], call);
  }

  async lock(call: CallOptions): Promise<void> {
    await this.#change(['lock'], call);
  }

  /** There is no answer before a commit works. */
  async forceRecovery(dcid: string, call: CallOptions): Promise<void> {
    await this.#change([`force_recovery_with_data_loss ${dcid}`], call);
  }

  /** fdbcli reads regions from a file of its own machine, so one is made there, and taken away again. */
  async setRegions(regions: readonly RegionConfiguration[], call: CallOptions): Promise<void> {
    const script = 'f=$(mktemp) || exit 1; trap \'rm -f "$f"\' EXIT; cat >"$f"; "$@" --exec "fileconfigure $f"';
    const words = this.#words(call);
    // What comes before the program, such as kubectl exec, leads to the machine that needs the file.
    const at = this.#access.fdbcli.length - 1;
    const command = [...words.slice(0, at), 'sh', '-c', script, 'sh', ...words.slice(at)];
    this.#judge('fileconfigure', await this.#run(command, call, JSON.stringify({ regions })), true);
  }

  #words({ timeoutMs }: CallOptions): readonly string[] {
    return [...this.#access.fdbcli, '-C', this.#access.clusterFile, '--timeout', String(Math.max(1, Math.ceil(timeoutMs / 1_000)))];
  }

  async #look(commands: readonly string[], call: CallOptions): Promise<HandsResult> {
    const result = await this.#run([...this.#words(call), '--exec', commands.join('; ')], call);
    return this.#judge(commands.join('; '), result, false);
  }

  async #change(commands: readonly string[], call: CallOptions): Promise<void> {
    const said = commands.join('; ');
    this.#judge(said, await this.#run([...this.#words(call), '--exec', said], call).catch(asUnknownOutcome), true);
  }

  async #run(command: readonly string[], call: CallOptions, stdin?: string): Promise<HandsResult> {
    return await runProgram(this.#access.runner, command, call, stdin);
  }

  /** fdbcli ends with 1 for all: its time was over, or the cluster said no. Only the first leaves open what has happened. */
  #judge(said: string, result: HandsResult, changes: boolean): HandsResult {
    if (result.exitCode === 0) return result;
    const words = endOfOutput(result);
    const message = `fdbcli at ${this.place}: ${said.slice(0, 80)}: ${words}`;
    if (/timeout reached|timed out/i.test(words)) {
      if (changes) throw fail('SYSTEM_OUTCOME_UNKNOWN', { message });
      throw fail('TIMED_OUT', { message, hint: 'A majority of the coordinators, or the database itself, does not answer from there.' });
    }
    throw fail('SYSTEM_REFUSED', { message });
  }
}

/** A program and its arguments. */
export async function runProgram(runner: Runner, command: readonly string[], call: CallOptions, stdin?: string): Promise<HandsResult> {
  const [program, ...args] = command as [string, ...string[]];
  return await runner.run({
    program,
    args,
    timeoutMs: call.timeoutMs + graceMs,
    signal: call.signal,
    maxOutputBytes: statusMaxBytes,
    ...(stdin === undefined ? {} : { stdin }),
  });
}

export function asUnknownOutcome(error: unknown): never {
  if (error instanceof HoldfastError && error.code === 'TIMED_OUT')
    throw fail('SYSTEM_OUTCOME_UNKNOWN', { message: error.message, cause: error });
  throw error;
}

/** What a program printed as JSON; anything else is SYSTEM_WRONG_ANSWER. */
export function parsePrinted(program: string, printed: string): Json {
  try {
    return JSON.parse(printed) as Json;
  } catch (cause) {
    throw fail('SYSTEM_WRONG_ANSWER', { message: `${program} printed what is no JSON`, cause });
  }
}
