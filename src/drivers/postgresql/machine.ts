/**
 * A server's host, reached by the site's hands, which act as the system user that owns the data directory.
 *
 * Invariant: from `bar` on, and through a rewind or a copy, there is no moment at which a start of the server would bring up a primary. The scripts say how.
 */
import { fail } from '../../base/errors.ts';
import type { Hands } from '../../contracts/hands.ts';
import type { Host } from '../../host/host.ts';
import * as scripts from './machine-scripts.ts';
import type { SiteOptions } from './options.ts';
import type { Limit, Machine, Upstream } from './ports.ts';
import {
  commandFailed,
  lastWords,
  parseState,
  privateOptions,
  type RunScript,
  type ScriptResult,
  scriptRunner,
  seconds,
  segmentName,
} from './run-script.ts';
import { salvageByHands } from './salvage-by-hands.ts';

const rewindFailed = 70;
const barPutAnew = 71;

function requireOwnBar(result: ScriptResult): void {
  if (result.exitCode === barPutAnew) throw fail('SYSTEM_REFUSED', { message: lastWords(result) });
}

export function handsMachine(hands: Hands, site: SiteOptions, host: Host): Machine | undefined {
  const dataDirectory = site['data-directory'];
  if (dataDirectory === undefined) return undefined;
  const run = scriptRunner(hands, dataDirectory, site['bin-directory'] ?? '');
  const readState = async (limit: Limit) => parseState((await run({ script: scripts.readStateScript }, limit)).stdout);
  const command = async (words: readonly string[], limit: Limit) => {
    const [program = '', ...args] = words;
    const result = await hands.run({ program, args, timeoutMs: limit.timeoutMs, signal: limit.signal, leaveChildren: true });
    if (result.exitCode !== 0) throw commandFailed(hands, program, result);
  };
  return {
    readState,
    async bar(word, limit) {
      if (word === '') await run({ script: scripts.barScript }, limit);
      else await run({ script: scripts.barWithWordScript, args: [word] }, limit);
    },
    async changeBar(former, word, limit) {
      requireOwnBar(await run({ script: scripts.changeBarScript, args: [former, word], accepted: [barPutAnew] }, limit));
    },
    async unbar(word, limit) {
      requireOwnBar(await run({ script: scripts.unbarScript, args: [word], accepted: [barPutAnew] }, limit));
    },
    async stop(how, limit) {
      if (how === 'now') await run({ script: scripts.stopNowScript }, limit);
      else if (site.stop) await command(site.stop, limit);
      if (how === 'orderly') await run({ script: scripts.stopOrderlyScript, args: [seconds(limit)] }, limit);
    },
    async start(limit) {
      if (site.start) await command(site.start, limit);
      else await run({ script: scripts.startScript, args: [seconds(limit)], leaveChildren: true }, limit);
    },
    async configureStandby(upstream, limit) {
      await writePasswords(run, upstream, limit);
      const conninfo = connectionString(upstream, dataDirectory, 'replication');
      await run({ script: scripts.configureScript, args: [quoteSetting(conninfo), quoteSetting(upstream.slot ?? '')] }, limit);
    },
    async recover(limit) {
      await run({ script: scripts.recoverScript, args: [seconds(limit), privateOptions] }, limit);
    },
    async rewind(upstream, history, limit) {
      await writePasswords(run, upstream, limit);
      const source = connectionString(upstream, dataDirectory, 'queries');
      const result = await run({ script: scripts.rewindScript, args: [source, history], accepted: [rewindFailed] }, limit);
      if (result.exitCode === rewindFailed) {
        throw fail('SYSTEM_REFUSED', { message: `pg_rewind: ${lastWords(result)}`, details: { rewindFailed: true } });
      }
    },
    async copyAnew(upstream, keep, limit) {
      await writePasswords(run, upstream, limit);
      const source = connectionString(upstream, dataDirectory, 'replication');
      return (await run({ script: scripts.copyAnewScript, args: [source, keep ?? ''] }, limit)).stdout.trim();
    },
    async keepLog(timeline, fromLsn, into, limit) {
      const { segmentBytes } = await readState(limit);
      const first = segmentName(timeline, fromLsn, segmentBytes);
      const last = `${first.slice(0, 8)}${'F'.repeat(16)}`;
      return (await run({ script: scripts.keepLogScript, args: [first, last, into] }, limit)).stdout.trim();
    },
    salvage: (request, limit) => salvageByHands({ run, readState, dataDirectory, random: host.random }, request, limit),
    async readSalvageReport(into, limit) {
      const { stdout } = await run({ script: scripts.readFileScript, args: [`${into}/report.json`] }, limit);
      return stdout.startsWith('found\n') ? stdout.slice('found\n'.length) : undefined;
    },
    async writeSalvageReport(into, text, limit) {
      await run({ script: scripts.writeFileScript, args: [into, 'report.json'], stdin: text }, limit);
    },
  };
}

/** For libpq; the password is in the file that it names. */
function connectionString(upstream: Upstream, dataDirectory: string, purpose: 'replication' | 'queries'): string {
  const { address } = upstream;
  const parts: [string, string][] = [
    ['host', address.host],
    ['port', String(address.port)],
    ['user', purpose === 'replication' ? upstream.replicationUser : address.user],
    ...(purpose === 'queries' ? [['dbname', address.database] as [string, string]] : []),
    ['application_name', upstream.member],
    ['passfile', `${dataDirectory}.holdfast-pass`],
    ['connect_timeout', '10'],
    ...(address.tls.mode === 'disable' ? [] : [['sslmode', address.tls.mode] as [string, string]]),
    ...(address.tls.ca === undefined ? [] : [['sslrootcert', address.tls.ca] as [string, string]]),
  ];
  return parts.map(([key, value]) => `${key}='${value.replace(/[\\']/g, '\\$&')}'`).join(' ');
}

/** For a configuration file, between single quotes. */
function quoteSetting(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll("'", "''");
}

async function writePasswords(run: RunScript, upstream: Upstream, limit: Limit): Promise<void> {
  await run({ script: scripts.writePasswordsScript, stdin: passwordLines(upstream) }, limit);
}

function passwordLines({ address, replicationUser, replicationPassword }: Upstream): string {
  const escaped = (text: string) => text.replace(/[\\:]/g, '\\$&');
  const line = (user: string, password: string) =>
    `${[address.host, String(address.port), '*', user, password].map((part) => (part === '*' ? part : escaped(part))).join(':')}\n`;
  return [
    ...(replicationPassword ? [line(replicationUser, replicationPassword.reveal())] : []),
    ...(address.password ? [line(address.user, address.password.reveal())] : []),
  ].join('');
}
