/**
 * Gives a recovering server its log. The server's `restore_command` is a small shell script that takes files from a spool directory; this process fills the spool ahead of it.
 *
 * Invariant: the server is told that a file does not exist (exit 1, the end of its log) only where the way of the recovery says so. Whatever else goes wrong (an unreachable repository, a
 * damaged piece, our own death) ends the script with a status above 125, at which the server gives up instead of taking it for the end. At most `aheadMost` segments lie in the spool.
 */
import { releaseMemory } from '../../../base/release-memory.ts';
import type { ArchiveReader } from '../../../contracts/backup.ts';
import type { Host, Log } from '../../../host/host.ts';
import type { RecoveryWay } from './recovery-way.ts';

const aheadMost = 32;
const lookMs = 10;
const fetchesAtOnce = 3;

/** $1: the spool · $2: the file wanted · $3: where to. Gives up when nobody has fed it for ten minutes. */
const script = `#!/bin/sh
spool=$1 name=$2 to=$3
tries=0
while :; do
  if [ -f "$spool/ready/$name" ]; then
    : >"$spool/wanted/$name"
    # Copied, so that it belongs to whom the server runs as.
    cp "$spool/ready/$name" "$to" || exit 200
    exit 0
  fi
  [ -f "$spool/failed" ] && exit 201
  [ -f "$spool/absent/$name" ] && exit 1
  [ $tries -eq 0 ] && : >"$spool/wanted/$name"
  tries=$((tries + 1))
  [ $tries -gt 6000 ] && exit 202
  # Each look starts a program: where the log comes slowly, for want of a processor, looking often takes what is wanting.
  if [ $tries -lt 10 ]; then sleep 0.02; else sleep 0.1; fi
done
`;

export class SegmentFeed {
  readonly #host: Host;
  readonly #archive: ArchiveReader;
  readonly #way: RecoveryWay;
  readonly #segmentBytes: number;
  readonly #spool: string;
  readonly #log: Log;
  readonly #end = new AbortController();
  readonly #indexes: ReadonlyMap<string, number>;
  readonly #underWay = new Map<string, Promise<void>>();
  #next = 0;
  #failure: unknown;
  /** What a fetch under way has ended with. */
  #broken: unknown;
  #running: Promise<void> = Promise.resolve();

  constructor(host: Host, archive: ArchiveReader, way: RecoveryWay, segmentBytes: number, spool: string, log: Log) {
    this.#host = host;
    this.#archive = archive;
    this.#way = way;
    this.#segmentBytes = segmentBytes;
    this.#spool = spool;
    this.#log = log;
    this.#indexes = new Map(way.segments.map((name, index) => [name, index]));
  }

  /** For the server's configuration. */
  get restoreCommand(): string {
    return `sh "${this.#spool}/fetch.sh" "${this.#spool}" "%f" "%p"`;
  }

  /** What went wrong while feeding, where the server gave up because of it. */
  get failure(): unknown {
    return this.#failure;
  }

  async prepare(): Promise<void> {
    for (const name of ['', '/ready', '/wanted', '/absent']) await this.#host.files.makeDirectory(`${this.#spool}${name}`, { mode: 0o700 });
    await this.#host.files.writeAtomically(`${this.#spool}/fetch.sh`, script, { mode: 0o755 });
    for (const [name, bytes] of this.#way.histories) await this.#place(name, bytes);
  }

  start(): void {
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#end.abort();
    await this.#running;
    await Promise.all(this.#underWay.values());
  }

  async #run(): Promise<void> {
    try {
      while (!this.#end.signal.aborted) {
        await this.#answer();
        await this.#fetchAhead();
        const pause = this.#host.clock.sleep(lookMs, this.#end.signal).catch(() => undefined);
        await Promise.race([pause, ...this.#underWay.values()]);
        if (this.#broken !== undefined) throw this.#broken;
      }
    } catch (error) {
      this.#failure = error;
      this.#log.error('recovery-not-fed', { message: (error as Error).message });
      await this.#host.files.writeAtomically(`${this.#spool}/failed`, '').catch(() => {
        // The script gives up by itself, later.
      });
    }
  }

  /** Files that the server has asked for and that are not on the way do not exist for it; one that it asks for again is fetched again. */
  async #answer(): Promise<void> {
    for (const name of await this.#host.files.list(`${this.#spool}/wanted`)) {
      const index = this.#indexes.get(name);
      if (index === undefined && !this.#way.histories.has(name))
        await this.#host.files.writeAtomically(`${this.#spool}/absent/${name}`, '');
      if (index !== undefined && (await this.#host.files.exists(`${this.#spool}/ready/${name}`))) await this.#clearBefore(index);
      const isOnItsWay = this.#underWay.has(name) || (await this.#host.files.exists(`${this.#spool}/ready/${name}`));
      if (index !== undefined && index < this.#next && !isOnItsWay) this.#begin(name);
      if (index !== undefined && index > this.#next) this.#next = index;
      await this.#host.files.remove(`${this.#spool}/wanted/${name}`);
    }
  }

  /** The server asks for one after the other: once it takes this one, it has those before. */
  async #clearBefore(index: number): Promise<void> {
    for (const name of await this.#host.files.list(`${this.#spool}/ready`))
      if ((this.#indexes.get(name) ?? index) < index) await this.#host.files.remove(`${this.#spool}/ready/${name}`);
  }

  async #fetchAhead(): Promise<void> {
    const ready = (await this.#host.files.list(`${this.#spool}/ready`)).length - this.#way.histories.size;
    while (this.#underWay.size < Math.min(fetchesAtOnce, aheadMost - ready)) {
      const name = this.#way.segments[this.#next];
      if (name === undefined) return;
      this.#next += 1;
      if (!this.#underWay.has(name)) this.#begin(name);
    }
  }

  /** One that takes longer holds up none of the others. */
  #begin(name: string): void {
    const fetching = this.#fetch(name)
      .catch((error: unknown) => {
        this.#broken ??= error;
      })
      .finally(() => this.#underWay.delete(name));
    this.#underWay.set(name, fetching);
  }

  async #fetch(name: string): Promise<void> {
    const found = await this.#archive.fetch(name);
    if (!found) throw new Error(`${name} has gone from the archive`);
    const { bytes } = found;
    await this.#place(name, bytes.length === this.#segmentBytes ? bytes : this.#fullSize(bytes));
    releaseMemory(bytes);
  }

  /** A segment that had not come to its end: the server reads as far as its records go, and wants a file of full size. */
  #fullSize(bytes: Uint8Array): Uint8Array {
    const whole = new Uint8Array(this.#segmentBytes);
    whole.set(bytes.subarray(0, this.#segmentBytes));
    return whole;
  }

  async #place(name: string, bytes: Uint8Array): Promise<void> {
    const writing = `${this.#spool}/.${name}`;
    await this.#host.files.remove(writing);
    const file = await this.#host.fileStreams.openWriter(writing, { mode: 0o644 });
    try {
      await file.write(bytes);
    } finally {
      await file.close();
    }
    await this.#host.fileStreams.rename(writing, `${this.#spool}/ready/${name}`);
  }
}
