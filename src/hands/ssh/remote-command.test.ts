import { existsSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Secret } from '../../base/secret.ts';
import type { HandsCommand } from '../../contracts/hands.ts';
import { nodeProcesses } from '../../host/node/processes.ts';
import { readRemoteResult, remoteCommandLine, remoteInput } from './remote-command.ts';
import { shellCommand } from './shell-quote.ts';

const processes = nodeProcesses();
const nonce = 'abcdef0123456789';
const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({ unit: fc.constantFrom("'", '"', '\\', '$', '`', '\n', ' ', '\t', '!', '*', '~', '-', ';', '&', '|', '#', 'a', '\r', '%') }),
);
const word = text.map((each) => each.replaceAll('\0', '').replace(/\p{Surrogate}/gu, ''));
const shells = ['/bin/sh', '/bin/bash', '/bin/busybox'].filter((path) => existsSync(path));

/** As sshd does it: the command line to the login shell. */
const runIn = (shell: string, command: HandsCommand) =>
  processes.run({
    program: shell,
    args: [...(shell.endsWith('busybox') ? ['sh'] : []), '-c', remoteCommandLine(command, nonce, undefined)],
    stdin: remoteInput(command),
    timeoutMs: 10_000,
  });

describe.each(shells)('by %s', (shell) => {
  test('words are read back as they were, whatever is in them', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(word, { minLength: 1, maxLength: 5 }), async (words) => {
        const applet = shell.endsWith('busybox') ? ['sh'] : [];
        const { stdout } = await processes.run({
          program: shell,
          args: [...applet, '-c', shellCommand(['printf', '%s\\0', ...words])],
          timeoutMs: 5_000,
        });
        expect(stdout).toBe(words.map((each) => `${each}\0`).join(''));
      }),
      { numRuns: 60 },
    );
  });

  test('arguments, environment and input arrive as they were', async () => {
    const variable = fc.stringMatching(/^[A-Z][A-Z0-9_]{0,8}$/).map((name) => `T_${name}`);
    await fc.assert(
      fc.asyncProperty(fc.array(word, { maxLength: 4 }), fc.dictionary(variable, word, { maxKeys: 3 }), word, async (args, env, stdin) => {
        const script = 'printf "%s\\0" "$@"; for name in $NAMES; do eval "printf \'%s\\0\' \\"\\$$name\\""; done; cat';
        const command = {
          program: 'sh',
          args: ['-c', script, 'sh', ...args],
          env: { ...env, NAMES: Object.keys(env).join(' ') },
          stdin,
          timeoutMs: 5_000,
        };
        const result = await runIn(shell, command);
        const strings = [...(args.length === 0 ? [''] : args), ...Object.values(env)];
        expect(result).toEqual({ exitCode: 0, stdout: `${strings.map((each) => `${each}\0`).join('')}${stdin}`, stderr: '' });
      }),
      { numRuns: 40 },
    );
  });

  test.each([0, 1, 126, 127, 254, 255])("the exit code %i is the program's own", async (exitCode) => {
    const command = { program: 'sh', args: ['-c', `echo out; echo err >&2; exit ${exitCode}`], timeoutMs: 5_000 };
    const result = readRemoteResult(await runIn(shell, command), command, nonce, { hands: 'there', as: undefined });
    expect(result).toEqual({ exitCode, stdout: 'out\n', stderr: 'err\n' });
  });

  test('a program that is not there is told from one that exits 127', async () => {
    const command = { program: 'no-such-program', args: [], timeoutMs: 5_000 };
    expect(readRemoteResult(await runIn(shell, command), command, nonce, { hands: 'there', as: undefined })).toMatchObject({
      code: 'HANDS_NO_PROGRAM',
    });
  });

  test('leaves no watchdog behind, with or without children that live on', async () => {
    for (const leaveChildren of [true, false]) {
      await runIn(shell, { program: 'true', args: [], timeoutMs: 765_000, leaveChildren });
      await expect
        .poll(async () => (await processes.run({ program: 'pgrep', args: ['-fx', 'sleep 766'], timeoutMs: 5_000 })).stdout)
        .toBe('');
    }
  });

  test('the watchdog kills the whole group when the time is over', async () => {
    const command = { program: 'sh', args: ['-c', 'sleep 613 & sleep 613'], timeoutMs: 1 };
    const result = await runIn(shell, command);
    expect(result.exitCode).toBe(137);
    expect((await processes.run({ program: 'pgrep', args: ['-fx', 'sleep 613'], timeoutMs: 5_000 })).stdout).toBe('');
  });
});

test('no value of the environment is in the command line', () => {
  const command = { program: 'p', args: ['a'], env: { X: new Secret('hunter2', 'test'), Y: 'plain-value' }, timeoutMs: 1 };
  expect(remoteCommandLine(command, nonce, undefined)).not.toMatch(/hunter2|plain-value/);
});
