/** What every kind of hands must do, written once and run over each. */
import { readdirSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { HoldfastError } from '../../src/base/errors.ts';
import { Secret } from '../../src/base/secret.ts';
import type { Hands, HandsCommand } from '../../src/contracts/hands.ts';
import { temporaryDirectory } from '../systems/temporary-directory.ts';

export interface HandsUnderTest {
  open(options?: { readonly as?: string }): Hands;
}

export async function failureOf(work: Promise<unknown>): Promise<HoldfastError> {
  const thrown = await work.then(
    (value) => new Error(`did not fail: ${JSON.stringify(value)}`),
    (error: unknown) => error,
  );
  if (!(thrown instanceof HoldfastError)) throw thrown;
  return thrown;
}

/** Command lines of all processes of this machine. */
function commandLines(): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
      } catch {
        return ''; // ended meanwhile
      }
    });
}

export function isRunning(pid: number): boolean {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

export const eventually = (holds: () => boolean, timeout = 10_000) => expect.poll(holds, { timeout, interval: 10 }).toBe(true);

export function handsConformance(name: string, subject: HandsUnderTest): void {
  describe(`hands: ${name}`, () => {
    let hands: Hands;
    let directory: string;
    const others: Hands[] = [];
    beforeEach(async () => {
      directory = await temporaryDirectory('hands');
      hands = subject.open();
    });
    afterEach(async () => {
      for (const each of [hands, ...others.splice(0)]) await each.close();
      await rm(directory, { recursive: true });
    });
    const sh = (script: string, more: Partial<HandsCommand> = {}) =>
      hands.run({ program: 'sh', args: ['-c', script], timeoutMs: 20_000, ...more });
    /** A number that the command writes to a file, once it is there. */
    const numberIn = async (file: string): Promise<number> => {
      const read = (): string => {
        try {
          return readFileSync(join(directory, file), 'utf8');
        } catch {
          return '';
        }
      };
      await eventually(() => read().endsWith('\n'));
      return Number(read());
    };

    test.each([0, 1, 7, 126, 127, 254, 255])('exit code %i is a result', async (exitCode) => {
      expect(await sh(`exit ${exitCode}`)).toEqual({ exitCode, stdout: '', stderr: '' });
    });

    test('keeps the outputs apart, passes input whole, and says nothing of its own', async () => {
      const stdin = `line one\n${'x'.repeat(300_000)}\nno end of line`;
      const result = await sh('cat; echo to-stderr >&2', { stdin });
      expect(result.stdout === stdin).toBe(true);
      expect(result.stderr).toBe('to-stderr\n');
    });

    test('without input the program finds its end at once', async () => {
      expect(await hands.run({ program: 'cat', args: [], timeoutMs: 10_000 })).toEqual({ exitCode: 0, stdout: '', stderr: '' });
    });

    test('arguments arrive as they are', async () => {
      const args = [
        "it's",
        '"two"',
        '$HOME `id` $(id)',
        'a\nb\n',
        '',
        ' ',
        '\\',
        '*',
        '~',
        '-n',
        '--',
        '!x',
        'ü€',
        '\t',
        ';exit 1',
        '#',
        '%s',
      ];
      const { stdout } = await hands.run({ program: 'printf', args: ['[%s]', ...args], timeoutMs: 10_000 });
      expect(stdout).toBe(args.map((arg) => `[${arg}]`).join(''));
    });

    test('the environment arrives as it is, and its values are in no command line while the program runs', async () => {
      const value = `s3cret-${Math.random()} 'q' "d" $x\nsecond line\n`;
      const run = sh(`echo $$ > ${directory}/pid; printf %s "$SECRET|$OTHER"; while [ ! -e ${directory}/go ]; do sleep 0.02; done`, {
        env: { SECRET: new Secret(value, 'test'), OTHER: 'o' },
      });
      await numberIn('pid');
      const lines = commandLines();
      expect(lines.some((line) => line.includes(directory))).toBe(true);
      expect(lines.filter((line) => line.includes(value.slice(0, 15)))).toEqual([]);
      await subject.open().run({ program: 'touch', args: [`${directory}/go`], timeoutMs: 10_000 });
      expect((await run).stdout).toBe(`${value}|o`);
    });

    test('the same small environment everywhere', async () => {
      const { stdout } = await sh('echo "$LANG $TZ"; locale -k LC_TIME 2>/dev/null | grep -c "^day=.*Monday"; command -v ldconfig');
      expect(stdout.split('\n').slice(0, 2)).toEqual(['C.UTF-8 UTC', '1']);
      expect(stdout).toContain('sbin/ldconfig');
    });

    test('a time-out is said in time, and kills what was started', async () => {
      const startedMs = performance.now();
      const failure = failureOf(sh(`echo $$ > ${directory}/parent; sleep 300 & echo $! > ${directory}/child; wait`, { timeoutMs: 1_500 }));
      const pids = [await numberIn('parent'), await numberIn('child')];
      expect((await failure).code).toBe('TIMED_OUT');
      expect(performance.now() - startedMs).toBeLessThan(4_000);
      await eventually(() => !pids.some(isRunning));
    });

    test('an abort is answered at once, and kills what was started', async () => {
      const abort = new AbortController();
      const failure = failureOf(sh(`echo $$ > ${directory}/pid; sleep 300`, { signal: abort.signal, timeoutMs: 300_000 }));
      const pid = await numberIn('pid');
      const abortedMs = performance.now();
      abort.abort();
      expect((await failure).code).toBe('INTERRUPTED');
      expect(performance.now() - abortedMs).toBeLessThan(1_000);
      await eventually(() => !isRunning(pid));
      expect((await failureOf(sh('true', { signal: AbortSignal.abort() }))).code).toBe('INTERRUPTED');
    });

    test('a program that is not there is HANDS_NO_PROGRAM', async () => {
      for (const program of ['no-such-program', '/no/such/program', '/etc/passwd']) {
        expect((await failureOf(hands.run({ program, args: [], timeoutMs: 10_000 }))).code).toBe('HANDS_NO_PROGRAM');
      }
    });

    test('output beyond the limit is cut, and the exit code comes all the same', async () => {
      const result = await sh('head -c 200000 /dev/zero | tr "\\0" o; head -c 200000 /dev/zero | tr "\\0" e >&2; exit 255', {
        maxOutputBytes: 1_000,
      });
      expect([result.stdout, result.stderr]).toEqual(['o'.repeat(1_000), 'e'.repeat(1_000)]);
      expect([254, 255]).toContain(result.exitCode);
    });

    test('with leaveChildren a server lives on after the command', async () => {
      const startedMs = performance.now();
      const result = await sh('sleep 300 & echo $!; echo warned >&2; exit 3', { leaveChildren: true, timeoutMs: 60_000 });
      const pid = Number(result.stdout);
      try {
        expect(result).toMatchObject({ exitCode: 3, stderr: 'warned\n' });
        expect(performance.now() - startedMs).toBeLessThan(10_000);
        expect(isRunning(pid)).toBe(true);
      } finally {
        process.kill(pid, 'SIGKILL');
      }
    });

    test('a stream is taken no faster than the program reads it, and arrives whole', async () => {
      const piece = Buffer.alloc(256 * 1024, 'x');
      const pieces = 192;
      let given = 0;
      async function* input() {
        for (; given < pieces; given += 1) yield piece;
      }
      const run = sh(`echo $$ > ${directory}/pid; while [ ! -e ${directory}/go ]; do sleep 0.02; done; wc -c`, {
        input: input(),
        env: { SECRET: 'two\nlines' },
        timeoutMs: 60_000,
      });
      await numberIn('pid');
      // What fits into pipes and windows on the way is gone; then the stream stands still.
      let before = -1;
      await expect
        .poll(
          () => {
            const still = given === before;
            before = given;
            return still;
          },
          { interval: 250, timeout: 20_000 },
        )
        .toBe(true);
      expect(given).toBeLessThan(pieces / 2);
      await subject.open().run({ program: 'touch', args: [`${directory}/go`], timeoutMs: 10_000 });
      expect(await run).toMatchObject({ exitCode: 0, stdout: `${pieces * piece.length}\n` });
    });

    test('a stream that fails ends the program, with its error; a program that ends early gives the stream up', async () => {
      async function* failing() {
        yield Buffer.from('beginning');
        await numberIn('failing');
        throw new HoldfastError('BACKUP_DAMAGED', { message: 'a piece is not what it was' });
      }
      const failure = await failureOf(sh(`echo $$ > ${directory}/failing; cat >/dev/null; sleep 300`, { input: failing() }));
      expect(failure.code).toBe('BACKUP_DAMAGED');
      const pid = await numberIn('failing');
      await eventually(() => !isRunning(pid));
      let closed = false;
      async function* endless() {
        try {
          for (;;) yield Buffer.alloc(65_536);
        } finally {
          closed = true;
        }
      }
      expect(await sh('head -c 10 >/dev/null; exit 3', { input: endless() })).toMatchObject({ exitCode: 3 });
      await eventually(() => closed);
    });

    test('many commands at once', async () => {
      const results = await Promise.all(Array.from({ length: 12 }, (_, index) => sh(`sleep 0.1; echo ${index}`)));
      expect(results.map(({ stdout }) => Number(stdout))).toEqual(Array.from({ length: 12 }, (_, index) => index));
      expect(new Set(results.map(({ stderr }) => stderr))).toEqual(new Set(['']));
    });

    test('check says that commands run; closed hands refuse', async () => {
      await hands.check(AbortSignal.timeout(10_000));
      await hands.close();
      expect((await failureOf(sh('true'))).code).toBe('INTERRUPTED');
    });

    describe.runIf(process.getuid?.() === 0)('as another user', () => {
      const asUser = (as: string): Hands => {
        const opened = subject.open({ as });
        others.push(opened);
        return opened;
      };

      test('commands run as that user, in its groups, with its home, and are killed as well', async () => {
        const nobody = asUser('nobody');
        const script = 'echo "$(id -un) $(id -gn) $(id -Gn) $USER $LOGNAME $SECRET"; cat; echo $$ >&2';
        const result = await nobody.run({ program: 'sh', args: ['-c', script], stdin: 'in', env: { SECRET: 's' }, timeoutMs: 10_000 });
        expect(result.stdout).toBe('nobody nogroup nogroup nobody nobody s\nin');
        const failure = failureOf(nobody.run({ program: 'sh', args: ['-c', 'sleep 300.25'], timeoutMs: 500 }));
        expect((await failure).code).toBe('TIMED_OUT');
        await eventually(() => !commandLines().includes('sleep\x00300.25\x00'));
        expect((await failureOf(nobody.run({ program: 'no-such-program', args: [], timeoutMs: 10_000 }))).code).toBe('HANDS_NO_PROGRAM');
      });

      test('as oneself needs nothing', async () => {
        expect((await asUser('root').run({ program: 'id', args: ['-un'], timeoutMs: 10_000 })).stdout).toBe('root\n');
      });

      test('a user that is not there is HANDS_WRONG_USER', async () => {
        expect((await failureOf(asUser('no-such-user').run({ program: 'true', args: [], timeoutMs: 10_000 }))).code).toBe(
          'HANDS_WRONG_USER',
        );
      });
    });
  });
}
