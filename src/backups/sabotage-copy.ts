/** Damage to a restored copy: to its files while it rests, or through the system's own client while it runs. Owners and modes stay, so that nothing but the content gives it away. */
import { fail } from '../base/errors.ts';
import type { Host } from '../host/host.ts';
import type { CopyDamage } from './proof-copy.ts';

export type FileDamage =
  | 'flip a byte of a restored file'
  | 'cut the tail of a restored file'
  | 'empty a restored file'
  | 'lose a restored file';
export const fileDamages: readonly FileDamage[] = [
  'flip a byte of a restored file',
  'cut the tail of a restored file',
  'empty a restored file',
  'lose a restored file',
];

/** Words for a shell that does the damage to the running copy; `address` is how a person reaches it. */
export interface RunningDamage {
  /** `delete rows`, `empty a table`, `drop a key`. */
  readonly name: string;
  command(address: string): string;
}

export interface StruckCopy {
  readonly damage: CopyDamage;
  readonly detail: () => string;
  readonly struck: () => boolean;
}

const commandTimeoutMs = 60_000;
/** Smaller files are settings and marks: damage there is a matter of starting, not of content. */
const leastBytes = 1_024;

async function run(host: Host, program: string, args: readonly string[], stdin?: string | Uint8Array): Promise<void> {
  const { exitCode, stderr, stdout } = await host.processes.run({
    program,
    args,
    timeoutMs: commandTimeoutMs,
    ...(stdin === undefined ? {} : { stdin }),
  });
  if (exitCode !== 0)
    throw fail('COMMAND_FAILED', { message: `the damage could not be done: ${program}: ${`${stderr}${stdout}`.trim().slice(-500)}` });
}

async function readByte(host: Host, path: string, at: number): Promise<number> {
  for await (const bytes of host.fileStreams.read(path, { from: at, to: at + 1 })) if (bytes.length > 0) return bytes[0] as number;
  throw fail('COMMAND_FAILED', { message: `the damage could not be done: ${path} has no byte ${at}` });
}

/** A file is as likely as it is long; names that match are left alone. */
async function chooseFile(
  host: Host,
  directory: string,
  spare: RegExp | undefined,
  chance: () => number,
): Promise<{ path: string; sizeBytes: number }> {
  const files: { path: string; sizeBytes: number }[] = [];
  for await (const { path, kind, sizeBytes } of host.fileStreams.walk(directory))
    if (kind === 'file' && sizeBytes >= leastBytes && !spare?.test(path)) files.push({ path: `${directory}/${path}`, sizeBytes });
  let rest = chance() * files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const chosen = files.find(({ sizeBytes }) => {
    rest -= sizeBytes;
    return rest < 0;
  });
  if (!chosen) throw fail('COMMAND_FAILED', { message: `the damage could not be done: ${directory} has no file of ${leastBytes} bytes` });
  return chosen;
}

async function damageFile(
  host: Host,
  damage: FileDamage,
  { path, sizeBytes }: { path: string; sizeBytes: number },
  chance: () => number,
): Promise<string> {
  switch (damage) {
    case 'flip a byte of a restored file': {
      const at = Math.floor(chance() * sizeBytes);
      const changed = Uint8Array.of((await readByte(host, path, at)) ^ 0x40);
      await run(host, 'dd', [`of=${path}`, 'bs=1', `seek=${at}`, 'conv=notrunc', 'status=none'], changed);
      return `${path} at byte ${at}`;
    }
    case 'cut the tail of a restored file':
      await run(host, 'truncate', ['--size', String(Math.floor(sizeBytes / 2)), path]);
      return `${path} from ${sizeBytes} bytes to half`;
    case 'empty a restored file':
      await run(host, 'truncate', ['--size', '0', path]);
      return path;
    case 'lose a restored file':
      await host.files.remove(path);
      return path;
  }
}

export function damageFiles(host: Host, damage: FileDamage, chance: () => number, spare?: RegExp): StruckCopy {
  let detail: string | undefined;
  return {
    damage: {
      async afterRestore({ directory }) {
        detail = await damageFile(host, damage, await chooseFile(host, directory, spare, chance), chance);
      },
    },
    detail: () => detail ?? '',
    struck: () => detail !== undefined,
  };
}

export function damageRunning(host: Host, damage: RunningDamage): StruckCopy {
  let struck = false;
  return {
    damage: {
      async afterStart({ address }) {
        await run(host, 'sh', ['-c', damage.command(address)]);
        struck = true;
      },
    },
    detail: () => damage.name,
    struck: () => struck,
  };
}
