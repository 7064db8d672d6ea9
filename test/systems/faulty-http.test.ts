/** The server of bad answers gives them as real ones do. */
import { afterEach, describe, expect, it } from 'vitest';
import { nodeHost } from '../../src/host/node/node-host.ts';
import { badAnswers, type FaultyHttp, startFaultyHttp } from './faulty-http.ts';

const { net } = nodeHost({ logTo: 'silent' });
const running: FaultyHttp[] = [];
const start = async (...options: Parameters<typeof startFaultyHttp>): Promise<FaultyHttp> => {
  const server = await startFaultyHttp(...options);
  running.push(server);
  return server;
};
afterEach(async () => {
  for (const server of running.splice(0)) await server.stop();
});

/** In one word, what came of a request. */
async function outcome(server: FaultyHttp, ca?: string): Promise<string> {
  const trust = ca === undefined ? {} : { ca };
  try {
    const { status, body } = await net.http({ url: `${server.url}/x`, timeoutMs: 300, ...trust });
    return `${status} ${body.slice(0, 15)}`;
  } catch (error) {
    return String((error as { details?: { cause?: string } }).details?.cause);
  }
}

describe('a server that answers badly (stand-in)', () => {
  it.each([
    ['too-many-requests', /^429 </],
    ['server-error', /^500 </],
    ['unavailable', /^503 </],
    ['unauthorized', /^401 </],
    ['forbidden', /^403 </],
    ['web-page', /^200 <!doctype/],
    ['empty-body', /^200 $/],
    ['empty-object', /^200 \{\}$/],
    ['half-json', /^200 \{"status":"succ$/],
    ['cut-off', /^(?:reset|other)$/],
    ['reset', /^reset$/],
    ['hang', /^timeout$/],
  ] as const)('%s', async (answer, expected) => {
    expect(badAnswers).toContain(answer);
    const server = await start(answer);
    expect(await outcome(server)).toMatch(expected);
    expect(server.takeSeen()).toEqual(['GET /x']);
  });

  it('answers what a test gives, and by a certificate that has to be trusted first', async () => {
    const server = await start(() => ({ body: '{"cluster":"another"}' }), { tls: true });
    expect(await outcome(server)).toBe('tls');
    expect(await outcome(server, server.ca)).toBe('200 {"cluster":"ano');
    const other = await start('web-page', { tls: true, certificateFor: 'DNS:elsewhere.test' });
    expect(await outcome(other, other.ca)).toBe('tls');
  });
});
