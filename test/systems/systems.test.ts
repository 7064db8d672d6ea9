import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile, rm, stat } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { startBind } from './bind.ts';
import { startHaproxy } from './haproxy.ts';
import { freePort, freePorts, releasePort } from './ports.ts';
import { startPrimary, startStandby } from './postgresql.ts';
import { processesOf, readProcess } from './process-tree.ts';
import { startRedis } from './redis.ts';
import { describeSystem, runsInCi } from './requirement.ts';
import { runProgram } from './run-program.ts';
import type { Running } from './server-process.ts';
import { startSshd } from './sshd.ts';
import { removeDirectory, temporaryDirectory } from './temporary-directory.ts';

const started: Running[] = [];

function keep<T extends Running>(running: T): T {
  started.push(running);
  return running;
}

afterEach(async () => {
  await Promise.all(started.splice(0).map((running) => running.stop({ graceMs: 1_000 })));
});

async function until(what: string, holds: () => boolean | Promise<boolean>, timeoutMs = 10_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`after ${timeoutMs} ms still not so: ${what}`);
    await delay(20);
  }
}

/** No process of the server lives: neither those known before, nor any in its group or directory. */
function expectNothingLeft(running: Running, before: readonly number[]): void {
  expect(before.filter((pid) => readProcess(pid) !== undefined)).toEqual([]);
  expect(processesOf([{ pid: running.pid, startTicks: '' }], [running.dir])).toEqual([]);
  expect(running.pids()).toEqual([]);
}

async function killLeavesNothingAndStopCleans(running: Running): Promise<void> {
  const before = running.pids();
  expect(before).toContain(running.pid);
  await running.kill();
  expectNothingLeft(running, before);
  expect(existsSync(running.dir)).toBe(true);
  await running.start();
  const again = running.pids();
  await running.stop();
  expectNothingLeft(running, again);
  expect(existsSync(running.dir)).toBe(false);
  await running.stop();
}

describe('ports', () => {
  it('are different, above 15000 and outside the range of outgoing connections', async () => {
    const ports = await freePorts(20, '127.0.0.9');
    expect(new Set(ports).size).toBe(20);
    for (const port of ports) {
      expect(port).toBeGreaterThan(15_000);
      expect(port).toBeLessThan(32_768);
      releasePort(port);
    }
  });

  it('are not given twice, also not to another process', async () => {
    const port = await freePort();
    const script = `
      import { createSocket } from 'node:dgram';
      const socket = createSocket('udp4');
      socket.on('error', (error) => { console.log(error.code); });
      socket.bind({ port: ${port}, address: '127.255.255.254' }, () => { console.log('got it'); socket.close(); });`;
    const claim = () => runProgram([process.execPath, '--input-type=module', '-e', script]);
    expect((await claim()).stdout.trim()).toBe('EADDRINUSE');
    releasePort(port);
    expect((await claim()).stdout.trim()).toBe('got it');
  });
});

describe('a requirement', () => {
  it('may not be skipped where CI is set', () => {
    expect(runsInCi({ CI: 'true' })).toBe(true);
    expect(runsInCi({ CI: '1' })).toBe(true);
    expect(runsInCi({ CI: 'false' })).toBe(false);
    expect(runsInCi({})).toBe(false);
  });
});

describe('a program that fails', () => {
  it('is reported in its own words', async () => {
    await expect(runProgram(['sh', '-c', 'echo "no such thing" >&2; exit 3'])).rejects.toThrow(/exit 3.*no such thing/);
  });

  it('is ended at its time limit', async () => {
    await expect(runProgram(['sleep', '60'], { timeoutMs: 50 })).rejects.toThrow(/time limit 50 ms/);
  });
});

