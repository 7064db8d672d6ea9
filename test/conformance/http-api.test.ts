/** An API over HTTP, watched and tried by the driver http-service: its health by every component in the body, an answer by status, content type and body; and what may stand in its place. */
import { afterEach, describe, expect, it } from 'vitest';
import { driver } from '../../src/drivers/http-service/driver.ts';
import { type Answerer, type BadAnswer, type FaultyHttp, startFaultyHttp } from '../systems/faulty-http.ts';
import { realHost } from './dns-route-subjects.ts';
import { openDriverSite } from './open-site.ts';
import { newJournal, stepContext } from './step-runner.ts';

const probe = () => AbortSignal.timeout(10_000);
const health = {
  path: '/health/detailed',
  'content-type': 'application/json',
  json: { status: 'healthy', region: 'east', 'components.*.status': 'healthy' },
};
const smoke = [
  { path: '/health/detailed', expect: { json: health.json } },
  {
    method: 'POST',
    path: '/api/query',
    headers: { 'X-Tenant-ID': 'acme' },
    body: { question: 'are you there?' },
    expect: { status: 200, 'content-type': 'application/json', json: { tenant: 'acme', answered: true } },
  },
];
const running: FaultyHttp[] = [];
const start = async (answer: BadAnswer | Answerer): Promise<FaultyHttp> => {
  const server = await startFaultyHttp(answer);
  running.push(server);
  return server;
};
const open = (server: FaultyHttp) =>
  openDriverSite(driver, { host: realHost, options: { health, smoke }, site: { url: server.url }, probeTimeoutMs: 500 });
afterEach(async () => {
  for (const server of running.splice(0)) await server.stop();
});

function api({
  components = { database: 'healthy', cache: 'healthy' } as Record<string, string>,
  region = 'east',
  type = 'application/json',
} = {}): Answerer {
  const parts = Object.fromEntries(Object.entries(components).map(([name, status]) => [name, { status }]));
  return ({ method, path, body, headers }) => {
    if (method === 'GET' && path === '/health/detailed') return { body: JSON.stringify({ status: 'healthy', region, components: parts }) };
    if (method !== 'POST' || path !== '/api/query') return { status: 404, body: '{}' };
    const isJson = headers['content-type'] === 'application/json' && body === '{"question":"are you there?"}';
    const tenant = headers['x-tenant-id'];
    return isJson && tenant !== undefined
      ? { headers: { 'content-type': type }, body: JSON.stringify({ tenant, answered: true }) }
      : { status: 400, body: '{}' };
  };
}

describe('an API over HTTP', () => {
  it('[S3-27] [E3-07] is up only when every component in the body is', async () => {
    const server = await start(api());
    expect((await open(server).observe(probe())).health).toBe('up');
    server.become(api({ components: { database: 'healthy', cache: 'checking...' } }));
    expect(await open(server).observe(probe())).toMatchObject({
      health: 'down',
      evidence: { detail: expect.stringContaining('"checking..."') },
    });
    server.become(api({ components: {} }));
    expect((await open(server).observe(probe())).health).toBe('down');
  });

  it('[S3-57] is asked for health, then for an answer with header and body, whose status, content type and body are looked at', async () => {
    const server = await start(api());
    const check = async () => open(server).verbs.check?.inspect({}, stepContext(realHost, newJournal()));
    expect(await check()).toMatchObject({ state: 'done' });
    expect(server.takeSeen()).toEqual(['GET /health/detailed', 'POST /api/query']);
    server.become(api({ type: 'text/html' }));
    expect(await check()).toMatchObject({ state: 'pending', why: expect.stringContaining('content type "text/html"') });
  });

  it('one of another region is not taken for this one', async () => {
    const server = await start(api({ region: 'west' }));
    expect(await open(server).observe(probe())).toMatchObject({
      health: 'down',
      evidence: { detail: expect.stringContaining('region is "west"') },
    });
  });

  it.each([
    ['too-many-requests', 'down', 'wrong-answer'],
    ['server-error', 'down', 'wrong-answer'],
    ['unauthorized', 'unknown', 'not-allowed'],
    ['forbidden', 'unknown', 'not-allowed'],
    ['web-page', 'down', 'wrong-answer'],
    ['empty-body', 'down', 'wrong-answer'],
    ['empty-object', 'down', 'wrong-answer'],
    ['half-json', 'down', 'wrong-answer'],
    ['reset', 'down', 'connection-lost'],
    ['hang', 'unknown', 'timeout'],
  ] as const)('%s is %s', async (answer, expected, kind) => {
    expect(await open(await start(answer)).observe(probe())).toMatchObject({ health: expected, evidence: { kind } });
  });
});
