/** A checker client in each region, and what the checkers were told: the record by which a run is judged. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Namespace } from '../../systems/network-namespaces.ts';
import { type Running, startServer } from '../../systems/server-process.ts';
import { temporaryDirectory } from '../../systems/temporary-directory.ts';
import { nodeProgram } from '../holdfast-program.ts';

export interface CheckerSettings {
  readonly region: string;
  readonly targets: readonly { readonly region: string; readonly host: string; readonly port: number; readonly password: string }[];
  readonly everyMs: number;
  /** Each writer of the world has a number of its own, below a hundred. */
  readonly firstWriter: number;
}

export interface Acknowledgement {
  readonly number: number;
  /** Where the client is. */
  readonly from: string;
  /** Which site acknowledged. */
  readonly site: string;
  readonly timeline: number;
  readonly sentAtMs: number;
  readonly atMs: number;
}

export interface Checker {
  readonly running: Running;
  /** What was acknowledged since, oldest first. */
  since(atMs: number): readonly Acknowledgement[];
}

/** The machine's steady clock: the same in every process and every namespace. */
export const steadyMs = (): number => Number(process.hrtime.bigint() / 1_000n) / 1_000;

export async function startChecker(namespace: Namespace, settings: CheckerSettings): Promise<Checker> {
  const directory = await temporaryDirectory('checker');
  const running = await startServer({
    name: `checker in ${settings.region}`,
    address: namespace.address,
    port: 0,
    dir: directory,
    command: [...namespace.commandPrefix, nodeProgram, join(import.meta.dirname, 'checker-program.ts')],
    env: { CHECKER: JSON.stringify(settings) },
    isReady: async () => true,
  });
  const file = join(directory, 'output.log');
  return { running, since: (atMs) => readAcknowledgements(file).filter((each) => each.atMs >= atMs) };
}

function readAcknowledgements(file: string): Acknowledgement[] {
  const found: Acknowledgement[] = [];
  const lines = readFileSync(file, 'utf8').split('\n');
  // The last one may still be on its way.
  lines.pop();
  for (const line of lines) {
    if (!line.startsWith('{')) throw new Error(`a checker has failed: ${lines.join('\n').slice(-2_000)}`);
    found.push(JSON.parse(line) as Acknowledgement);
  }
  return found;
}
