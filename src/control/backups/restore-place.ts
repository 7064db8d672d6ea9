/**
 * Where a restored copy goes: a directory of this machine, or one of a site's machine, reached by the site's hands.
 *
 * A marker beside the directory (`<into>.holdfast-restore.json`) says which execution filled it, and is written last. On another machine the copy is unpacked from a stream as it comes,
 * so nothing of it is held on the way; until the marker is there, what lies there is no restored copy. Dying on the way leaves such a directory, which only the same execution may clear.
 */
import { join } from 'node:path';
import { asHoldfastError, fail } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import type { Hands } from '../../contracts/hands.ts';
import type { Host } from '../../host/host.ts';

export const restoreMarkerPath = (into: string): string => `${into.replace(/\/+$/, '')}.holdfast-restore.json`;

export interface RestorePlace {
  /** Empty, or not there; else RESTORE_TARGET_NOT_EMPTY. */
  requireEmpty(): Promise<void>;
  /** Of whoever restored into it last. */
  readMarker(): Promise<JsonObject | undefined>;
  clear(): Promise<void>;
  /** Gives the work a directory to restore into, and brings what it made to its place; undefined: no place of its own, it is restored where it stays. */
  bring?(from: string, signal: AbortSignal): Promise<void>;
  writeMarker(marker: JsonObject): Promise<void>;
}

/** Of a site's machine: what was there can be kept. */
export interface SitePlace extends RestorePlace {
  bring(from: string, signal: AbortSignal): Promise<void>;
  exists(path: string): Promise<boolean>;
  /** What is at the place goes to `aside`. Where something lies there already, this was done before, and what has come to the place since was cut off: it is removed. */
  moveAside(aside: string): Promise<void>;
}

/** Commands on this machine, for a site that names no hands. */
export const ownHands = ({ processes }: Pick<Host, 'processes'>): Pick<Hands, 'name' | 'run'> => ({
  name: 'this machine',
  run: (command) => processes.run(command),
});

const askTimeoutMs = 60_000;
const moveTimeoutMs = 3 * 86_400_000;

const notEmpty = (into: string, content: readonly string[]): Error =>
  fail('RESTORE_TARGET_NOT_EMPTY', {
    subject: into,
    message: `${into} is not empty: ${content.slice(0, 3).join(', ')}${content.length > 3 ? ` and ${content.length - 3} more` : ''}`,
  });

function parseMarker(text: string): JsonObject | undefined {
  const marker: unknown = JSON.parse(text);
  return marker !== null && typeof marker === 'object' && !Array.isArray(marker) ? (marker as JsonObject) : undefined;
}

export function localPlace({ files }: Pick<Host, 'files'>, into: string): RestorePlace {
  const markerPath = restoreMarkerPath(into);
  return {
    async requireEmpty() {
      if (!(await files.exists(into))) return;
      const content = await files.list(into).catch(() => ['a file of that name']);
      if (content.length > 0) throw notEmpty(into, content);
    },
    readMarker: async () => ((await files.exists(markerPath)) ? parseMarker(await files.readText(markerPath)) : undefined),
    clear: () => files.remove(into),
    writeMarker: (marker) => files.writeAtomically(markerPath, `${JSON.stringify(marker, null, 2)}\n`),
  };
}

const listScript = '[ ! -e "$1" ] || { [ -d "$1" ] && ls -A -- "$1"; } || echo "a file of that name"';
const readScript = '[ ! -e "$1" ] || cat -- "$1"';
const asideScript = 'if [ ! -e "$1" ]; then :; elif [ -e "$2" ]; then rm -rf -- "$1"; else mv -- "$1" "$2"; fi';
const existsScript = '[ ! -e "$1" ] || echo yes';
const markScript = 'umask 077; cat >"$1.new" && sync && mv -f -- "$1.new" "$1"';
/** Links into the directory that the copy was made in lead to where it lies now. */
const unpackScript = `
set -e
umask 077
mkdir -p -- "$1"
tar --extract --file=- --preserve-permissions --directory "$1"
find "$1" -type l | while IFS= read -r link; do
  to=$(readlink -- "$link")
  case $to in "$2"/*) ln -sfn -- "$1\${to#"$2"}" "$link" ;; esac
done
sync
`.trim();

export function remotePlace(host: Host, hands: Pick<Hands, 'name' | 'run'>, into: string): SitePlace {
  const sh = async (script: string, args: readonly string[], more: { readonly stdin?: string } = {}): Promise<string> => {
    const { exitCode, stdout, stderr } = await hands.run({
      program: 'sh',
      args: ['-c', script, 'holdfast', ...args],
      timeoutMs: askTimeoutMs,
      ...more,
    });
    if (exitCode === 0) return stdout;
    throw fail('COMMAND_FAILED', { message: `${hands.name}: ${stderr.trim().slice(-1_000)}`, subject: into });
  };
  const markerPath = restoreMarkerPath(into);
  return {
    async requireEmpty() {
      const content = (await sh(listScript, [into])).split('\n').filter((line) => line !== '');
      if (content.length > 0) throw notEmpty(`${into} at ${hands.name}`, content);
    },
    async readMarker() {
      const text = await sh(readScript, [markerPath]);
      return text === '' ? undefined : parseMarker(text);
    },
    clear: async () => void (await sh('rm -rf -- "$1"', [into])),
    bring: (from, signal) => streamDirectory(host, hands, from, into, signal),
    exists: async (path) => (await sh(existsScript, [path])) !== '',
    moveAside: async (aside) => void (await sh(asideScript, [into, aside])),
    writeMarker: async (marker) => void (await sh(markScript, [markerPath], { stdin: `${JSON.stringify(marker, null, 2)}\n` })),
  };
}

async function streamDirectory(
  host: Host,
  hands: Pick<Hands, 'name' | 'run'>,
  from: string,
  into: string,
  signal: AbortSignal,
): Promise<void> {
  const { start } = host.processes;
  if (start === undefined) throw fail('HANDS_NO_PROGRAM', { message: 'programs can not be kept running here', subject: 'tar' });
  const packing = await start({
    program: 'tar',
    args: ['--create', '--file=-', '--sparse', '--directory', from, '.'],
    timeoutMs: moveTimeoutMs,
    signal,
  });
  async function* packed(): AsyncIterable<Uint8Array> {
    for await (const bytes of packing.stdout) yield bytes;
    const { exitCode, stderr } = await packing.ended;
    // Before the end of the stream: what is not all of it must not look like it over there.
    if (exitCode !== 0)
      throw fail('BACKUP_TOOL_FAILED', { message: `tar ended with ${exitCode}: ${stderr.trim().slice(-1_000)}`, subject: from });
  }
  try {
    const { exitCode, stderr } = await hands.run({
      program: 'sh',
      args: ['-c', unpackScript, 'holdfast', into, from],
      input: packed(),
      timeoutMs: moveTimeoutMs,
      signal,
    });
    if (exitCode !== 0)
      throw fail('BACKUP_TOOL_FAILED', {
        message: `${hands.name} could not unpack into ${into}: ${stderr.trim().slice(-1_000)}`,
        subject: into,
      });
  } catch (thrown) {
    packing.signal('SIGKILL');
    throw asHoldfastError(thrown, into);
  }
}

/** A copy that is made here and brought elsewhere is made below the work directory. */
export const stagingOf = (workDirectory: string): { readonly copy: string; readonly work: string } => ({
  copy: join(workDirectory, 'copy'),
  work: join(workDirectory, 'w'),
});
