/** node examples/demo/stop.ts DIRECTORY: ends what `npm run demo -- --keep` has left running, and removes it. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { processesOf, signalEach } from '../../test/systems/process-tree.ts';
import { removeDirectory } from '../../test/systems/temporary-directory.ts';

const directory = process.argv[2];
if (!directory) {
  process.stderr.write('usage: node examples/demo/stop.ts DIRECTORY (as the demo printed it)\n');
  process.exit(2);
}
const directories = JSON.parse(await readFile(join(directory, 'directories.json'), 'utf8')) as string[];
const collect = () => processesOf([], directories);
const deadline = performance.now() + 10_000;
for (let left = collect(); left.length > 0; left = collect()) {
  if (performance.now() > deadline) throw new Error(`these do not end: ${left.map(({ pid }) => pid).join(', ')}`);
  signalEach(left, 'SIGKILL');
  await delay(50);
}
for (const each of directories) await removeDirectory(each);
process.stdout.write(`ended and removed ${directories.length} servers' directories\n`);
