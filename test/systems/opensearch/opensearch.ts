/**
 * A stand-in for OpenSearch clusters with the cross-cluster replication plugin, which no registry has. It answers the calls that are listed here and refuses every other as OpenSearch does. What it knows of plain
 * indices was compared with a real node (`node.ts`); what it knows of the plugin comes from the plugin's documentation and source.
 * Operations reach a follower only by `replicate()`, so that a test says when.
 */
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Answer, notFound, refuse, type StandInIndex, type World } from './model.ts';
import { answerReplication, replicateAll } from './replication-plugin.ts';

export interface OpensearchStandIn {
  readonly url: string;
  readonly uuid: string;
  /** Where other clusters reach it. */
  readonly transport: string;
  readonly indices: Map<string, StandInIndex>;
  readonly settings: Map<string, unknown>;
  readonly autofollow: { name: string; pattern: string; alias: string }[];
  /** As the network between clusters sees it; its own clients reach it still. */
  reachable: boolean;
  dataNodes: number;
  /** Brings followers as far as their leaders are. */
  replicate(): void;
  /** Method and path of each request since the last call. */
  takeSeen(): string[];
  stop(): Promise<void>;
}

type Fields = Record<string, unknown>;

export async function startOpensearchStandIn(world: World, name: string): Promise<OpensearchStandIn> {
  const cluster = {
    uuid: `uuid-of-${name}`,
    transport: `${name}.internal:9300`,
    indices: new Map<string, StandInIndex>(),
    settings: new Map<string, unknown>(),
    autofollow: [] as OpensearchStandIn['autofollow'],
    reachable: true,
    dataNodes: 1,
  };
  let seen: string[] = [];
  world.clusters.set(cluster.transport, cluster);
  const server = createServer((request, response) => {
    seen.push(`${request.method} ${request.url}`);
    void answer(request).then(({ status, body }) => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    });
  });
  async function answer(request: IncomingMessage): Promise<Answer> {
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece as Buffer);
    const text = Buffer.concat(pieces).toString();
    const url = new URL(request.url ?? '/', 'http://localhost');
    const path = url.pathname.split('/').filter((part) => part !== '');
    const method = request.method ?? '';
    let body: Fields | undefined;
    try {
      body = text === '' ? undefined : (JSON.parse(text) as Fields);
    } catch {
      return refuse(400, 'parse_exception', 'request body is not JSON');
    }
    if (path[0] === '_plugins') return answerReplication(world, cluster, method, path, body);
    return answerPlain(cluster, method, path, body) ?? noHandler(method, url.pathname);
  }
  await new Promise<void>((resolve) => server.listen({ host: '127.0.0.1', port: 0 }, resolve));
  return Object.assign(cluster, {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    replicate: () => replicateAll(world, cluster),
    takeSeen: () => {
      const taken = seen;
      seen = [];
      return taken;
    },
    stop: async () => {
      world.clusters.delete(cluster.transport);
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  });
}

export const noHandler = (method: string, path: string): Answer => ({
  status: 400,
  body: { error: `no handler found for uri [${path}] and method [${method}]` },
});

type Cluster = Omit<OpensearchStandIn, 'url' | 'replicate' | 'takeSeen' | 'stop'>;

