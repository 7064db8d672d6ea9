/**
 * Runs Terraform (or OpenTofu) by a site's hands and reads what it prints. The only file that does.
 *
 * Invariants: nothing is asked of a terminal (`-input=false`), a lock is waited for and never forced, secrets go by the environment only. What is judged is JSON and exit codes, never prose; a line of
 * a kind that a newer version may add is passed over.
 * https://developer.hashicorp.com/terraform/internals/machine-readable-ui
 */
import { fail, HoldfastError } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import type { Hands, HandsResult } from '../../contracts/hands.ts';
import { applySiteCommand, endOfOutput, runSiteCommand } from '../../contracts/site-command.ts';
import { parseBody } from '../../contracts/workload/answer-check.ts';
import type { TerraformOptions, TerraformSiteOptions } from './options.ts';
import { type BackendFacts, backendOf, type PlannedChanges, plannedChanges } from './plan-json.ts';

const shownMaxBytes = 256 * 1_048_576;
const quickMs = 30_000;

export interface PlanOutcome {
  readonly hasChanges: boolean;
  /** In Terraform's own words: `Plan: 1 to add, 0 to change, 0 to destroy.` */
  readonly summary: string;
}

export class Terraform {
  readonly #hands: Hands;
  readonly #options: TerraformOptions;
  readonly #site: TerraformSiteOptions;

  constructor(hands: Hands, options: TerraformOptions, site: TerraformSiteOptions) {
    this.#hands = hands;
    this.#options = options;
    this.#site = site;
  }

  get name(): string {
    return `${this.#site.directory} on ${this.#hands.name}`;
  }

  async readVersion(timeoutMs: number, signal: AbortSignal): Promise<string> {
    const result = await this.#run(['version', '-json'], timeoutMs, signal);
    const version = (parseBody(result.stdout) as JsonObject | undefined)?.terraform_version;
    if (result.exitCode !== 0 || typeof version !== 'string')
      throw fail('SYSTEM_WRONG_ANSWER', {
        message: `${this.#options.program} on ${this.#hands.name} says no version: ${endOfOutput(result)}`,
      });
    return version;
  }

  /** Where the state is, as the directory was initialized; undefined where it never was. */
  async readBackend(timeoutMs: number, signal: AbortSignal): Promise<BackendFacts | undefined> {
    const path = `${this.#site.directory}/.terraform/terraform.tfstate`;
    const { exitCode, stdout } = await this.#hands.run({ program: 'cat', args: [path], timeoutMs, signal });
    return exitCode === 0 ? backendOf(stdout) : undefined;
  }

  async init(signal: AbortSignal): Promise<void> {
    await applySiteCommand(
      this.#hands,
      this.#line(['init', '-input=false', '-no-color']),
      this.#limits(this.#options['apply-timeout'], signal),
    );
  }

  /** @param out where the plan is saved; without it nothing is kept */
  async plan(signal: AbortSignal, out?: string): Promise<PlanOutcome> {
    const { refresh, 'lock-timeout': lockMs, 'var-files': ofAll, 'apply-timeout': timeoutMs } = this.#options;
    const files = this.#site['var-files'] ?? ofAll;
    const words = [
      'plan',
      '-json',
      '-detailed-exitcode',
      '-input=false',
      `-lock-timeout=${Math.ceil(lockMs / 1_000)}s`,
      ...(refresh ? [] : ['-refresh=false']),
      ...files.map((file) => `-var-file=${file}`),
      ...(out === undefined ? [] : [`-out=${out}`]),
    ];
    const result = await this.#run(words, timeoutMs, signal);
    const lines = linesOf(result);
    if (result.exitCode !== 0 && result.exitCode !== 2) throw this.#failure('plan', result, lines);
    const summary = lines.find(
      ({ type, changes }) => type === 'change_summary' && (changes as JsonObject | undefined)?.operation === 'plan',
    );
    if (summary === undefined)
      throw fail('SYSTEM_WRONG_ANSWER', {
        message: `plan in ${this.name} ended with ${result.exitCode} and said nothing of changes: ${endOfOutput(result)}`,
      });
    return { hasChanges: result.exitCode === 2, summary: String(summary['@message']) };
  }

