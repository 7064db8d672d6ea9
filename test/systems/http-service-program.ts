/**
 * The server of http-service.ts: an HTTP service that can be told, by files in its directory, how many replicas it has and how it feels. With no replicas nothing
 * listens. Run as: node http-service-program.ts PORT DIRECTORY
 */
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { join } from 'node:path';

const [, , portText, directory] = process.argv;
if (portText === undefined || directory === undefined) throw new Error('usage: http-service-program.ts PORT DIRECTORY');
const dir = directory;
const slowMs = 200;

function read(name: string, otherwise: string): string {
  try {
    return readFileSync(join(dir, name), 'utf8').trim();
  } catch {
    return otherwise; // not told: as at the beginning
  }
}

function answer(request: IncomingMessage, response: ServerResponse): void {
  const mood = read('mood', 'healthy');
  if (mood === 'hung') return;
  if (mood === 'reset') {
    request.socket.resetAndDestroy();
    return;
  }
  if (mood === 'slow') setTimeout(() => say('healthy', request, response), slowMs);
  else say(mood, request, response);
}

function say(mood: string, request: IncomingMessage, response: ServerResponse): void {
  if (mood === 'failing') {
    response.writeHead(500, { 'content-type': 'application/json' }).end('{"status":"unhealthy"}');
  } else if (mood === 'html') {
    response.writeHead(200, { 'content-type': 'text/html' }).end('<html><body>Welcome</body></html>');
  } else if (request.url === '/health/detailed') {
    const status = mood === 'checking' ? 'checking...' : 'healthy';
    const replicas = Number(read('replicas', '1'));
    const body = {
      status: 'healthy',
      components: { database: { status }, cache: { status } },
      replicas: { wanted: replicas, ready: replicas },
    };
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  } else if (request.url === '/mirror') {
    response.writeHead(200, { 'content-type': 'text/plain' }).end(`you sent ${request.headers.authorization}`);
  } else if (request.url === '/private') {
    response.writeHead(401, { 'content-type': 'text/plain' }).end('who are you?');
  } else if (request.url === '/echo') {
    let body = '';
    request.setEncoding('utf8').on('data', (text: string) => {
      body += text;
    });
    const { authorization } = request.headers;
    request.on('end', () => {
      response.writeHead(201, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ method: request.method, body, authorized: authorization === 'Bearer s3cret-of-the-test' }));
    });
  } else {
    response.writeHead(404, { 'content-type': 'application/json' }).end('{}');
  }
}

const server = createServer(answer);
let listening = false;
function follow(): void {
  const wanted = read('replicas', '1') !== '0';
  if (wanted && !listening) server.listen(Number(portText), '127.0.0.1');
  if (!wanted && listening) {
    server.close();
    server.closeAllConnections();
  }
  listening = wanted;
}
follow();
setInterval(follow, 10);
