/** Running this driver's scripts on a server's host, and reading what pg_controldata and the names of log files say. */
import { fail } from '../../base/errors.ts';
import type { Hands } from '../../contracts/hands.ts';
import { formatLsn, parseLsn } from './lsn.ts';
import * as scripts from './machine-scripts.ts';
import type { ClusterState, Limit } from './ports.ts';

const maxOutputBytes = 64 * 1024 * 1024;
/** Lets nobody in, follows nobody, archives nothing, stays on its own timeline. */
export const privateOptions = [
  "-c listen_addresses=''",
  "-c primary_conninfo=''",
  "-c restore_command=''",
  '-c recovery_target_timeline=current',
  '-c archive_mode=off',
  '-c hot_standby=on',
  "-c synchronous_standby_names=''",
].join(' ');

export interface ScriptRun {
  readonly script: string;
  readonly args?: readonly string[];
  readonly stdin?: string;
  readonly leaveChildren?: boolean;
  /** Exit codes that are an answer. */
  readonly accepted?: readonly number[];
}

export interface ScriptResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export type RunScript = (run: ScriptRun, limit: Limit) => Promise<ScriptResult>;

export interface RawState extends ClusterState {
  readonly segmentBytes: bigint;
}

export function scriptRunner(hands: Hands, dataDirectory: string, binDirectory: string): RunScript {
  return async ({ script, args = [], stdin, leaveChildren, accepted = [] }, limit) => {
    const result = await hands.run({
      program: 'sh',
      args: ['-c', scripts.prelude + script, 'holdfast', dataDirectory, binDirectory, ...args],
      timeoutMs: limit.timeoutMs,
      signal: limit.signal,
      maxOutputBytes,
      ...(stdin === undefined ? {} : { stdin }),
      ...(leaveChildren === undefined ? {} : { leaveChildren }),
    });
    // A stream that was cut would be read as if it were whole.
    if (result.stdout.length >= maxOutputBytes) throw commandFailed(hands, 'a command with too much output', result);
    if (result.exitCode !== 0 && !accepted.includes(result.exitCode)) throw commandFailed(hands, 'a command', result);
    return result;
  };
}

export function commandFailed(hands: Hands, what: string, result: ScriptResult) {
  return fail('COMMAND_FAILED', {
    message: `${what} on ${hands.name} ended with ${result.exitCode}: ${lastWords(result)}`,
    details: { exitCode: result.exitCode },
  });
}

export function lastWords(result: ScriptResult): string {
  const text = (result.stderr.trim() || result.stdout.trim()).replace(/\s*\n\s*/g, ' | ');
  return text === '' ? 'it printed nothing' : text.slice(-600);
}

export function seconds(limit: Limit): string {
  return String(Math.max(1, Math.ceil(limit.timeoutMs / 1_000)));
}

export function parseState(text: string): RawState {
  const fields = new Map<string, string>();
  for (const line of text.split('\n')) {
    const colon = line.indexOf(':');
    if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 1).trim());
  }
  const field = (name: string): string => {
    const value = fields.get(name);
    if (value === undefined) throw fail('SYSTEM_WRONG_ANSWER', { message: `pg_controldata does not say "${name}"` });
    return value;
  };
  return {
    processes: Number(field('processes')),
    barred: field('barred') === 'yes',
    barWord: field('bar says'),
    rewinding: field('rewinding') === 'yes',
    ...(field('rewound onto') === '' ? {} : { rewoundOnto: field('rewound onto') }),
    state: field('Database cluster state'),
    systemIdentifier: field('Database system identifier'),
    timeline: Number(field("Latest checkpoint's TimeLineID")),
    ...(fields.has('switches') ? { timelineHistory: field('switches').replaceAll(';', '\n') } : {}),
    checkpointLsn: field('Latest checkpoint location'),
    appliedLsn: field('Minimum recovery ending location'),
    segmentBytes: BigInt(field('Bytes per WAL segment')),
  };
}

/** The file of the log that holds the place: timeline, and the segment's number in two parts of which the second counts up to 4 GiB. */
export function segmentName(timeline: number, lsn: string, segmentBytes: bigint): string {
  const segment = parseLsn(lsn) / segmentBytes;
  const perPart = 0x1_0000_0000n / segmentBytes;
  const hex = (value: bigint) => value.toString(16).toUpperCase().padStart(8, '0');
  return hex(BigInt(timeline)) + hex(segment / perPart) + hex(segment % perPart);
}

export function segmentStart(name: string, segmentBytes: bigint): string {
  const perPart = 0x1_0000_0000n / segmentBytes;
  return formatLsn((BigInt(`0x${name.slice(8, 16)}`) * perPart + BigInt(`0x${name.slice(16)}`)) * segmentBytes);
}
