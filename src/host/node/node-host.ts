/** The real Host: this machine, this process. */
import type { Host } from '../host.ts';
import { nodeClock } from './clock.ts';
import { nodeFileStreams } from './file-streams.ts';
import { nodeFiles } from './files.ts';
import { type LogLevel, nodeLog } from './log.ts';
import { nodeNet } from './net.ts';
import { nodeProcesses } from './processes.ts';
import { nodeRandom } from './random.ts';
import { nodeSecrets } from './secrets.ts';
import { nodeThreads } from './threads.ts';

export interface NodeHostOptions {
  readonly logLevel?: LogLevel;
  /** `stderr` (default), `silent`, or the path of a file. */
  readonly logTo?: string;
}

export function nodeHost(options: NodeHostOptions = {}): Host {
  return {
    clock: nodeClock(),
    random: nodeRandom(),
    files: nodeFiles(),
    fileStreams: nodeFileStreams(),
    net: nodeNet(),
    processes: nodeProcesses(),
    threads: nodeThreads(),
    log: nodeLog({
      ...(options.logLevel === undefined ? {} : { level: options.logLevel }),
      ...(options.logTo === undefined ? {} : { to: options.logTo }),
    }),
    secrets: nodeSecrets(),
  };
}