function answerPlain(cluster: Cluster, method: string, path: readonly string[], body: Fields | undefined): Answer | undefined {
  const [first = '', second = '', third = ''] = path;
  const route = `${method} ${path.map((part, at) => (part.startsWith('_') || (at === 1 && first.startsWith('_')) ? part : at === 0 ? 'INDEX' : 'NAME')).join('/')}`;
  const names = first.split(',');
  const there = names.filter((name) => cluster.indices.has(name));
  const one = cluster.indices.get(first);
  switch (route) {
    case 'GET ':
      return ok({
        name: 'n',
        cluster_name: cluster.uuid,
        cluster_uuid: cluster.uuid,
        version: { distribution: 'opensearch', number: '2.11.0' },
      });
    case 'GET _cluster/health':
    case 'GET _cluster/health/NAME':
      return ok(healthOf(cluster));
    case 'GET _cluster/settings':
      return ok({ persistent: Object.fromEntries(cluster.settings), transient: {} });
    case 'PUT _cluster/settings':
      for (const [key, value] of Object.entries((body?.persistent ?? {}) as Fields)) {
        if (!/^cluster\.(?:blocks\.read_only|remote\.[^.]+\.seeds)$/.test(key))
          return refuse(400, 'illegal_argument_exception', `persistent setting [${key}], not recognized`);
        if (value === null) cluster.settings.delete(key);
        else cluster.settings.set(key, value);
      }
      return ok({ acknowledged: true });
    case 'GET INDEX/_settings':
      return there.length === 0 && names.length === 1
        ? notFound(first)
        : ok(Object.fromEntries(there.map((name) => [name, { settings: cluster.indices.get(name)?.settings }])));
    case 'GET INDEX/_stats/NAME':
      return ok({ indices: Object.fromEntries(there.map((name) => [name, statsOf(cluster.indices.get(name) as StandInIndex)])) });
    case 'POST INDEX/_mget':
      return ok({
        docs: ((body?.ids ?? []) as string[]).map((_id) =>
          one === undefined
            ? { _id, error: { type: 'index_not_found_exception', reason: `no such index [${first}]` } }
            : { _id, found: one.documents.has(_id), _source: one.documents.get(_id) },
        ),
      });
    case 'GET INDEX/_count':
      return one === undefined ? notFound(first) : ok({ count: one.documents.size, _shards: { failed: 0 } });
    case 'POST INDEX/_refresh':
      return one === undefined ? notFound(first) : ok({ _shards: { failed: 0 } });
    case 'DELETE INDEX':
      return cluster.indices.delete(first) ? ok({ acknowledged: true }) : notFound(first);
    case 'PUT INDEX/_settings': {
      const missing = names.find((name) => !cluster.indices.has(name));
      if (missing !== undefined) return notFound(missing);
      if (cluster.settings.get('cluster.blocks.read_only') === true) return clusterBlocked();
      const unknown = Object.keys(body ?? {}).find((key) => key !== 'index.blocks.write');
      if (unknown !== undefined) return refuse(400, 'illegal_argument_exception', `unknown setting [${unknown}]`);
      for (const name of names) {
        const { settings } = cluster.indices.get(name) as StandInIndex;
        if (body?.['index.blocks.write'] === null) delete settings['index.blocks.write'];
        else settings['index.blocks.write'] = 'true';
      }
      return ok({ acknowledged: true });
    }
    case 'PUT INDEX/_clone/NAME':
      if (one === undefined) return notFound(first);
      if (one.settings['index.blocks.write'] !== 'true')
        return refuse(500, 'illegal_state_exception', `index ${first} must be read-only to resize index. use "index.blocks.write=true"`);
      if (cluster.indices.has(third)) return refuse(400, 'resource_already_exists_exception', `index [${third}] already exists`);
      cluster.indices.set(third, { ...one, settings: { ...one.settings }, documents: new Map(one.documents) });
      return ok({ acknowledged: true });
    case 'PUT INDEX/_doc/NAME':
    case 'PUT INDEX/_create/NAME':
      return writeDocument(cluster, first, third, second === '_create', body ?? {});
    default:
      return undefined;
  }
}

const ok = (body: Fields): Answer => ({ status: 200, body });
const clusterBlocked = (): Answer => refuse(403, 'cluster_block_exception', 'blocked by: [FORBIDDEN/6/cluster read-only (api)];');

function writeDocument(cluster: Cluster, name: string, id: string, create: boolean, document: Fields): Answer {
  if (cluster.settings.get('cluster.blocks.read_only') === true) return clusterBlocked();
  const index = cluster.indices.get(name) ?? newIndex();
  if (index.leader !== undefined)
    return refuse(
      403,
      'cluster_block_exception',
      `index [${name}] blocked by: [FORBIDDEN/1000/index read-only(cross-cluster-replication)];`,
    );
  if (index.settings['index.blocks.write'] === 'true')
    return refuse(403, 'cluster_block_exception', `index [${name}] blocked by: [FORBIDDEN/8/index write (api)];`);
  if (create && index.documents.has(id))
    return refuse(409, 'version_conflict_engine_exception', `[${id}]: version conflict, document already exists`);
  index.documents.set(id, document);
  index.operations += 1;
  cluster.indices.set(name, index);
  return { status: 201, body: { _index: name, _id: id, result: 'created' } };
}

export const newIndex = (): StandInIndex => ({
  settings: { 'index.number_of_replicas': '1' },
  documents: new Map(),
  operations: 0,
  health: 'green',
});

function statsOf({ documents, operations }: StandInIndex): Fields {
  return {
    primaries: { docs: { count: documents.size }, store: { size_in_bytes: documents.size * 400 } },
    shards: { 0: [{ routing: { primary: true }, seq_no: { max_seq_no: operations - 1, global_checkpoint: operations - 1 } }] },
  };
}

function healthOf(cluster: Cluster): Fields {
  const entries = [...cluster.indices];
  const status = entries.some(([, { health }]) => health === 'red')
    ? 'red'
    : cluster.dataNodes === 1 && entries.length > 0
      ? 'yellow'
      : 'green';
  return {
    cluster_name: cluster.uuid,
    status,
    number_of_nodes: cluster.dataNodes,
    number_of_data_nodes: cluster.dataNodes,
    unassigned_shards: status === 'green' ? 0 : entries.length,
    indices: Object.fromEntries(entries.map(([name, { health }]) => [name, { status: health === 'red' ? 'red' : status }])),
  };
}