describeSystem('postgresql', 'PostgreSQL', () => {
  it('starts a primary whose roles log in with their passwords, and leaves nothing behind', async () => {
    const primary = keep(await startPrimary({ settings: { max_connections: 21 } }));
    expect(await primary.query('SHOW max_connections')).toEqual([{ max_connections: '21' }]);
    await primary.query('CREATE TABLE orders (id int)', { role: 'app', database: 'app' });
    await expect(primary.query('SELECT pg_switch_wal()', { role: 'app', database: 'app' })).rejects.toThrow(/permission denied/);
    expect(primary.pids().length).toBeGreaterThan(3);
    expect(primary.logs()).toContain('ready to accept connections');
    await killLeavesNothingAndStopCleans(primary);
  });

  it('clones a standby that streams through its slot under its name', async () => {
    const primary = keep(await startPrimary());
    const standby = keep(await startStandby(primary, { applicationName: 'west', slot: 'west' }));
    const query = 'SELECT r.application_name, s.active FROM pg_stat_replication r JOIN pg_replication_slots s ON s.active_pid = r.pid';
    await until('the standby streams', async () => (await primary.query(query)).length === 1);
    expect(await primary.query(query)).toEqual([{ application_name: 'west', active: true }]);
    expect(await standby.query('SELECT pg_is_in_recovery() AS standby')).toEqual([{ standby: true }]);
  });

  it('kills also a server that somebody else started again in its directory', async () => {
    const primary = keep(await startPrimary());
    await primary.kill();
    const pgCtl = [...primary.commandPrefix, `${primary.binDirectory}/pg_ctl`, '-D', primary.dataDirectory];
    await runProgram([...pgCtl, '-w', '-l', '/dev/null', 'start']);
    const before = primary.pids();
    expect(before.length).toBeGreaterThan(3);
    await primary.kill();
    expectNothingLeft(primary, before);
  });

  it('gives every cluster the identity of the template, save on request', async () => {
    const identity = 'SELECT system_identifier AS id FROM pg_control_system()';
    const clusters = await Promise.all([startPrimary(), startPrimary(), startPrimary({ freshIdentity: true })]);
    const [one, two, fresh] = clusters.map(keep);
    expect(await one?.query(identity)).toEqual(await two?.query(identity));
    expect(await fresh?.query(identity)).not.toEqual(await one?.query(identity));
    expect(fresh?.passwords.holdfast).not.toBe(one?.passwords.holdfast);
  });
});

describeSystem('redis', 'Redis', () => {
  it('answers, keeps what it acknowledged over a kill, and leaves nothing behind', async () => {
    const redis = keep(await startRedis({ password: 'two words' }));
    expect(await redis.command('SET', 'order', '1')).toBe('OK');
    await redis.kill();
    await redis.start();
    expect(await redis.command('GET', 'order')).toBe('1');
    await killLeavesNothingAndStopCleans(redis);
  });

  it('replicates, and a promotion survives a restart by CONFIG REWRITE', async () => {
    const primary = keep(await startRedis({ password: 'secret', minReplicasToWrite: 1 }));
    await expect(primary.command('SET', 'order', '1')).rejects.toThrow(/NOREPLICAS/);
    const replica = keep(await startRedis({ password: 'secret', replicaOf: primary }));
    await until('the link is up', async () => (await replica.command('INFO', 'replication')).includes('master_link_status:up'));
    await until('the primary counts its replica', async () =>
      primary.command('SET', 'order', '2').then(
        () => true,
        () => false,
      ),
    );
    await replica.command('REPLICAOF', 'NO', 'ONE');
    expect(await replica.command('CONFIG', 'REWRITE')).toBe('OK');
    expect(await readFile(replica.configFile, 'utf8')).not.toContain('replicaof');
    await replica.kill();
    await replica.start();
    expect(await replica.command('ROLE')).toMatch(/^master/);
  });

  it('stays silent while paused and answers again after', async () => {
    const redis = keep(await startRedis());
    redis.pause();
    const answer = redis.command('PING');
    const first = await Promise.race([answer, delay(150, 'silence')]);
    redis.resume();
    expect([first, await answer]).toEqual(['silence', 'PONG']);
  });

  it('says why it could not start, and leaves nothing behind', async () => {
    const dir = await temporaryDirectory('refusing');
    await expect(startRedis({ dir, config: { 'no-such-directive': '1' } })).rejects.toThrow(/no-such-directive/);
    expect(processesOf([], [dir])).toEqual([]);
    await removeDirectory(dir);
  });
});

describeSystem('bind', 'BIND', () => {
  it('takes updates signed with the key, refuses others, and leaves nothing behind', async () => {
    const bind = keep(await startBind({ records: ['api 60 IN A 192.0.2.1'] }));
    const name = `api.${bind.zone}`;
    expect(await bind.records(name, 'A')).toEqual([{ name: `${name}.`, ttlSeconds: 60, type: 'A', data: '192.0.2.1' }]);
    const before = await bind.serial();
    await bind.update(`update delete ${name} A`, `update add ${name} 30 A 192.0.2.2`);
    expect(await bind.query(name, 'A')).toEqual(['192.0.2.2']);
    expect(await bind.serial()).toBeGreaterThan(before);

    const unsigned = `server ${bind.address} ${bind.port}\nzone ${bind.zone}\nupdate add ${name} 30 A 192.0.2.9\nsend\n`;
    await expect(runProgram(['nsupdate'], { input: unsigned })).rejects.toThrow(/REFUSED/);
    expect(await bind.query(`missing.${bind.zone}`, 'A')).toEqual([]);
    await killLeavesNothingAndStopCleans(bind);
  });
});

