/** What stands behind the drivers of one controller process: the simulated systems, reached over the simulated network, as long as the process lives. */
import { fail } from '../../src/base/errors.ts';
import type { Hands } from '../../src/contracts/hands.ts';
import type { Surroundings } from '../../src/drivers/postgresql/driver.ts';
import type { FakePostgresql } from '../../src/drivers/postgresql/fake.ts';
import type { Connection, Limit, Machine } from '../../src/drivers/postgresql/ports.ts';
import type { Net } from '../../src/host/host.ts';
import type { Outlook, Place } from './network.ts';
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

function overNetwork(connection: Connection, region: Place, process: SimulatedProcess, { network, from }: Outlook): Connection {
  const ask =
    (name: keyof Connection) =>
    (...args: unknown[]): Promise<unknown> =>
      process.call(() => {
        const limit = args.at(-1) as Limit;
        const act = connection[name] as (...args: unknown[]) => Promise<unknown>;
        return network.exchange(
          'sites',
          from,
          region,
          limit,
          (rest) => act(...args.slice(0, -1), rest),
          () => {
            connection.close();
            return silence(changing.has(name));
          },
        );
      });
  const methods = ['readStatus', 'isInRecovery', 'readCanary', 'readEpoch', 'readTimelineHistory', ...changing] as (keyof Connection)[];
  return {
    ...(Object.fromEntries(methods.map((name) => [name, ask(name)])) as unknown as Connection),
    get lost() {
      return connection.lost;
    },
    // Across a way that is cut nobody hears that a connection has ended.
    onLost: (listener) =>
      connection.onLost((evidence) => network.isOpen('sites', region, from) && process.deliver(() => listener(evidence))),
    close: () => connection.close(),
  };
}

const unreachable = (region: Place) => fail('HANDS_UNREACHABLE', { message: `the host in ${region} does not answer` });
const longestReachMs = 10_000;

function byHands(machine: Machine, region: Place, process: SimulatedProcess, { network, from }: Outlook): Machine {
  return new Proxy(machine, {
    get(target, name: string) {
      const act = target[name as keyof Machine] as ((...args: unknown[]) => Promise<unknown>) | undefined;
      if (typeof act !== 'function') return act;
      return (...args: unknown[]) =>
        process.call(() => {
          const limit = args.at(-1) as Limit;
          const shorter = { ...limit, timeoutMs: Math.min(limit.timeoutMs, longestReachMs) };
          return network.exchange(
            'sites',
            from,
            region,
            shorter,
            (rest) => network.carryOut(() => act(...args.slice(0, -1), rest)),
            () => unreachable(region),
          );
        });
    },
  });
}

export function postgresqlSurroundings(
  world: FakePostgresql,
  process: SimulatedProcess,
  outlook: Outlook,
  regionOf: (host: string) => Place,
): Surroundings {
  const connect = world.surroundings.connect(undefined as never);
  return {
    connect: () => (address, limit) =>
      process.call(() => {
        const region = regionOf(address.host);
        const open = async (rest: Limit) => overNetwork(await connect(address, rest), region, process, outlook);
        return outlook.network.exchange('sites', outlook.from, region, limit, open, () => silence(false));
      }),
    machine: (hands, site, host) => {
      const machine = world.surroundings.machine(hands, site, host);
      return machine && byHands(machine, regionOf(new URL(site.url).hostname), process, outlook);
    },
  };
}

export function handsOverNetwork(hands: Hands, region: Place, process: SimulatedProcess, { network, from }: Outlook): Hands {
  const reach = <T>(timeoutMs: number, signal: AbortSignal | undefined, act: () => Promise<T>): Promise<T> =>
    process.call(() => {
      const limit = { timeoutMs: Math.min(timeoutMs, longestReachMs), signal: signal ?? new AbortController().signal };
      return network.exchange('sites', from, region, limit, act, () => unreachable(region));
    });
  return {
    name: hands.name,
    run: (command) => reach(command.timeoutMs, command.signal, () => network.carryOut(() => hands.run(command))),
    check: (signal) => reach(10_000, signal, () => hands.check(signal)),
    close: async () => {},
  };
}

export function netOf(net: Net, process: SimulatedProcess, { network }: Outlook): Net {
  return {
    connectTcp: (target) => process.call(() => net.connectTcp(target)),
    connectUnix: (target) => process.call(() => net.connectUnix(target)),
    http: (request) => process.call(() => net.http(request)),
    udpExchange: (request) => process.call(() => network.carryOut(() => net.udpExchange(request))),
  };
}
