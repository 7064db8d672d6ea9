/** What stands behind the drivers of one controller process: the simulated systems, reached over the simulated network, as long as the process lives. */
import { fail } from '../../src/base/errors.ts';
import type { Hands } from '../../src/contracts/hands.ts';
import type { Surroundings } from '../../src/drivers/postgresql/driver.ts';
import type { FakePostgresql } from '../../src/drivers/postgresql/fake.ts';
import type { Connection, Limit, Machine } from '../../src/drivers/postgresql/ports.ts';
import type { Net } from '../../src/host/host.ts';
import type { Network } from './network.ts';
import type { SimulatedProcess } from './simulated-process.ts';

const silence = (changes: boolean) =>
  fail(changes ? 'SYSTEM_OUTCOME_UNKNOWN' : 'TIMED_OUT', { message: 'no answer came', details: { evidence: 'timeout' } });

const changing: ReadonlySet<string> = new Set([
  'writeCanary',
  'writeEpoch',
  'changeSettings',
  'reload',
  'signalPromotion',
  'terminateClients',
  'ensureSlot',
  'dropSlots',
  'checkpoint',
]);

function overNetwork(connection: Connection, region: string, process: SimulatedProcess, network: Network): Connection {
  const ask =
    (name: keyof Connection) =>
    (...args: unknown[]): Promise<unknown> =>
      process.call(async () => {
        const limit = args.at(-1) as Limit;
        const rest = await network.travel(region, limit);
        const act = connection[name] as (...args: unknown[]) => Promise<unknown>;
        if (rest) return act(...args.slice(0, -1), rest);
        connection.close();
        throw silence(changing.has(name));
      });
  const methods = ['readStatus', 'isInRecovery', 'readCanary', 'readEpoch', 'readTimelineHistory', ...changing] as (keyof Connection)[];
  return {
    ...(Object.fromEntries(methods.map((name) => [name, ask(name)])) as unknown as Connection),
    get lost() {
      return connection.lost;
    },
    // Across a way that is cut nobody hears that a connection has ended.
    onLost: (listener) => connection.onLost((evidence) => network.isReachable(region) && process.deliver(() => listener(evidence))),
    close: () => connection.close(),
  };
}

function byHands(machine: Machine, region: string, process: SimulatedProcess, network: Network): Machine {
  return new Proxy(machine, {
    get(target, name: string) {
      const act = target[name as keyof Machine] as ((...args: unknown[]) => Promise<unknown>) | undefined;
      if (typeof act !== 'function') return act;
      return (...args: unknown[]) =>
        process.call(async () => {
          const limit = args.at(-1) as Limit;
          const rest = await network.travel(region, { ...limit, timeoutMs: Math.min(limit.timeoutMs, 10_000) });
          if (!rest) throw fail('HANDS_UNREACHABLE', { message: `the host in ${region} does not answer` });
          return act(...args.slice(0, -1), rest);
        });
    },
  });
}

export function postgresqlSurroundings(
  world: FakePostgresql,
  process: SimulatedProcess,
  network: Network,
  regionOf: (host: string) => string,
): Surroundings {
  const connect = world.surroundings.connect(undefined as never);
  return {
    connect: () => (address, limit) =>
      process.call(async () => {
        const region = regionOf(address.host);
        const rest = await network.travel(region, limit);
        if (!rest) throw silence(false);
        return overNetwork(await connect(address, rest), region, process, network);
      }),
    machine: (hands, site, host) => {
      const machine = world.surroundings.machine(hands, site, host);
      return machine && byHands(machine, regionOf(new URL(site.url).hostname), process, network);
    },
  };
}

export function handsOverNetwork(hands: Hands, region: string, process: SimulatedProcess, network: Network): Hands {
  const reach = async <T>(timeoutMs: number, signal: AbortSignal | undefined, act: () => Promise<T>): Promise<T> =>
    process.call(async () => {
      const limit = { timeoutMs: Math.min(timeoutMs, 10_000), signal: signal ?? new AbortController().signal };
      if (!(await network.travel(region, limit))) throw fail('HANDS_UNREACHABLE', { message: `the host in ${region} does not answer` });
      return act();
    });
  return {
    name: hands.name,
    run: (command) => reach(command.timeoutMs, command.signal, () => hands.run(command)),
    check: (signal) => reach(10_000, signal, () => hands.check(signal)),
    close: async () => {},
  };
}

export function netOf(net: Net, process: SimulatedProcess): Net {
  return {
    connectTcp: (target) => process.call(() => net.connectTcp(target)),
    connectUnix: (target) => process.call(() => net.connectUnix(target)),
    http: (request) => process.call(() => net.http(request)),
    udpExchange: (request) => process.call(() => net.udpExchange(request)),
  };
}
