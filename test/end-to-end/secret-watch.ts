/** Looks for secrets where they must never be: in the arguments of any process while something runs, and in files afterwards. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

export interface Found {
  readonly secret: string;
  readonly where: string;
}

const everyMs = 15;
const largestFileBytes = 64 * 1024 * 1024;

/** What a secret may look like once it has been put into something else. */
function formsOf(value: string): string[] {
  return [...new Set([value, encodeURIComponent(value), Buffer.from(value).toString('base64'), JSON.stringify(value).slice(1, -1)])];
}

export class SecretWatch {
  readonly #secrets: readonly { readonly name: string; readonly forms: readonly string[] }[];
  readonly #found = new Map<string, Found>();
  readonly #programs = new Set<string>();
  #timer: NodeJS.Timeout | undefined;
  looks = 0;

  constructor(secrets: Readonly<Record<string, string>>) {
    this.#secrets = Object.entries(secrets).map(([name, value]) => ({ name, forms: formsOf(value) }));
  }

  get found(): readonly Found[] {
    return [...this.#found.values()];
  }

  /** First words of what has been seen to run: shows that the looks were not too seldom. */
  get programs(): ReadonlySet<string> {
    return this.#programs;
  }

  start(): this {
    this.#timer = setInterval(() => this.#lookAtProcesses(), everyMs);
    return this;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** @param where named in what is found */
  lookAt(text: string, where: string): void {
    for (const { name, forms } of this.#secrets)
      if (forms.some((form) => text.includes(form))) this.#found.set(`${name} ${where}`, { secret: name, where });
  }

  /** Every file below, as bytes: a database is searched as it lies on the disk. Returns how many were read. */
  lookAtFiles(directory: string, wanted: (path: string) => boolean = () => true): number {
    let count = 0;
    for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      if (!entry.isFile() || !wanted(path) || statSync(path).size > largestFileBytes) continue;
      this.lookAt(readFileSync(path).toString('latin1'), path);
      count += 1;
    }
    return count;
  }

  #lookAtProcesses(): void {
    this.looks += 1;
    for (const entry of readdirSync('/proc')) {
      if (!/^\d+$/.test(entry)) continue;
      try {
        const words = readFileSync(`/proc/${entry}/cmdline`, 'latin1');
        if (words === '') continue;
        this.#programs.add((words.split('\0')[0] ?? '').split('/').at(-1) ?? '');
        this.lookAt(words, `arguments of ${words.split('\0').slice(0, 2).join(' ').slice(0, 100)}`);
      } catch {
        // It has ended between the two looks.
      }
    }
  }
}
