/**
 * A process for the watchdog's test: starts servers, says where they are in one line of JSON, and waits to be killed.
 * With `outlive` it starts a Redis that is to stay, beside a directory that is not.
 */
import { startPrimary } from './postgresql.ts';
import { startRedis } from './redis.ts';
import { temporaryDirectory } from './temporary-directory.ts';

const outliveParent = process.argv[2] === 'outlive';
const watchedDirectory = await temporaryDirectory('orphan');
const running = outliveParent ? [await startRedis({ outliveParent })] : await Promise.all([startRedis(), startPrimary()]);
const servers = running.map(({ pid, dir, pids }) => ({ pid, dir, pids: pids() }));
process.stdout.write(`${JSON.stringify({ watchedDirectory, servers })}\n`);
setInterval(() => {
  // Stay until killed.
}, 60_000);