describeSystem('haproxy', 'HAProxy', () => {
  it('obeys its administrator on the socket, and leaves nothing behind', async () => {
    const haproxy = keep(
      await startHaproxy({
        servers: [
          { name: 'east', address: '127.0.0.1', port: await freePort(), weight: 100 },
          { name: 'west', address: '127.0.0.1', port: await freePort(), weight: 0 },
        ],
      }),
    );
    expect(await haproxy.admin(`set server ${haproxy.backend}/west weight 50`)).toBe('');
    expect(await haproxy.admin(`get weight ${haproxy.backend}/west`)).toBe('50 (initial 0)');
    await killLeavesNothingAndStopCleans(haproxy);
  });
});

describeSystem('sshd', 'OpenSSH', () => {
  it('runs a command for its own key and lets no other key in', async () => {
    const sshd = keep(await startSshd());
    const hello = await runProgram(['ssh', ...sshd.clientArguments, 'echo "hello $((40 + 2))"']);
    expect(hello.stdout).toBe('hello 42\n');
    const stranger = await temporaryDirectory('stranger');
    await runProgram(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', `${stranger}/key`]);
    const words = sshd.clientArguments.map((word) => (word === sshd.identityFile ? `${stranger}/key` : word));
    await expect(runProgram(['ssh', ...words, 'true'])).rejects.toThrow(/Permission denied/);
    await removeDirectory(stranger);
  });

  it('takes its sessions with it when killed', async () => {
    const sshd = keep(await startSshd());
    const session = runProgram(['ssh', ...sshd.clientArguments, 'sleep 300'], { anyExit: true });
    await until('the session runs', async () => {
      const { stdout } = await runProgram(['ps', '-o', 'args=', '-p', sshd.pids().join(',')]);
      return stdout.includes('sleep 300');
    });
    const before = sshd.pids();
    await sshd.kill();
    expectNothingLeft(sshd, before);
    expect((await session).exitCode).toBe(255);
    await sshd.start();
    await killLeavesNothingAndStopCleans(sshd);
  });
});

describeSystem(['redis', 'postgresql'], 'the watchdog', () => {
  it('ends every server of a process that was SIGKILLed, and removes their directories', async () => {
    const { child, servers } = await startOrphanFixture([]);
    expect(servers).toHaveLength(2);
    child.kill('SIGKILL');
    const pids = servers.flatMap((server) => server.pids);
    await until('all are gone', () => pids.every((pid) => readProcess(pid) === undefined));
    await until('the directories are gone', () => servers.every(({ dir }) => !existsSync(dir)));
  });

  it('leaves alone what is meant to outlive its process', async () => {
    const { child, servers, watchedDirectory } = await startOrphanFixture(['outlive']);
    const [redis] = servers;
    if (redis === undefined) throw new Error('the fixture started nothing');
    try {
      child.kill('SIGKILL');
      // Directories go last: once this one is gone, the watchdog has killed what it would kill.
      await until('the watchdog has done its work', () => !existsSync(watchedDirectory));
      expect(readProcess(redis.pid)).toBeDefined();
      expect((await stat(redis.dir)).isDirectory()).toBe(true);
    } finally {
      process.kill(redis.pid, 'SIGKILL');
      await until('it is gone', () => readProcess(redis.pid) === undefined);
      await rm(redis.dir, { recursive: true, force: true });
    }
  });
});

interface FixtureServer {
  readonly pid: number;
  readonly dir: string;
  readonly pids: readonly number[];
}

interface FixtureFacts {
  readonly watchedDirectory: string;
  readonly servers: readonly FixtureServer[];
}

async function startOrphanFixture(args: string[]): Promise<FixtureFacts & { child: ChildProcess }> {
  const program = fileURLToPath(new URL('./orphan-fixture.ts', import.meta.url));
  const child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  for await (const line of createInterface({ input: child.stdout })) {
    return { child, ...(JSON.parse(line) as FixtureFacts) };
  }
  throw new Error('the fixture ended without a word');
}
