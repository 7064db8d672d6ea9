/**
 * A copy of a whole data set as an RDB file on the host of its site, made by `redis-cli --rdb` and checked by `redis-check-rdb`.
 *
 * Invariant: the file has its name only once it is whole and was checked. The password travels in the environment.
 */
import { fail } from '../../base/errors.ts';
import type { HandsCommand } from '../../contracts/hands.ts';
import { commandFailed } from '../../contracts/site-command.ts';
import { targetOf } from './options.ts';
import type { RedisSiteParts } from './server.ts';

const copyTimeoutMs = 3_600_000;
const stepTimeoutMs = 10_000;

export async function copySnapshot(parts: RedisSiteParts, directory: string, signal: AbortSignal): Promise<string> {
  const { context } = parts;
  const target = targetOf(context.site);
  const file = `${directory}/${context.component}-${context.region}.rdb`;
  const partial = `${file}.partial`;
  const login = target.password === undefined ? {} : { env: { REDISCLI_AUTH: target.password } };
  const tls = target.tls ? ['--tls', ...(target.caFile === undefined ? [] : ['--cacert', target.caFile])] : [];
  const user = target.username === undefined ? [] : ['--user', target.username];
  await runByHands(parts, { program: 'mkdir', args: ['-p', '-m', '700', directory], timeoutMs: stepTimeoutMs, signal });
  await runByHands(parts, {
    program: 'redis-cli',
    args: ['-h', target.host, '-p', String(target.port), ...user, ...tls, '--rdb', partial],
    timeoutMs: copyTimeoutMs,
    signal,
    ...login,
  });
  await runByHands(parts, { program: 'redis-check-rdb', args: [partial], timeoutMs: copyTimeoutMs, signal });
  await runByHands(parts, { program: 'mv', args: ['-f', partial, file], timeoutMs: stepTimeoutMs, signal });
  return file;
}

export async function writeByHands(parts: RedisSiteParts, file: string, text: string, signal: AbortSignal): Promise<void> {
  const directory = file.slice(0, file.lastIndexOf('/'));
  await runByHands(parts, { program: 'mkdir', args: ['-p', '-m', '700', directory], timeoutMs: stepTimeoutMs, signal });
  await runByHands(parts, {
    program: 'dd',
    args: [`of=${file}.partial`, 'conv=fsync', 'status=none'],
    stdin: text,
    timeoutMs: stepTimeoutMs * 6,
    signal,
  });
  await runByHands(parts, { program: 'mv', args: ['-f', `${file}.partial`, file], timeoutMs: stepTimeoutMs, signal });
}

async function runByHands({ context }: RedisSiteParts, command: HandsCommand): Promise<void> {
  const { hands } = context;
  if (hands === undefined) throw fail('HANDS_MISSING', { message: 'keeping a copy on the host of the site needs hands there' });
  const result = await hands.run(command);
  if (result.exitCode !== 0) throw commandFailed(hands, [command.program], result);
}
