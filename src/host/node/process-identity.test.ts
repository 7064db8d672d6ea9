import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { isProcessGone, ownIdentity } from './process-identity.ts';

const self = ownIdentity() ?? '';
const [namespace, ownPid, ownStart] = self.split(' ');

function startOf(pid: number): string {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] as string;
}

describe.skipIf(process.platform !== 'linux')('the identity of a process', () => {
  test('this process is not gone', () => {
    expect(self).toMatch(/^pid:\[\d+\] \d+ \d+$/);
    expect(isProcessGone(self)).toBe(false);
  });

  test('another process is gone once it was killed, and not before', async () => {
    const child = spawn('sleep', ['60']);
    const identity = `${namespace} ${child.pid} ${startOf(child.pid as number)}`;
    expect(isProcessGone(identity)).toBe(false);
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(isProcessGone(identity)).toBe(true);
  });

  test('an id that was given to another process does not keep the first one alive', () => {
    expect(isProcessGone(`${namespace} ${ownPid} ${Number(ownStart) - 1}`)).toBe(true);
  });

  test.each(['', 'pid:[1] 4711 99', 'nonsense', `${namespace} 0 1`, `${namespace} -1 1`, `${namespace} ${ownPid}`])(
    'nothing is known of "%s"',
    (identity) => {
      expect(isProcessGone(identity)).toBe(false);
    },
  );
});