  async show(plan: string, signal: AbortSignal): Promise<PlannedChanges> {
    const result = await this.#run(['show', '-json', plan], this.#options['apply-timeout'], signal, shownMaxBytes);
    if (result.exitCode !== 0) throw this.#failure('show', result, []);
    return plannedChanges(result.stdout, this.name);
  }

  /** Of a saved plan only: what was judged is what is done. */
  async apply(plan: string, signal: AbortSignal): Promise<string> {
    const words = ['apply', '-json', '-input=false', `-lock-timeout=${Math.ceil(this.#options['lock-timeout'] / 1_000)}s`, plan];
    let result: HandsResult;
    try {
      result = await this.#run(words, this.#options['apply-timeout'], signal);
    } catch (error) {
      if (error instanceof HoldfastError && error.code === 'TIMED_OUT')
        throw fail('SYSTEM_OUTCOME_UNKNOWN', { message: `apply in ${this.name} did not end in time`, cause: error });
      throw error;
    }
    const lines = linesOf(result);
    if (result.exitCode !== 0) throw this.#failure('apply', result, lines);
    return String(lines.findLast(({ type }) => type === 'change_summary')?.['@message'] ?? 'applied');
  }

  async exists(path: string, signal: AbortSignal): Promise<boolean> {
    return (await this.#hands.run({ program: 'test', args: ['-f', path], timeoutMs: quickMs, signal })).exitCode === 0;
  }

  /** A saved plan holds variables and state in clear. */
  async remove(path: string): Promise<void> {
    await this.#hands.run({ program: 'rm', args: ['-f', path], timeoutMs: quickMs });
  }

  #run(words: readonly string[], timeoutMs: number, signal: AbortSignal, maxOutputBytes?: number): Promise<HandsResult> {
    const line = this.#line(words);
    if (maxOutputBytes === undefined) return runSiteCommand(this.#hands, line, this.#limits(timeoutMs, signal));
    const [program = '', ...args] = line;
    // What is shown is read here and never told on.
    return this.#hands.run({ program, args, env: this.#environment(), timeoutMs, signal, maxOutputBytes });
  }

  #line(words: readonly string[]): readonly string[] {
    return [this.#options.program, `-chdir=${this.#site.directory}`, ...words];
  }

  #limits(timeoutMs: number, signal: AbortSignal) {
    return { timeoutMs, signal, env: this.#environment() };
  }

  #environment() {
    return { TF_IN_AUTOMATION: '1', CHECKPOINT_DISABLE: '1', ...this.#options.env };
  }

  #failure(what: string, result: HandsResult, lines: readonly JsonObject[]): HoldfastError {
    const errors = lines
      .filter(({ type }) => type === 'diagnostic')
      .map(({ diagnostic }) => diagnostic as { readonly severity?: string; readonly summary?: string; readonly detail?: string })
      .filter(({ severity }) => severity === 'error');
    const [first] = errors;
    const words = first ? `${first.summary ?? ''}: ${(first.detail ?? '').replace(/\s+/g, ' ').slice(0, 400)}` : endOfOutput(result);
    const message = `${what} in ${this.name}: ${words}${errors.length > 1 ? ` (and ${errors.length - 1} more errors)` : ''}`;
    const summaries = errors.map(({ summary = '' }) => summary).join('\n');
    if (/initialization required|plugins? (?:is|are) not installed|dependency lock file|Module not installed/i.test(summaries || words))
      return fail('SYSTEM_REFUSED', { message, details: { needsInit: true }, hint: `Run ${this.#options.program} init there.` });
    if (/plan is stale/i.test(summaries))
      return fail('SYSTEM_REFUSED', {
        message,
        details: { stale: true },
        hint: 'The state has changed since the plan was made: plan and review again.',
      });
    if (/state lock/i.test(summaries))
      return fail('SYSTEM_REFUSED', {
        message,
        details: { locked: true },
        hint: 'Somebody works with the state, or died doing so: find out who. Holdfast never forces a lock; terraform force-unlock does.',
      });
    return fail('COMMAND_FAILED', { message, details: { exitCode: result.exitCode } });
  }
}

function linesOf({ stdout }: HandsResult): readonly JsonObject[] {
  return stdout.split('\n').flatMap((line) => {
    const value = line.startsWith('{') ? parseBody(line) : undefined;
    return typeof value === 'object' && value !== null ? [value as JsonObject] : [];
  });
}
