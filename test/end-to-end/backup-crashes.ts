/**
 * Kills a process at moments drawn from a seed while it takes backups, archives, proves and prunes, and looks each time at what is left:
 *
 *   - every backup whose manifest is there restores, with the digest that was taken of the files; every one that was said to be committed is there, unless it was to be pruned
 *   - every log that was said to be archived reads back
 *   - the next run goes on: it takes a backup under the very id that was interrupted
 *   - two days later a sweep leaves nothing that belongs to nothing
 *
 * SIGKILL leaves the page cache as it is: that what was made durable survives a loss of power is not shown here.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Repository } from '../../src/backups/repository.ts';
import type { Host, Random } from '../../src/host/host.ts';
import { nodeHost } from '../../src/host/node/node-host.ts';
import { seededRandom } from '../fakes/host.ts';
import { removeDirectory, temporaryDirectory } from '../systems/temporary-directory.ts';
import { component, crashPlace, openOrCreate, restoredDigest, segmentBytes, storeDirectory, takeBackup } from './backup-crash-steps.ts';

const childProgram = fileURLToPath(new URL('./backup-crash-child.ts', import.meta.url));
/** A process lives at most so long: some operations of each kind. */
const lifeMaxMs = 1_500;
/** So many moments on one repository, then another one is made, and its making is killed too. */
const momentsPerRepository = 10;
const creationMaxMs = 60;
const readyTimeoutMs = 30_000;
const twoDaysMs = 2 * 86_400_000;

export interface CrashReport {
  readonly moments: number;
  readonly brokenCommits: number;
  readonly orphans: number;
}

interface Line {
  readonly begin?: string;
  readonly done?: string;
  readonly backupId?: string;
  readonly digest?: string;
  readonly name?: string;
  readonly mayGo?: readonly string[];
  readonly wrong?: string;
}

/** What a repository must hold, as its processes were told. */
class Expected {
  readonly committed = new Map<string, string>();
  readonly archived = new Set<string>();
  readonly mayBeGone = new Set<string>();
  /** Begun and not known to be done. */
  interrupted: { readonly what: string; readonly backupId: string | undefined } | undefined;

  add(line: Line): void {
    if (line.begin !== undefined) this.interrupted = { what: line.begin, backupId: line.backupId };
    if (line.done !== undefined) this.interrupted = undefined;
    for (const id of line.mayGo ?? []) this.mayBeGone.add(id);
    if (line.done === 'take') this.committed.set(line.backupId as string, line.digest as string);
    if (line.done === 'archive') this.archived.add(line.name as string);
  }
}

export class BackupCrashes {
  readonly #say: (line: string) => void;
  readonly #random: Random;
  readonly #mood: string | undefined;
  readonly findings: string[] = [];
  /** What was under way when the kill came. */
  readonly killedIn = new Map<string, number>();
  #moments = 0;
  #brokenCommits = 0;
  #orphans = 0;
  #directory: string | undefined;
  #expected = new Expected();
  #child: ChildProcess | undefined;

  constructor(seed: number, say: (line: string) => void, mood?: 'forgetful') {
    this.#random = seededRandom(seed);
    this.#say = say;
    this.#mood = mood;
  }

  async run(moments: number): Promise<CrashReport> {
    for (let moment = 0; moment < moments; moment += 1) {
      if (moment % momentsPerRepository === 0) await this.#beginRepository();
      await this.#killOnce(moment % momentsPerRepository === 0);
      await this.#look();
      this.#moments += 1;
    }
    return { moments: this.#moments, brokenCommits: this.#brokenCommits, orphans: this.#orphans };
  }

  async close(): Promise<void> {
    this.#child?.kill('SIGKILL');
    if (this.#directory !== undefined) await removeDirectory(this.#directory);
    this.#directory = undefined;
  }

  async #beginRepository(): Promise<void> {
    await this.close();
    this.#directory = await temporaryDirectory('crash-backups');
    this.#expected = new Expected();
  }

  async #killOnce(inCreation: boolean): Promise<void> {
    const seed = Math.floor(this.#random.next() * 2 ** 31);
    const afterMs = this.#random.next() * (inCreation ? creationMaxMs : lifeMaxMs);
    const args = [childProgram, this.#directory as string, String(seed), ...(this.#mood === undefined ? [] : [this.#mood])];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child = child;
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    const ended = new Promise<NodeJS.Signals | null>((resolve) => child.once('close', (_, signal) => resolve(signal)));
    const started = new Promise<void>((resolve) => {
      createInterface({ input: child.stdout }).on('line', (text) => {
        const line = JSON.parse(text) as Line;
        this.#expected.add(line);
        if (line.wrong !== undefined) this.#find(`the process itself restored ${line.wrong} with another digest`);
        if ((inCreation ? line.begin : line.done) === 'open') resolve();
      });
    });
    const limit = new AbortController();
    await Promise.race([started, ended, delay(readyTimeoutMs, undefined, { signal: limit.signal }).catch(() => undefined)]);
    limit.abort();
    await Promise.race([delay(afterMs), ended]);
    child.kill('SIGKILL');
    const signal = await ended;
    this.#child = undefined;
    if (signal !== 'SIGKILL') this.#find(`the process ended by itself: ${stderr.trim().slice(-2_000)}`);
    const what = this.#expected.interrupted?.what ?? 'between';
    this.killedIn.set(what, (this.killedIn.get(what) ?? 0) + 1);
  }

  #find(finding: string): void {
    this.#brokenCommits += 1;
    this.findings.push(finding);
    this.#say(`moment ${this.#moments + 1}: ${finding}`);
  }

  async #look(): Promise<void> {
    const directory = this.#directory as string;
    const repository = await this.#open(nodeHost({ logTo: 'silent' }));
    try {
      await this.#checkCommitted(repository);
      await this.#checkArchive(repository);
      await this.#goOn(repository);
    } finally {
      await repository.close();
    }
    await this.#sweepTwoDaysLater();
    await this.#countOrphans(directory);
  }

