/**
 * One simulated Redis server: roles, histories and offsets, min-replicas, configuration file, append-only persistence. Strings only; no expiry.
 *
 * Deterministic: nothing happens but in answer to a call, and time is read from the clock that is given. Links between servers are made and broken lazily, whenever anybody asks
 * anything (`world.settle`), which stands for the reconnection that a real replica tries each second.
 */

import type { Clock } from '../../host/host.ts';
import { changeDirectives, readDirective } from './config-file.ts';
import type { Reply, Word } from './port.ts';

export interface FakeServerOptions {
  readonly host: string;
  readonly port: number;
  readonly configFile: string;
  /** Text of its configuration file, as Redis reads it. */
  readonly config: string;
}

/** What a server needs of the world around it. */
export interface FakeSurroundings {
  readonly clock: Clock;
  readonly files: Map<string, string>;
  makeReplid(): string;
  areConnected(one: FakeRedisServer, other: FakeRedisServer): boolean;
  /** Since when two servers don't hear each other; undefined when they do. */
  cutSinceMs(one: FakeRedisServer, other: FakeRedisServer): number | undefined;
  closeConnections(server: FakeRedisServer): void;
  answerWaiting(server: FakeRedisServer): void;
}

interface Link {
  ackedOffset: number;
}

export class FakeRedisError extends Error {}

const rewritten = ['replica-read-only', 'min-replicas-to-write', 'min-replicas-max-lag', 'appendonly', 'masterauth', 'masteruser'] as const;
const defaults: Readonly<Record<string, string>> = {
  'min-replicas-to-write': '0',
  'min-replicas-max-lag': '10',
  'replica-read-only': 'yes',
  'replica-serve-stale-data': 'yes',
  'stop-writes-on-bgsave-error': 'yes',
  appendonly: 'no',
  save: '',
  requirepass: '',
  masterauth: '',
  masteruser: '',
};

export class FakeRedisServer {
  readonly host: string;
  readonly port: number;
  readonly configFile: string;
  state: 'running' | 'stopped' | 'hung' = 'stopped';
  /** When it was last stopped from answering. */
  hungAtMs = 0;
  settings = new Map<string, string>();
  data = new Map<number, Map<string, string>>();
  replid = '';
  replid2 = '0'.repeat(40);
  offset = 0;
  secondOffset = -1;
  upstream: { host: string; port: number; link: FakeRedisServer | undefined } | undefined;
  /** Replicas whose link to this one is up. */
  readonly links = new Map<FakeRedisServer, Link>();
  fullSyncs = 0;
  partialSyncs = 0;
  promotions = 0;
  starts = 0;
  readonly #world: FakeSurroundings;
  #disk = new Map<number, Map<string, string>>();

  constructor(world: FakeSurroundings, options: FakeServerOptions) {
    this.#world = world;
    this.host = options.host;
    this.port = options.port;
    this.configFile = options.configFile;
    if (options.configFile !== '') world.files.set(options.configFile, options.config);
    this.start(options.config);
  }

  start(config = this.#world.files.get(this.configFile) ?? ''): void {
    if (this.state !== 'stopped') return;
    this.state = 'running';
    this.starts += 1;
    this.settings = new Map(Object.entries(defaults).map(([name, value]) => [name, readDirective(config, name) ?? value]));
    this.data = this.settings.get('appendonly') === 'yes' ? copyOf(this.#disk) : new Map();
    this.replid = this.#world.makeReplid();
    this.replid2 = '0'.repeat(40);
    this.offset = 0;
    this.secondOffset = -1;
    const [host, port] = (readDirective(config, 'replicaof') ?? '').split(' ');
    this.upstream = host && port ? { host, port: Number(port), link: undefined } : undefined;
  }

  /** Its process ends at once, however it stood. */
  kill(): void {
    if (this.state === 'stopped') return;
    this.#disk = copyOf(this.data);
    this.state = 'stopped';
    this.dropLinks();
    this.#world.closeConnections(this);
  }

  hang(): void {
    if (this.state !== 'running') return;
    this.state = 'hung';
    this.hungAtMs = this.#world.clock.nowMs();
  }

  unhang(): void {
    if (this.state !== 'hung') return;
    this.state = 'running';
    for (const replica of this.links.keys()) replica.receive(this);
    this.upstream?.link && this.receive(this.upstream.link);
    this.#world.answerWaiting(this);
  }

  dropLinks(): void {
    for (const replica of this.links.keys()) if (replica.upstream) replica.upstream.link = undefined;
    this.links.clear();
    this.#leaveUpstream();
  }

  #leaveUpstream(): void {
    this.upstream?.link?.links.delete(this);
    if (this.upstream) this.upstream.link = undefined;
  }

