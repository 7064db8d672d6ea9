/**
 * HAProxy load balancers in memory, behind the same network port as real ones: the runtime API's commands with the answers and refusals of HAProxy 2.6, and requests that are balanced by
 * weight.
 *
 * A load balancer can be stopped (refuses), hung (silent) or mute (does what is asked, the answer is lost). A reload forgets all that was set at run time.
 */
import { fail } from '../../base/errors.ts';
import type { TcpConnection } from '../../host/host.ts';
import type { HaproxyHost } from './client.ts';

export interface FakeServerOptions {
  readonly name: string;
  readonly weight?: number;
  /** Whether HAProxy checks its health by itself. Default true. */
  readonly check?: boolean;
  readonly backup?: boolean;
}

export interface FakeHaproxyOptions {
  /** Socket path or host:port of each load balancer. */
  readonly addresses: readonly string[];
  readonly backend: string;
  readonly servers: readonly FakeServerOptions[];
  readonly level?: 'admin' | 'user';
  /** `static-rr` takes no weights. Default `roundrobin`. */
  readonly balance?: 'roundrobin' | 'static-rr';
}

export type FakeBalancerState = 'running' | 'stopped' | 'hung' | 'mute';

interface FakeServer {
  readonly options: FakeServerOptions;
  admin: 'ready' | 'drain' | 'maint';
  weight: number;
  isUp: boolean;
  sessions: number;
  /** For balancing: grows with each turn by the weight, and shrinks by the sum when chosen. */
  credit: number;
}

interface FakeBalancer {
  state: FakeBalancerState;
  servers: readonly FakeServer[];
  variables: Map<string, string>;
  /** Every command that changed something. */
  changes: string[];
}

const adminBits = { ready: 0, maint: 1, drain: 8 } as const;
const stateColumns =
  'be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state';

export class FakeHaproxy {
  readonly net: HaproxyHost['net'];
  readonly #options: FakeHaproxyOptions;
  readonly #balancers = new Map<string, FakeBalancer>();

  constructor(options: FakeHaproxyOptions) {
    this.#options = options;
    for (const address of options.addresses)
      this.#balancers.set(address, { state: 'running', servers: options.servers.map(freshServer), variables: new Map(), changes: [] });
    this.net = {
      connectUnix: async ({ path }) => this.#connect(path),
      connectTcp: async ({ host, port }) => this.#connect(`${host}:${port}`),
    };
  }

  setState(address: string, state: FakeBalancerState): void {
    this.#find(address).state = state;
  }

  /** The server itself lives or dies; with a health check HAProxy knows. */
  setServerUp(server: string, isUp: boolean): void {
    for (const balancer of this.#balancers.values())
      for (const each of balancer.servers) if (each.options.name === server) each.isUp = isUp;
  }

  setSessions(server: string, sessions: number): void {
    for (const balancer of this.#balancers.values())
      for (const each of balancer.servers) if (each.options.name === server) each.sessions = sessions;
  }

  reload(address: string): void {
    const balancer = this.#find(address);
    balancer.servers = this.#options.servers.map(freshServer);
    balancer.variables = new Map();
  }

  changes(address: string): readonly string[] {
    return this.#find(address).changes;
  }

  /** A command as somebody else would give it. */
  command(address: string, line: string): string {
    return this.#execute(this.#find(address), line);
  }

  /** Who answers the next request of a client: undefined where nobody does. */
  request(address: string): string | undefined {
    const balancer = this.#find(address);
    if (balancer.state === 'stopped') return undefined;
    const usable = balancer.servers.filter(
      (server) => server.admin === 'ready' && server.weight > 0 && (server.isUp || server.options.check === false),
    );
    const active = usable.filter(({ options }) => options.backup !== true);
    const candidates = active.length > 0 ? active : usable.slice(0, 1);
    const total = candidates.reduce((sum, { weight }) => sum + weight, 0);
    for (const server of candidates) server.credit += server.weight;
    const [chosen] = [...candidates].sort((left, right) => right.credit - left.credit);
    if (chosen === undefined) return undefined;
    chosen.credit -= total;
    return chosen.isUp ? chosen.options.name : undefined;
  }

  #find(address: string): FakeBalancer {
    const found = this.#balancers.get(address);
    if (found === undefined)
      throw fail('SYSTEM_UNREACHABLE', { message: `${address}: nothing listens there`, details: { cause: 'refused' } });
    return found;
  }

  #connect(address: string): TcpConnection {
    const balancer = this.#find(address);
    if (balancer.state === 'stopped')
      throw fail('SYSTEM_UNREACHABLE', { message: `${address}: connection refused`, details: { cause: 'refused' } });
    const dataListeners: ((data: Uint8Array) => void)[] = [];
    const closeListeners: ((error?: Error) => void)[] = [];
    let closed = false;
    return {
      write: (data) => {
        if (balancer.state === 'hung') return;
        const answer = this.#execute(balancer, (typeof data === 'string' ? data : Buffer.from(data).toString()).trim());
        queueMicrotask(() => {
          if (closed) return;
          if (balancer.state !== 'mute') for (const listener of dataListeners) listener(Buffer.from(answer));
          for (const listener of closeListeners) listener();
        });
      },
      onData: (listener) => void dataListeners.push(listener),
      onClose: (listener) => void closeListeners.push(listener),
      close: () => {
        closed = true;
      },
    };
  }

