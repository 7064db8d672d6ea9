/**
 * Network namespaces as regions: each has a network of its own, and a router namespace between them forwards, drops or delays what they send to each other. Takes root, `ip` and `nft`.
 *
 * Invariant: the machine's own network is never touched: every link has both of its ends inside namespaces of ours, so the names of the namespaces are all that could be left behind. A
 * name holds the id and the start of its owner, and whoever starts later removes what a dead owner left, with every process that still lives in it.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { isAlive, type ProcessIdentity, readProcess, signalEach } from './process-tree.ts';
import { requireProgram } from './programs.ts';
import { runProgram } from './run-program.ts';
import { type Running, startServer } from './server-process.ts';
import { temporaryDirectory } from './temporary-directory.ts';

export interface Namespace {
  readonly name: string;
  /** The address of everything in it. */
  readonly address: string;
  /** Put before a command so that it runs inside. */
  readonly commandPrefix: readonly string[];
  /** Every process that lives in it now. */
  pids(): Promise<number[]>;
}

/** What vanishes, in words of nft before the verdict. */
export interface Cut {
  /** Between the namespaces, or where the namespace's own programs send. */
  readonly at: 'router' | Namespace;
  readonly matches: readonly string[];
}

export interface NetworkWorld {
  readonly namespaces: readonly Namespace[];
  /** Several cuts are made at once; each vanishes with `heal`. */
  cut(cuts: readonly Cut[]): Promise<void>;
  heal(): Promise<void>;
  /** Kills what still runs inside, and takes all of it away. Harmless when repeated. */
  stop(): Promise<void>;
}

const prefix = 'holdfast';
const tableName = 'holdfast_cuts';
const lateDevice = 'late';
const goneTimeoutMs = 10_000;

/** @param options.delayMs how late each packet from one namespace to another is, each way */
export async function startNetworkWorld(names: readonly string[], options: { readonly delayMs?: number } = {}): Promise<NetworkWorld> {
  await sweepNamespacesOfTheDead();
  const owner = readProcess(process.pid);
  const own = `${prefix}-${process.pid}-${owner?.startTicks}-${Math.floor(Math.random() * 1e6)}`;
  const router = namespaceOf(`${own}-router`, '');
  const namespaces = names.map((name, index) => namespaceOf(`${own}-${name}`, `10.91.${index + 1}.1`));
  const all = [router, ...namespaces];
  let relay: Running | undefined;
  const stop = async (): Promise<void> => {
    await relay?.stop();
    for (const each of all) await removeNamespace(each.name);
  };
  try {
    for (const each of all) await run('ip', 'netns', 'add', each.name);
    await inside(router, `${settings(['ip_forward'], 1)}\nip link set lo up`);
    for (const [index, each] of namespaces.entries()) await connectToRouter(router, each, index + 1);
    if ((options.delayMs ?? 0) > 0) relay = await startRelay(router, namespaces.length, options.delayMs ?? 0);
  } catch (error) {
    await stop();
    throw error;
  }
  let touched: Namespace[] = [];
  return {
    namespaces,
    cut: async (cuts) => {
      for (const { at, matches } of cuts) {
        const place = at === 'router' ? router : at;
        touched.push(place);
        const chain = at === 'router' ? 'forward' : 'output';
        const rules = matches.map((match) => `add rule ip ${tableName} ${chain} ${match} drop`);
        const head = [`add table ip ${tableName}`, `add chain ip ${tableName} ${chain} { type filter hook ${chain} priority 0; }`];
        await runProgram([...place.commandPrefix, requireProgram('nft'), '-f', '-'], { input: `${[...head, ...rules].join('\n')}\n` });
      }
    },
    heal: async () => {
      const places = new Set(touched);
      touched = [];
      for (const place of places) {
        // Adding what is there does nothing; removing what is not there is refused.
        const input = `add table ip ${tableName}\ndelete table ip ${tableName}\n`;
        await runProgram([...place.commandPrefix, requireProgram('nft'), '-f', '-'], { input });
      }
    },
    stop,
  };
}

function namespaceOf(name: string, address: string): Namespace {
  return {
    name,
    address,
    commandPrefix: [requireProgram('nsenter'), `--net=/run/netns/${name}`, '--'],
    pids: () => pidsIn(name),
  };
}