  /** A replica without a link asks its upstream for one. */
  connectUpstream(upstream: FakeRedisServer): void {
    if (!this.upstream || this.upstream.link || this === upstream) return;
    const needed = upstream.settings.get('requirepass') ?? '';
    if (needed !== '' && this.settings.get('masterauth') !== needed) return;
    // A replica of a replica that has no link itself gets none: it would copy what may not be whole.
    if (upstream.upstream && !upstream.upstream.link) return;
    const same = this.replid === upstream.replid || (this.replid === upstream.replid2 && this.offset < upstream.secondOffset);
    if (same && this.offset <= upstream.offset) upstream.partialSyncs += 1;
    else upstream.fullSyncs += 1;
    this.upstream.link = upstream;
    upstream.links.set(this, { ackedOffset: upstream.offset });
    this.receive(upstream);
  }

  /** Takes over what its upstream has; a simulated link is as fast as thought. */
  receive(upstream: FakeRedisServer): void {
    if (this.state !== 'running' || upstream.state !== 'running' || !this.#world.areConnected(this, upstream)) return;
    this.data = copyOf(upstream.data);
    this.replid = upstream.replid;
    this.offset = upstream.offset;
    const link = upstream.links.get(this);
    if (link) link.ackedOffset = upstream.offset;
    for (const replica of this.links.keys()) replica.receive(this);
  }

  /** Seconds since the last word of a replica. */
  lagOf(replica: FakeRedisServer): number {
    const silentSinceMs = replica.state === 'hung' ? replica.hungAtMs : this.#world.cutSinceMs(this, replica);
    return silentSinceMs === undefined ? 0 : Math.floor((this.#world.clock.nowMs() - silentSinceMs) / 1_000);
  }

  execute(words: readonly Word[], selected: { database: number }): Reply {
    const [name = '', ...args] = words.map(textOf);
    const command = commands[name.toUpperCase()];
    if (!command) throw new FakeRedisError(`ERR unknown command '${name}'`);
    return command(this, args, selected);
  }

  requireWritable(): void {
    if (this.upstream) {
      if (this.settings.get('replica-read-only') !== 'no')
        throw new FakeRedisError("READONLY You can't write against a read only replica.");
      return;
    }
    const maxLag = Number(this.settings.get('min-replicas-max-lag'));
    const live = [...this.links.keys()].filter((replica) => this.lagOf(replica) <= maxLag).length;
    if (maxLag > 0 && live < Number(this.settings.get('min-replicas-to-write')))
      throw new FakeRedisError('NOREPLICAS Not enough good replicas to write.');
  }

  write(database: number, key: string, value: string | undefined): void {
    const keys = this.data.get(database) ?? new Map<string, string>();
    if (value === undefined) keys.delete(key);
    else keys.set(key, value);
    if (keys.size > 0) this.data.set(database, keys);
    else this.data.delete(database);
    this.offset += 30 + key.length + (value?.length ?? 0);
    for (const replica of this.links.keys()) replica.receive(this);
  }

  promote(): void {
    if (!this.upstream) return;
    this.#leaveUpstream();
    this.upstream = undefined;
    this.replid2 = this.replid;
    this.secondOffset = this.offset + 1;
    this.replid = this.#world.makeReplid();
    this.promotions += 1;
  }

  followAt(host: string, port: number): void {
    if (this.upstream?.host === host && this.upstream.port === port) return;
    this.#leaveUpstream();
    this.upstream = { host, port, link: undefined };
  }

  rewriteConfig(): void {
    if (this.configFile === '') throw new FakeRedisError('ERR The server is running without a config file');
    const changes = Object.fromEntries(rewritten.map((name) => [name, this.settings.get(name) || undefined]));
    const replicaof = this.upstream ? `${this.upstream.host} ${this.upstream.port}` : undefined;
    this.#world.files.set(this.configFile, changeDirectives(this.#world.files.get(this.configFile) ?? '', { ...changes, replicaof }));
  }

  info(): string {
    const lines = [
      'redis_version:7.0.15',
      `run_id:${String(this.starts).padStart(40, '0')}`,
      `process_id:${1_000 + this.starts}`,
      `config_file:${this.configFile}`,
      'loading:0',
      `aof_enabled:${this.settings.get('appendonly') === 'yes' ? 1 : 0}`,
      'aof_last_write_status:ok',
      'rdb_last_bgsave_status:ok',
      `sync_full:${this.fullSyncs}`,
      `sync_partial_ok:${this.partialSyncs}`,
      `role:${this.upstream ? 'slave' : 'master'}`,
      ...(this.upstream ? this.#upstreamLines(this.upstream) : []),
      ...[...this.links].map(
        ([replica, link], index) =>
          `slave${index}:ip=${replica.host},port=${replica.port},state=online,offset=${link.ackedOffset},lag=${this.lagOf(replica)}`,
      ),
      `master_replid:${this.replid}`,
      `master_replid2:${this.replid2}`,
      `master_repl_offset:${this.offset}`,
      `second_repl_offset:${this.secondOffset}`,
      'repl_backlog_active:1',
      ...[...this.data].map(([database, keys]) => `db${database}:keys=${keys.size},expires=0,avg_ttl=0`),
    ];
    return `${lines.join('\r\n')}\r\n`;
  }

  #upstreamLines(upstream: NonNullable<FakeRedisServer['upstream']>): string[] {
    const silentSinceMs =
      upstream.link?.state === 'hung' ? upstream.link.hungAtMs : upstream.link && this.#world.cutSinceMs(this, upstream.link);
    const silentSeconds = silentSinceMs === undefined ? 0 : Math.floor((this.#world.clock.nowMs() - silentSinceMs) / 1_000);
    return [
      `master_host:${upstream.host}`,
      `master_port:${upstream.port}`,
      `master_link_status:${upstream.link ? 'up' : 'down'}`,
      `master_last_io_seconds_ago:${upstream.link ? silentSeconds : -1}`,
      'master_sync_in_progress:0',
      `slave_repl_offset:${this.offset}`,
      `slave_read_only:${this.settings.get('replica-read-only') === 'no' ? 0 : 1}`,
    ];
  }
}

type Command = (server: FakeRedisServer, args: readonly string[], selected: { database: number }) => Reply;

const commands: Readonly<Record<string, Command>> = {
  PING: () => 'PONG',
  INFO: (server) => server.info(),
  SELECT: (_server, [database], selected) => {
    selected.database = Number(database);
    return 'OK';
  },
  GET: (server, [key = ''], { database }) => server.data.get(database)?.get(key) ?? null,
  SET: (server, [key = '', value = '', option], { database }) => {
    server.requireWritable();
    if (option === 'NX' && server.data.get(database)?.has(key)) return null;
    server.write(database, key, value);
    return 'OK';
  },
  DEL: (server, [key = ''], { database }) => {
    server.requireWritable();
    if (!server.data.get(database)?.has(key)) return 0;
    server.write(database, key, undefined);
    return 1;
  },
  FLUSHALL: (server) => {
    server.requireWritable();
    for (const [database, keys] of copyOf(server.data)) for (const key of keys.keys()) server.write(database, key, undefined);
    return 'OK';
  },
  SCAN: (server, _args, { database }) => ['0', [...(server.data.get(database)?.keys() ?? [])]],
  DUMP: (server, [key = ''], { database }) => server.data.get(database)?.get(key) ?? null,
  TYPE: (server, [key = ''], { database }) => (server.data.get(database)?.has(key) ? 'string' : 'none'),
  PEXPIRETIME: (server, [key = ''], { database }) => (server.data.get(database)?.has(key) ? -1 : -2),
  WAIT: (server) => [...server.links.values()].filter((link) => link.ackedOffset >= server.offset).length,
  REPLICAOF: (server, [host = '', port = '']) => {
    if (host.toUpperCase() === 'NO') server.promote();
    else server.followAt(host, Number(port));
    return 'OK';
  },
  CONFIG: (server, [action = '', name = '', value = '']) => {
    if (action === 'REWRITE') {
      server.rewriteConfig();
      return 'OK';
    }
    if (action === 'SET') {
      if (!server.settings.has(name)) throw new FakeRedisError(`ERR Unknown option or number of arguments for CONFIG SET - '${name}'`);
      server.settings.set(name, value);
      return 'OK';
    }
    const start = name.replace(/\*$/, '');
    return [...server.settings].filter(([setting]) => (name.endsWith('*') ? setting.startsWith(start) : setting === name)).flat();
  },
};

function textOf(word: Word): string {
  return typeof word === 'string' ? word : Buffer.from(word).toString();
}

function copyOf(data: ReadonlyMap<number, ReadonlyMap<string, string>>): Map<number, Map<string, string>> {
  return new Map([...data].map(([database, keys]) => [database, new Map(keys)]));
}
