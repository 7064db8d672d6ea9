/** The network world keeps its promises: cuts cut, delays delay, and nothing stays behind, whoever dies. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, expect, it } from 'vitest';
import { listNamespaces, type Namespace, type NetworkWorld, startNetworkWorld, sweepNamespacesOfTheDead } from './network-namespaces.ts';
import { describeSystem } from './requirement.ts';
import { runProgram } from './run-program.ts';

const worlds: NetworkWorld[] = [];
afterEach(async () => {
  for (const world of worlds.splice(0)) await world.stop();
});

async function build(names: readonly string[], delayMs?: number): Promise<{ world: NetworkWorld; places: readonly Namespace[] }> {
  const world = await startNetworkWorld(names, delayMs === undefined ? {} : { delayMs });
  worlds.push(world);
  return { world, places: world.namespaces };
}

/** How long one datagram takes there and back; undefined when nothing came back. */
async function echoMs(from: Namespace, to: Namespace): Promise<number | undefined> {
  const answer =
    "import socket;s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM);s.bind(('0.0.0.0',7));s.settimeout(3);print('up',flush=True);d,a=s.recvfrom(9);s.sendto(d,a)";
  const ask = `import socket,time;s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM);s.settimeout(0.6);t=time.monotonic();s.sendto(b'x',('${to.address}',7));s.recvfrom(9);print((time.monotonic()-t)*1000)`;
  const python = (place: Namespace, code: string) => [...place.commandPrefix, '/usr/bin/python3', '-I', '-c', code];
  const [program, ...args] = python(to, answer) as [string, ...string[]];
  const server = spawn(program, args, { stdio: ['ignore', 'pipe', 'ignore'] });
  try {
    await new Promise((resolve) => createInterface({ input: server.stdout }).once('line', resolve));
    const { exitCode, stdout } = await runProgram(python(from, ask), { anyExit: true, timeoutMs: 10_000 });
    return exitCode === 0 ? Number(stdout) : undefined;
  } finally {
    server.kill('SIGKILL');
  }
}

describeSystem('namespaces', 'regions as network namespaces', () => {
  it('reach each other, are cut one way or both, and are healed', async () => {
    const { world, places } = await build(['a', 'b']);
    const [a, b] = places as [Namespace, Namespace];
    expect(await echoMs(a, b)).toBeLessThan(100);
    await world.cut([{ at: 'router', matches: [`ip saddr ${b.address}`] }]);
    expect(await echoMs(a, b)).toBeUndefined();
    await world.heal();
    await world.cut([{ at: a, matches: ['oifname "out" meta skgid 47110'] }]);
    expect(await echoMs(a, b)).toBeLessThan(100);
    await world.heal();
    await world.stop();
    expect(listNamespaces().filter((name) => [a.name, b.name].includes(name))).toEqual([]);
  });

  it('are as far apart as was asked for', async () => {
    const { places } = await build(['a', 'b'], 40);
    const [a, b] = places as [Namespace, Namespace];
    const roundTripMs = await echoMs(a, b);
    expect(roundTripMs).toBeGreaterThanOrEqual(80);
    expect(roundTripMs).toBeLessThan(200);
  });

  it('are swept by whoever comes next when their owner was killed', async () => {
    const program = `const { startNetworkWorld } = await import(${JSON.stringify(join(import.meta.dirname, 'network-namespaces.ts'))});
      const { namespaces } = await startNetworkWorld(['a']); console.log(namespaces[0].name); setInterval(() => {}, 1e6);`;
    const owner = spawn(process.execPath, ['--input-type=module-typescript', '-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
    const name = await new Promise<string>((resolve) => createInterface({ input: owner.stdout }).once('line', resolve));
    expect(existsSync(`/run/netns/${name}`)).toBe(true);
    expect(await sweepNamespacesOfTheDead()).not.toContain(name);
    const gone = new Promise((resolve) => owner.once('exit', resolve));
    owner.kill('SIGKILL');
    await gone;
    // Another process that starts at this moment may have been first.
    await sweepNamespacesOfTheDead();
    expect(existsSync(`/run/netns/${name}`)).toBe(false);
  });
});