async function pidsIn(name: string): Promise<number[]> {
  const { stdout } = await runProgram([requireProgram('ip'), 'netns', 'pids', name]);
  return stdout.split('\n').filter(Boolean).map(Number);
}

async function run(...command: string[]): Promise<void> {
  await runProgram([requireProgram(command[0] as string), ...command.slice(1)]);
}

async function inside(place: Namespace, script: string): Promise<void> {
  await runProgram([...place.commandPrefix, 'sh', '-e'], { input: `${script}\n` });
}

function settings(names: readonly string[], value: number): string {
  return names.map((name) => `echo ${value} > /proc/sys/net/ipv4/${name}`).join('\n');
}

async function connectToRouter(router: Namespace, place: Namespace, number: number): Promise<void> {
  await run('ip', '-n', router.name, 'link', 'add', `r${number}`, 'type', 'veth', 'peer', 'name', 'out', 'netns', place.name);
  const network = place.address.replace(/\.\d+$/, '');
  await inside(router, [`ip addr add ${network}.254/24 dev r${number}`, `ip link set r${number} up`].join('\n'));
  await inside(
    place,
    ['ip link set lo up', `ip addr add ${place.address}/24 dev out`, 'ip link set out up', `ip route add default via ${network}.254`].join(
      '\n',
    ),
  );
}

/**
 * The kernel of a small virtual machine often has no queue that delays (netem). So what comes from a namespace is routed into a TUN device, where a small program holds it back and puts
 * it in again; what comes from there is routed to its end.
 */
async function startRelay(router: Namespace, count: number, delayMs: number): Promise<Running> {
  const program = join(import.meta.dirname, 'late-relay.py');
  const relay = await startServer({
    name: `relay that is ${delayMs} ms late`,
    address: '',
    port: 0,
    dir: await temporaryDirectory('relay'),
    command: [...router.commandPrefix, '/usr/bin/python3', '-I', program, lateDevice, String(delayMs)],
    isReady: async () => (await runProgram([...router.commandPrefix, 'ip', 'link', 'show', lateDevice], { anyExit: true })).exitCode === 0,
  });
  const forwarded = Array.from({ length: count }, (_, index) => `ip rule add iif r${index + 1} lookup 100`);
  // The same packet is seen twice, the second time from a device that its sender does not live behind.
  const trusting = ['conf/all/rp_filter', 'conf/default/rp_filter', `conf/${lateDevice}/rp_filter`];
  await inside(
    router,
    [`ip link set ${lateDevice} up`, settings(trusting, 0), ...forwarded, `ip route add default dev ${lateDevice} table 100`].join('\n'),
  );
  return relay;
}

/** What an owner that was killed has left: its servers died with it, by the watchdog, and the names stay. */
export async function sweepNamespacesOfTheDead(): Promise<readonly string[]> {
  const left = listNamespaces().filter((name) => {
    const [, pid, startTicks] = new RegExp(`^${prefix}-(\\d+)-(\\d+)-`).exec(name) ?? [];
    return pid !== undefined && !isAlive({ pid: Number(pid), startTicks: startTicks ?? '' });
  });
  for (const name of left) await removeNamespace(name);
  return left;
}

export function listNamespaces(): string[] {
  try {
    return readdirSync('/run/netns');
  } catch {
    return []; // There never was one.
  }
}

async function removeNamespace(name: string): Promise<void> {
  if (!listNamespaces().includes(name)) return;
  const deadline = performance.now() + goneTimeoutMs;
  for (let pids = await pidsIn(name); pids.length > 0; pids = await pidsIn(name)) {
    const identities = pids.map(readProcess).filter((facts): facts is ProcessIdentity & NonNullable<typeof facts> => facts !== undefined);
    signalEach(identities, 'SIGKILL');
    if (performance.now() > deadline) throw new Error(`processes ${pids.join(', ')} in the namespace ${name} survive SIGKILL`);
    if (identities.length === 0) break;
  }
  // Somebody else may sweep at the same time.
  const { exitCode, stderr } = await runProgram([requireProgram('ip'), 'netns', 'delete', name], { anyExit: true });
  if (exitCode !== 0 && listNamespaces().includes(name)) throw new Error(`the namespace ${name} can't be removed: ${stderr}`);
}