  async #open(host: Host): Promise<Repository> {
    const directory = this.#directory as string;
    const keyFile = join(directory, 'recovery-key');
    const { writeFile } = await import('node:fs/promises');
    return await openOrCreate(crashPlace(directory, host), (key) => writeFile(keyFile, key), keyFile);
  }

  async #checkCommitted(repository: Repository): Promise<void> {
    const { entries, unreadable } = await repository.readCatalogue();
    for (const { object, why } of unreadable) this.#find(`${object} can not be read: ${why}`);
    for (const { backup } of entries) {
      const { backupId, facts } = backup;
      try {
        const digest = await restoredDigest(repository, backupId, join(this.#directory as string, 'scratch'));
        const wanted = this.#expected.committed.get(backupId) ?? facts.more?.digest;
        if (digest !== wanted || digest !== facts.more?.digest) this.#find(`${backupId} restores with another digest`);
      } catch (error) {
        this.#find(`${backupId} does not restore: ${String(error)}`);
      }
    }
    const there = new Set(entries.map(({ backup }) => backup.backupId));
    for (const backupId of this.#expected.committed.keys())
      if (!there.has(backupId) && !this.#expected.mayBeGone.has(backupId)) this.#find(`${backupId} was committed and is gone`);
  }

  async #checkArchive(repository: Repository): Promise<void> {
    const archive = await repository.openArchive(component, 'history');
    for (const name of this.#expected.archived) {
      const found = await archive.fetch(name);
      const isRight = found?.whole === true && Buffer.compare(found.bytes, segmentBytes(Number.parseInt(name, 16))) === 0;
      if (!isRight) this.#find(`the log ${name} was archived and ${found === undefined ? 'is gone' : 'reads back otherwise'}`);
    }
  }

  /** The next run: the backup that was interrupted is taken again under its id. */
  async #goOn(repository: Repository): Promise<void> {
    const interrupted = this.#expected.interrupted;
    if (interrupted?.what !== 'take' || interrupted.backupId === undefined) return;
    const { backupId } = interrupted;
    if ((await repository.findBackup(component, backupId)) !== undefined) return;
    try {
      const digest = await takeBackup(repository, this.#directory as string, backupId);
      this.#expected.committed.set(backupId, digest);
    } catch (error) {
      this.#find(`${backupId} could not be taken again: ${String(error)}`);
    }
  }

  async #sweepTwoDaysLater(): Promise<void> {
    const host = nodeHost({ logTo: 'silent' });
    const later = await this.#open({ ...host, clock: { ...host.clock, nowMs: () => host.clock.nowMs() + twoDaysMs } });
    try {
      await later.sweepOrphans(twoDaysMs / 2);
    } finally {
      await later.close();
    }
  }

  /** Everything in the store must be of a backup that is there, of the archive, or the repository's own. */
  async #countOrphans(directory: string): Promise<void> {
    const repository = await this.#open(nodeHost({ logTo: 'silent' }));
    const { entries } = await repository.readCatalogue();
    const piecesOf = new Map(entries.map(({ backup }) => [backup.backupId, backup.pieces]));
    const slots = new Set((await repository.slots()).map(({ slot }) => slot));
    await repository.close();
    const found = new Map<string, number>();
    const files = await readdir(storeDirectory(directory), { recursive: true, withFileTypes: true });
    for (const file of files.filter((entry) => entry.isFile())) {
      const name = join(file.parentPath, file.name).slice(storeDirectory(directory).length + 1);
      const [kind, , backupId = '', folder] = name.split('/');
      const isOwn = kind === 'repo' || kind === 'capabilities' || kind === 'wal' || (kind === 'keys' && slots.has(name.slice(5)));
      const isOfBackup = ['backups', 'proofs', 'tombstones', 'leases'].includes(kind as string) && piecesOf.has(backupId);
      if (file.name.startsWith('.') || !(isOwn || isOfBackup)) this.#findOrphan(name);
      else if (kind === 'backups' && folder === 'pieces') found.set(backupId, (found.get(backupId) ?? 0) + 1);
    }
    for (const [backupId, pieces] of piecesOf) {
      const more = (found.get(backupId) ?? 0) - pieces;
      if (more > 0) this.#findOrphan(`${more} pieces below ${backupId} that its manifest does not name`);
    }
    if (!existsSync(storeDirectory(directory))) this.#find('the repository is gone');
  }

  #findOrphan(what: string): void {
    this.#orphans += 1;
    this.findings.push(`orphan: ${what}`);
    this.#say(`moment ${this.#moments + 1}: left for ever: ${what}`);
  }
}
