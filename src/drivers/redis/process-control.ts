/**
 * Starting, stopping and barring the server of a site through its hands.
 *
 * Invariant: the file is barred before the process is touched, so that whoever starts it in between (a service manager, a person) starts one that refuses writes.
 */
import { fail, HoldfastError } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import { applySiteCommand } from '../../contracts/site-command.ts';
import { type ConfigChanges, type ConfigFile, configFileOf, readDirective } from './config-file.ts';
import { targetOf } from './options.ts';
import { type RedisSiteParts, tryServer } from './server.ts';
import { barrierSettings, readBarrier } from './write-barrier.ts';

const startTimeoutMs = 60_000;
const stopTimeoutMs = 60_000;
const pollMs = 20;

export function siteConfigFile({ context }: RedisSiteParts, signal: AbortSignal, lastKnown?: JsonObject): ConfigFile {
  const lastSeen = typeof lastKnown?.configFile === 'string' ? lastKnown.configFile : undefined;
  return configFileOf(context.hands, { fromSpec: context.site['config-file'], lastSeen }, signal);
}

/** Directives that make it start as a master that refuses writes, with its data as they are. */
export function barredMaster(text: string): ConfigChanges {
  return { ...barrierIn(text), replicaof: undefined };
}

/** Directives that make it refuse writes in whatever role it starts as a master. */
export function barrierIn(text: string): ConfigChanges {
  const present = {
    minReplicasToWrite: Number(readDirective(text, 'min-replicas-to-write') ?? 0),
    minReplicasMaxLagSeconds: Number(readDirective(text, 'min-replicas-max-lag') ?? 10),
  };
  return Object.fromEntries(barrierSettings('fence', present));
}

export function isBarred(text: string): boolean {
  return (
    readBarrier(Number(readDirective(text, 'min-replicas-to-write') ?? 0)).barrier === 'fence' &&
    readDirective(text, 'min-replicas-max-lag') !== '0'
  );
}

/** Whether the configuration file on the host says so; false where there are no hands to look or the file is not known. */
export async function fileSays(
  parts: RedisSiteParts,
  signal: AbortSignal,
  holds: (text: string) => boolean,
  configFile?: string,
): Promise<boolean> {
  const { hands, site } = parts.context;
  if (hands === undefined || (site['config-file'] ?? (configFile || undefined)) === undefined) return false;
  try {
    return holds(await siteConfigFile(parts, signal, { configFile }).read());
  } catch (error) {
    if (signal.aborted || !(error instanceof HoldfastError) || error.kind === 'bug') throw error;
    // What can't be looked at proves nothing: the caller goes by what it noted itself.
    parts.context.host.log.debug('redis-config-file-not-read', { component: parts.context.component, why: error.message });
    return false;
  }
}

export async function stopServer({ context }: RedisSiteParts, signal: AbortSignal): Promise<void> {
  const { hands, site } = context;
  if (hands === undefined) throw fail('HANDS_MISSING');
  if (site.stop === undefined)
    throw fail('HANDS_MISSING', {
      message: 'the site has no stop command',
      hint: 'Set stop on the site: the command that stops its server.',
    });
  await applySiteCommand(hands, site.stop, { timeoutMs: stopTimeoutMs, signal });
}

/** Starts it and waits until it answers and has read its data. */
export async function startServer(parts: RedisSiteParts, signal: AbortSignal): Promise<void> {
  const { context } = parts;
  const { hands, site } = context;
  if (hands === undefined) throw fail('HANDS_MISSING', { message: 'the server is down and the site has no hands to start it' });
  if (site.start === undefined)
    throw fail('HANDS_MISSING', {
      message: 'the site has no start command',
      hint: 'Set start on the site: the command that starts its server.',
    });
  await applySiteCommand(hands, site.start, { timeoutMs: startTimeoutMs, signal, leaveChildren: true });
  const { clock } = context.host;
  const untilMs = clock.monotonicMs() + startTimeoutMs;
  let why = 'it does not answer';
  while (clock.monotonicMs() < untilMs) {
    const seen = await tryServer(parts, context.region, signal, (server) => server.read());
    if ('answer' in seen && !seen.answer.state.loading) return;
    why = 'answer' in seen ? 'it still reads its data' : seen.why;
    await clock.sleep(pollMs, signal);
  }
  throw fail('SYSTEM_UNREACHABLE', { message: `started, and not ready after ${startTimeoutMs} ms: ${why}` });
}

/** Whether nothing listens at its address: told by a refusal to us or, where the network is silent, by one on its own host. */
export async function nothingListens(parts: RedisSiteParts, signal: AbortSignal): Promise<boolean> {
  const { context } = parts;
  const seen = await tryServer(parts, context.region, signal, async () => true);
  if ('answer' in seen) return false;
  if (seen.absence === 'refused') return true;
  if (context.hands === undefined) throw fail('HANDS_MISSING');
  const target = targetOf(context.site);
  const args = ['-h', target.host, '-p', String(target.port), ...(target.tls ? ['--tls', '--insecure'] : []), 'PING'];
  try {
    const result = await context.hands.run({ program: 'redis-cli', args, timeoutMs: 2_000, signal });
    return /connection refused/i.test(`${result.stderr}${result.stdout}`);
  } catch (error) {
    if (signal.aborted || (error instanceof HoldfastError && error.code !== 'TIMED_OUT')) throw error;
    // It hangs: as long as nobody refuses the connection, something listens.
    return false;
  }
}
