/**
 * ClickHouse as a program: `clickhouse-program.ts server --config-file=FILE`. The engine is the real one (the npm package chdb); what is played here is what the package leaves out: the HTTP
 * interface, users, and the server's own uuid. It takes what the real interface takes and refuses what that refuses, with the same exception codes and status.
 *
 * Of the configuration it reads listen_host, http_port, path, user_files_path, backups.allowed_path and the users with their passwords. Rows that the engine can't have, because they need other
 * servers (system.replicas), are given by a file PATH/replicas.json.
 */
import { createHash, randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createRequire } from 'node:module';
import { join } from 'node:path';

interface Engine {
  queryAsync(sql: string, options: { readonly format: string }): Promise<{ bytes(): Uint8Array }>;
  close(): void;
}

interface ExceptionAnswer {
  readonly status: number;
  readonly code: number;
  readonly text: string;
}

const library = process.env.CLICKHOUSE_LIBRARY ?? '';
const version = '26.7.2.1';

/** https://github.com/ClickHouse/ClickHouse/blob/master/src/Server/HTTP/exceptionCodeToHTTPStatus.cpp */
const statuses: Readonly<Record<number, number>> = {
  62: 400,
  115: 400,
  36: 400,
  47: 404,
  60: 404,
  81: 404,
  159: 408,
  164: 500,
  194: 401,
  192: 403,
  193: 403,
  516: 403,
  497: 403,
};
/** Taken in the address; anything else there is a setting of the engine. */
const reserved = new Set(['query', 'wait_end_of_query', 'default_format', 'user', 'password', 'database', 'query_id']);

const refuse = (code: number, words: string, name: string): ExceptionAnswer => ({
  status: statuses[code] ?? 500,
  code,
  text: `Code: ${code}. DB::Exception: ${words}. (${name}) (version ${version} (official build))\n`,
});

function readConfig(file: string) {
  const text = readFileSync(file, 'utf8');
  const one = (name: string): string => {
    const value = new RegExp(`<${name}>([^<]*)</${name}>`).exec(text)?.[1];
    if (value === undefined) throw new Error(`${file} has no ${name}`);
    return value.replaceAll('&lt;', '<').replaceAll('&amp;', '&');
  };
  const users = new Map<string, string>();
  const listed = /<users>([\s\S]*?)<\/users>\s*(?!<)|<users>([\s\S]*?)<\/users>/.exec(text)?.[0] ?? '';
  for (const [, name, digest] of listed.matchAll(/<(\w+)><password_sha256_hex>([0-9a-f]{64})<\/password_sha256_hex>/g))
    users.set(name as string, digest as string);
  return {
    host: one('listen_host'),
    port: Number(one('http_port')),
    path: one('path'),
    files: one('user_files_path'),
    allowed: one('allowed_path'),
    users,
  };
}

type Config = ReturnType<typeof readConfig>;

async function openEngine(config: Config): Promise<Engine> {
  for (const directory of [config.path, config.files, config.allowed]) mkdirSync(directory, { recursive: true });
  const engineConfig = join(config.path, '..', 'engine.xml');
  writeFileSync(
    engineConfig,
    `<clickhouse><user_files_path>${config.files}</user_files_path><backups><allowed_path>${config.allowed}</allowed_path></backups></clickhouse>`,
  );
  // The engine reads relative paths from where it runs, the server from its user_files_path.
  process.chdir(config.files);
  const { Session } = createRequire(join(library, 'package.json'))('chdb') as {
    Session: new (path: string, options: object) => Engine;
  };
  return new Session(join(config.path, 'engine'), { connectionArgs: [`--config-file=${engineConfig}`, '--implicit_select=0'] });
}

function readUuid(path: string): string {
  const file = join(path, 'uuid');
  if (!existsSync(file)) writeFileSync(file, randomUUID());
  return readFileSync(file, 'utf8').trim();
}

function findAccessFault(config: Config, request: IncomingMessage): ExceptionAnswer | undefined {
  const user = String(request.headers['x-clickhouse-user'] ?? 'default');
  const key = String(request.headers['x-clickhouse-key'] ?? '');
  const digest = config.users.get(user);
  if (digest === createHash('sha256').update(key).digest('hex')) return undefined;
  return refuse(516, `${user}: Authentication failed: password is incorrect, or there is no user with such name`, 'AUTHENTICATION_FAILED');
}

class Server {
  readonly #config: Config;
  readonly #engine: Engine;
  readonly #uuid: string;
  /** The engine takes one query at a time. */
  #last: Promise<unknown> = Promise.resolve();
  #inserts = 0;

