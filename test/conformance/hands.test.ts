import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import type { Hands, HandsOptions } from '../../src/contracts/hands.ts';
import { openHands } from '../../src/hands/open-hands.ts';
import type { Host, ProcessRequest } from '../../src/host/host.ts';
import { nodeHost } from '../../src/host/node/node-host.ts';
import { freePort } from '../systems/ports.ts';
import { describeSystem } from '../systems/requirement.ts';
import { type RunningSshd, startSshd } from '../systems/sshd.ts';
import { eventually, failureOf, handsConformance, isRunning } from './hands.ts';

/** Keeps bash from running the user's ~/.bashrc, which is not what is tested here and may do anything. */
const quietLogin = 'SetEnv SHLVL=1';

const host = nodeHost({ logTo: 'silent' });

handsConformance('local', { open: (options = {}) => openHands({ kind: 'local', ...options }, { host }) });

describeSystem('sshd', 'on sshd', () => {
  let sshd: RunningSshd;
  const opened: Hands[] = [];
  const servers: RunningSshd[] = [];
  beforeAll(async () => {
    sshd = await startSshd({ config: ['MaxSessions 4', quietLogin] });
  });
  afterEach(async () => {
    for (const hands of opened.splice(0)) await hands.close();
    for (const server of servers.splice(0)) await server.stop();
  });
  afterAll(() => sshd.stop());

  const own = async (): Promise<RunningSshd> => {
    const server = await startSshd({ config: [quietLogin] });
    servers.push(server);
    return server;
  };
  const optionsFor = (server: RunningSshd): Extract<HandsOptions, { kind: 'ssh' }> => ({
    kind: 'ssh',
    host: server.host,
    port: server.port,
    user: server.user,
    identityFile: server.identityFile,
    knownHostsFile: server.knownHostsFile,
  });
  const open = (options: HandsOptions, through: Host = host): Hands => {
    const hands = openHands(options, { host: through });
    opened.push(hands);
    return hands;
  };
  const command = (script: string, timeoutMs = 20_000) => ({ program: 'sh', args: ['-c', script], timeoutMs });
  const masterOf = async (hands: Hands): Promise<number> => {
    // The session's parents: sshd's session process; on our side, the ssh that holds the socket.
    await hands.run(command('true'));
    const pids = execFileSync('ps', ['-eo', 'pid=,args='], { encoding: 'utf8' })
      .split('\n')
      .filter((line) => /ssh: \/tmp\/holdfast-ssh-.*\[mux\]/.test(line) && masters.some((path) => line.includes(path)))
      .map((line) => Number(line.trim().split(' ')[0]));
    return pids[0] ?? 0;
  };
  /** Socket directories of the hands opened through `watching`. */
  let masters: string[] = [];
  const sshCalls: ProcessRequest[] = [];
  const watching: Host = {
    ...host,
    processes: {
      run: (request) => {
        if (request.program === 'ssh') sshCalls.push(request);
        const path = request.args.find((word) => word.startsWith('ControlPath='))?.slice('ControlPath='.length);
        if (path !== undefined && !masters.includes(path)) masters.push(path);
        return host.processes.run(request);
      },
    },
  };
  beforeEach(() => {
    masters = [];
    sshCalls.length = 0;
  });

  handsConformance('ssh', { open: (options = {}) => open({ ...optionsFor(sshd), ...options }) });

  test('later commands share the connection', async () => {
    const hands = open(optionsFor(sshd), watching);
    const first = await hands.run(command('echo $SSH_CONNECTION'));
    const second = await hands.run(command('echo $SSH_CONNECTION'));
    expect(second.stdout).toBe(first.stdout);
    expect(sshCalls).toHaveLength(3); // connect, command, command
  });

  test('closing ends the shared connection and leaves nothing', async () => {
    const hands = open(optionsFor(sshd), watching);
    const pid = await masterOf(hands);
    expect(pid).toBeGreaterThan(0);
    await hands.close();
    await eventually(() => !isRunning(pid));
    await expect(host.files.exists(join(masters[0] ?? '/', '..'))).resolves.toBe(false);
  });

  test('a host key that nobody knows is HANDS_HOST_KEY', async () => {
    const server = await own();
    writeFileSync(server.knownHostsFile, '');
    const error = await failureOf(open(optionsFor(server)).run(command('true')));
    expect([error.code, error.details.cause]).toEqual(['HANDS_HOST_KEY', 'unknown']);
    expect(readFileSync(server.knownHostsFile, 'utf8')).toBe('');
  });

  test('a changed host key is HANDS_HOST_KEY', async () => {
    const server = await own();
    const other = readFileSync(sshd.knownHostsFile, 'utf8').split(' ').slice(1).join(' ');
    writeFileSync(server.knownHostsFile, `[${server.host}]:${server.port} ${other}`);
    const error = await failureOf(open(optionsFor(server)).run(command('true')));
    expect([error.code, error.details.cause]).toEqual(['HANDS_HOST_KEY', 'changed']);
  });

  test('a key that the host does not accept is HANDS_KEY_REJECTED', async () => {
    const server = await own();
    const error = await failureOf(open({ ...optionsFor(sshd), identityFile: server.identityFile }).run(command('true')));
    expect(error.code).toBe('HANDS_KEY_REJECTED');
    const missing = await failureOf(open({ ...optionsFor(sshd), identityFile: '/no/such/key' }).run(command('true')));
    expect(missing.code).toBe('HANDS_KEY_REJECTED');
  });

  test('a closed port is HANDS_UNREACHABLE at once, and so is an unknown name', async () => {
    const startedMs = performance.now();
    const error = await failureOf(open({ ...optionsFor(sshd), port: await freePort() }).run(command('true')));
    expect([error.code, error.details.cause, error.kind]).toEqual(['HANDS_UNREACHABLE', 'refused', 'transient']);
    expect(performance.now() - startedMs).toBeLessThan(2_000);
    const name = await failureOf(open({ ...optionsFor(sshd), host: 'nobody.invalid' }).run(command('true')));
    expect([name.code, name.details.cause]).toEqual(['HANDS_UNREACHABLE', 'name']);
  });

  test('a frozen sshd ends a first command by its time-out', async () => {
    const server = await own();
    server.pause();
    const startedMs = performance.now();
    const error = await failureOf(open(optionsFor(server)).run(command('true', 800)));
    expect(error.code).toBe('TIMED_OUT');
    expect(performance.now() - startedMs).toBeLessThan(2_000);
    server.resume();
  });

  test('a frozen host ends a command on the shared connection by its time-out; after it goes on, the next one works', async () => {
    const server = await own();
    const hands = open(optionsFor(server));
    await hands.run(command('true'));
    server.pause();
    const startedMs = performance.now();
    expect((await failureOf(hands.run(command('true', 800)))).code).toBe('TIMED_OUT');
    expect(performance.now() - startedMs).toBeLessThan(2_000);
    server.resume();
    expect((await hands.run(command('echo back'))).stdout).toBe('back\n');
  });

  test('a server that was killed and started again is found out before anything is sent: the command runs once', async () => {
    const server = await own();
    const hands = open(optionsFor(server), watching);
    await hands.run(command('true'));
    await server.kill();
    expect((await failureOf(hands.run(command('true')))).kind).not.toBe('bug');
    await server.start();
    expect((await hands.run(command('echo again'))).stdout).toBe('again\n');
  });

  test('a connection whose peer went silent is dropped after a probe, and the command runs over a new one', async () => {
    const server = await own();
    let shiftMs = 0;
    const later: Host = { ...watching, clock: { ...host.clock, monotonicMs: () => host.clock.monotonicMs() + shiftMs } };
    const hands = open(optionsFor(server), later);
    await hands.run(command('true'));
    // Freezes the session only: the listener goes on, as after a failover of the address.
    const sessions = server.pids().filter((pid) => pid !== server.pid);
    for (const pid of sessions) process.kill(pid, 'SIGSTOP');
    shiftMs = 60_000;
    expect((await hands.run(command('echo anew'))).stdout).toBe('anew\n');
    expect(masters).toHaveLength(2);
  });

  test('a master process that was killed is replaced', async () => {
    const hands = open(optionsFor(sshd), watching);
    const pid = await masterOf(hands);
    process.kill(pid, 'SIGKILL');
    await eventually(() => !isRunning(pid));
    expect((await hands.run(command('echo still'))).stdout).toBe('still\n');
  });

  test('a connection that ends under a command leaves the outcome unknown: nothing is sent again', async () => {
    const server = await own();
    const hands = open(optionsFor(server), watching);
    const failure = failureOf(hands.run(command(`echo started >> ${server.dir}/marks; sleep 300`, 60_000)));
    await eventually(() => {
      try {
        return readFileSync(`${server.dir}/marks`, 'utf8') === 'started\n';
      } catch {
        return false;
      }
    });
    await server.kill();
    const error = await failure;
    expect([error.code, error.kind]).toEqual(['SYSTEM_OUTCOME_UNKNOWN', 'unknown-outcome']);
    expect(readFileSync(`${server.dir}/marks`, 'utf8')).toBe('started\n');
  });

  test('the far end keeps the time by itself when this end is gone', async () => {
    const server = await own();
    const chance = Buffer.from(host.random.bytes(8));
    const source = (path: string): string => JSON.stringify(join(import.meta.dirname, '../../src', path));
    const script = `Promise.all([import(${source('hands/open-hands.ts')}), import(${source('host/node/node-host.ts')})]).then(([{ openHands }, { nodeHost }]) => {
      const random = { next: Math.random, bytes: (count) => Buffer.alloc(count, '${chance.toString('hex')}', 'hex') };
      const hands = openHands(${JSON.stringify(optionsFor(server))}, { host: { ...nodeHost({ logTo: 'silent' }), random } });
      return hands.run({ program: 'sh', args: ['-c', 'echo $$ > ${server.dir}/pid; sleep 300'], timeoutMs: 4_000 });
    })`;
    const abort = new AbortController();
    const child = failureOf(
      host.processes.run({ program: process.execPath, args: ['-e', script], timeoutMs: 60_000, signal: abort.signal }),
    );
    const read = (): string => (existsSync(`${server.dir}/pid`) ? readFileSync(`${server.dir}/pid`, 'utf8') : '');
    await eventually(() => read().endsWith('\n'));
    abort.abort(); // kills the process, and so its ssh, before its own time-out
    expect((await child).code).toBe('INTERRUPTED');
    const pid = Number(read());
    expect(isRunning(pid)).toBe(true);
    await eventually(() => !isRunning(pid));
    await host.files.remove(`/tmp/holdfast-ssh-${chance.toString('hex')}`);
  });
});