  #execute(balancer: FakeBalancer, line: string): string {
    let experimental = false;
    return line
      .split(';')
      .map((part) => {
        const words = part.trim().split(/\s+/);
        if (words.join(' ') === 'experimental-mode on') {
          experimental = true;
          return '\n';
        }
        return this.#answer(balancer, words, experimental);
      })
      .join('');
  }

  #answer(balancer: FakeBalancer, words: readonly string[], experimental: boolean): string {
    const [verb = '', noun = '', third = '', fourth = '', fifth = ''] = words;
    switch (`${verb} ${noun}`) {
      case 'show servers':
        return third === 'state' ? this.#showStates(balancer, fourth) : unknownCommand;
      case 'show stat':
        return this.#showStatistics(balancer, third);
      case 'get var':
        if (this.#options.level === 'user') return denied;
        return balancer.variables.has(third) ? `${third}: type=sint value=<${balancer.variables.get(third)}>\n` : 'Variable not found.\n';
      case 'set var':
        if (!experimental) return 'This command is restricted to experimental mode only.\n\n';
        return this.#change(balancer, words, () => void balancer.variables.set(third, /^int\((\d+)\)$/.exec(fourth)?.[1] ?? ''));
      case 'set server':
        return this.#onServer(balancer, third, words, (server) => {
          if (fourth !== 'state' || !(fifth === 'ready' || fifth === 'drain' || fifth === 'maint'))
            return "'set server <srv> state' expects 'ready', 'drain' and 'maint'.\n\n";
          server.admin = fifth;
          return undefined;
        });
      case 'set weight':
        return this.#onServer(balancer, third, words, (server) => {
          if (this.#options.balance === 'static-rr')
            return "Backend is using a static LB algorithm and only accepts weights '0%' and '100%'.\n\n";
          if (!(Number(fourth) >= 0 && Number(fourth) <= 256)) return 'Absolute weight can only be between 0 and 256 inclusive.\n\n';
          server.weight = Number(fourth);
          return undefined;
        });
      case 'shutdown sessions':
        return this.#onServer(balancer, fourth, words, (server) => {
          server.sessions = 0;
          return undefined;
        });
      default:
        return unknownCommand;
    }
  }

  #change(balancer: FakeBalancer, words: readonly string[], change: () => string | undefined | undefined): string {
    if (this.#options.level === 'user') return denied;
    const refusal = change();
    if (typeof refusal === 'string') return refusal;
    balancer.changes.push(words.join(' '));
    return '\n';
  }

  #onServer(balancer: FakeBalancer, path: string, words: readonly string[], change: (server: FakeServer) => string | undefined): string {
    return this.#change(balancer, words, () => {
      const [backend, name] = path.split('/');
      if (name === undefined) return "Require 'backend/server'.\n\n";
      if (backend !== this.#options.backend) return 'No such backend.\n\n';
      const server = balancer.servers.find((each) => each.options.name === name);
      return server === undefined ? 'No such server.\n\n' : change(server);
    });
  }

  #showStates(balancer: FakeBalancer, backend: string): string {
    if (backend !== this.#options.backend) return "Can't find backend.\n\n";
    const rows = balancer.servers.map((server, index) => {
      const checked = server.options.check !== false;
      const operational = server.admin !== 'maint' && (server.isUp || !checked) ? 2 : 0;
      return `3 ${backend} ${index + 1} ${server.options.name} 127.0.0.1 ${operational} ${adminBits[server.admin]} ${server.weight} ${server.options.weight ?? 1} 0 6 3 4 ${checked ? 6 : 0}`;
    });
    return `1\n# ${stateColumns}\n${rows.join('\n')}\n\n`;
  }

  #showStatistics(balancer: FakeBalancer, backend: string): string {
    if (backend !== this.#options.backend) return 'No such proxy.\n\n';
    const rows = balancer.servers.map(
      ({ options, sessions }) => `${backend},${options.name},${sessions},${options.backup === true ? '0,1' : '1,0'},`,
    );
    return `# pxname,svname,scur,act,bck,\n${rows.join('\n')}\n\n`;
  }
}

const denied = 'Permission denied\n\n';
const unknownCommand = 'Unknown command, but maybe one of the following ones is a better match:\n  show env [var]\n\n';

function freshServer(options: FakeServerOptions): FakeServer {
  return { options, admin: 'ready', weight: options.weight ?? 1, isUp: true, sessions: 0, credit: 0 };
}