  constructor(config: Config, engine: Engine) {
    this.#config = config;
    this.#engine = engine;
    this.#uuid = readUuid(config.path);
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://server');
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece as Buffer);
    if (url.pathname === '/ping') return void response.writeHead(200, { 'content-type': 'text/html; charset=UTF-8' }).end('Ok.\n');
    if (url.pathname !== '/')
      return void response.writeHead(404).end(`There is no handle ${url.pathname}\n\nUse / or /ping for health checks.\n`);
    const fault = findAccessFault(this.#config, request);
    if (fault) return send(response, fault);
    const sql = this.#statement(url.searchParams.get('query') ?? '', Buffer.concat(pieces));
    if (request.method === 'GET' && !/^\s*(?:SELECT|SHOW|DESCRIBE|WITH|EXISTS)\b/i.test(sql))
      return send(
        response,
        refuse(164, 'Cannot execute query in readonly mode. For queries over HTTP, method GET implies readonly', 'READONLY'),
      );
    const result = await this.#run(sql, settingsOf(url), url.searchParams.get('default_format') ?? 'TabSeparated');
    if ('code' in result) return send(response, result);
    response.writeHead(200, { 'content-type': 'application/octet-stream', 'x-clickhouse-server-display-name': 'test' }).end(result.bytes);
  }

  #statement(query: string, body: Buffer): string {
    if (query === '') return this.#played(body.toString('utf8'));
    const format = /^\s*(INSERT\s+INTO\s+[\s\S]*?)(\s+SETTINGS\s(?:(?!\sFORMAT\s)[\s\S])*)?\s+FORMAT\s+(\w+)\s*$/i.exec(query);
    if (format === null || body.length === 0) return this.#played(`${query}\n${body.toString('utf8')}`);
    // Rows that follow an INSERT: to the engine they come in a file.
    this.#inserts += 1;
    const file = join(this.#config.path, `rows-${this.#inserts % 2}`);
    writeFileSync(file, body);
    return `${format[1]} FROM INFILE '${file}' ${format[2] ?? ''} FORMAT ${format[3]}`;
  }

  #played(sql: string): string {
    const replicas = join(this.#config.path, 'replicas.json');
    const named = sql.replaceAll('serverUUID()', `toUUID('${this.#uuid}')`);
    return existsSync(replicas) ? named.replaceAll('system.replicas', `file('${replicas}', 'JSONEachRow')`) : named;
  }

  #run(
    sql: string,
    settings: readonly (readonly [string, string])[],
    format: string,
  ): Promise<{ readonly bytes: Uint8Array } | ExceptionAnswer> {
    const set = (value: (given: string) => string): Promise<unknown> =>
      settings.reduce<Promise<unknown>>(
        (before, [name, given]) => before.then(() => this.#engine.queryAsync(`SET ${name} = ${value(given)}`, { format })),
        Promise.resolve(),
      );
    const mine = this.#last.then(async () => {
      try {
        // The server takes them for one query; the engine keeps them, until they are taken back.
        await set((given) => `'${given.replaceAll("'", "''")}'`);
        try {
          return { bytes: (await this.#engine.queryAsync(sql, { format })).bytes() };
        } finally {
          await set(() => 'DEFAULT');
        }
      } catch (error) {
        const { clickhouseCode, message } = error as { clickhouseCode?: number; message: string };
        const code = clickhouseCode ?? 1002;
        return { status: statuses[code] ?? 500, code, text: `${message} (version ${version} (official build))\n` };
      }
    });
    this.#last = mine;
    return mine;
  }
}

const settingsOf = (url: URL): readonly (readonly [string, string])[] =>
  [...url.searchParams].filter(([name]) => !reserved.has(name) && /^\w+$/.test(name));

function send(response: ServerResponse, { status, code, text }: ExceptionAnswer): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=UTF-8', 'x-clickhouse-exception-code': String(code) }).end(text);
}

const [command, argument] = process.argv.slice(2);
if (command !== 'server' || argument === undefined) {
  process.stderr.write('usage: clickhouse server --config-file=FILE\n');
  process.exit(36);
}
if (argument === '--version') process.stdout.write(`ClickHouse server version ${version} (official build).\n`);
else {
  const config = readConfig(argument.replace(/^--config-file=/, ''));
  const engine = await openEngine(config);
  const server = new Server(config, engine);
  const http = createServer((request, response) => {
    server.answer(request, response).catch((error: unknown) => {
      process.stderr.write(`${String(error)}\n`);
      response.destroy();
    });
  });
  http.listen(config.port, config.host);
  process.on('SIGTERM', () => {
    http.closeAllConnections();
    http.close(() => {
      engine.close();
      process.exit(0);
    });
  });
}
