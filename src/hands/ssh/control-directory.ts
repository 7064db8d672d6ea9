/**
 * A directory for the sockets of the OpenSSH client's shared connections: short, because a socket's path may have only 107 characters, and nobody else's.
 *
 * A process that is killed can't remove its own. So each holds the name of the process that made it, and whoever makes the next one removes those whose process is certainly gone.
 */
import { asHoldfastError } from '../../base/errors.ts';
import type { Host } from '../../host/host.ts';

const parent = '/tmp';
const prefix = 'holdfast-ssh-';
const ownerFile = 'owner';

export async function makeControlDirectory(host: Host): Promise<string> {
  await removeLeftovers(host);
  const chance = Buffer.from(host.random.bytes(8)).toString('hex');
  const directory = `${parent}/${prefix}${chance}`;
  await host.files.makeDirectory(directory, { mode: 0o700 });
  if (host.processes.self !== undefined) await host.files.writeAtomically(`${directory}/${ownerFile}`, host.processes.self);
  return directory;
}

async function removeLeftovers({ files, processes, log }: Host): Promise<void> {
  if (!processes.isGone) return;
  for (const name of await files.list(parent)) {
    if (!name.startsWith(prefix)) continue;
    const directory = `${parent}/${name}`;
    try {
      if (!(await files.exists(`${directory}/${ownerFile}`))) continue;
      if (processes.isGone(await files.readText(`${directory}/${ownerFile}`))) await files.remove(directory);
    } catch (thrown) {
      // Another user's, or removed by somebody else in this moment: not ours to clear away.
      log.debug('ssh.leftover-not-removed', { directory, message: asHoldfastError(thrown).message });
    }
  }
}
