/**
 * A stand-in for Route 53: moto keeps the zones and speaks the protocol, and a gate in front of it refuses what Route 53 refuses and moto lets through: unknown access keys, a DELETE that does
 * not repeat a record exactly, a CREATE of what exists, a batch of which one part is wrong, routing policies mixed under one name, unlike TTLs of weighted records, weights outside 0 to 255.
 * Changes stay PENDING for as many questions as a test wants.
 */
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { CreateHostedZoneCommand, ListResourceRecordSetsCommand, type ResourceRecordSet, Route53Client } from '@aws-sdk/client-route-53';
import type { ObjectStoreServer } from './object-store.ts';
import { type BatchChange, findBatchFault, readBatch } from './route53-rules.ts';

export interface RunningRoute53 {
  readonly endpoint: string;
  readonly zoneId: string;
  readonly accessKeyId: string;
  /** How often GetChange answers PENDING before INSYNC. */
  pendingAnswers: number;
  /** The next requests are refused with this, as the service does under load. */
  refuse(code: 'Throttling' | 'PriorRequestNotComplete', times: number): void;
  /** All record sets but NS and SOA, as moto has them. */
  records(): Promise<readonly ResourceRecordSet[]>;
  /** The operations since the last call: `GET change`, `POST rrset`. */
  takeSeen(): readonly string[];
  hang(): void;
  /** Connections are refused from now on. */
  stop(): Promise<void>;
}

const namespace = 'https://route53.amazonaws.com/doc/2013-04-01/';

/** A zone of its own in a moto that runs. */
export async function startRoute53(moto: ObjectStoreServer, zone = 'example.test'): Promise<RunningRoute53> {
  const behind = new Route53Client({
    endpoint: moto.endpoint,
    region: 'us-east-1',
    credentials: { accessKeyId: moto.accessKeyId, secretAccessKey: moto.secretAccessKey },
  });
  const made = await behind.send(new CreateHostedZoneCommand({ Name: zone, CallerReference: `${performance.now()}-${Math.random()}` }));
  const zoneId = (made.HostedZone?.Id ?? '').replace('/hostedzone/', '');
  const listAll = async () => {
    const { ResourceRecordSets = [] } = await behind.send(new ListResourceRecordSetsCommand({ HostedZoneId: zoneId }));
    return ResourceRecordSets.filter(({ Type }) => Type !== 'NS' && Type !== 'SOA');
  };
  const refusals: string[] = [];
  const asked = new Map<string, number>();
  let seen: string[] = [];
  let hanging = false;

  const answer = async (request: IncomingMessage): Promise<{ status: number; body: string }> => {
    const body = await readAll(request);
    const [path = ''] = (request.url ?? '').split('?');
    const operation = `${request.method} ${path.includes('/rrset') ? 'rrset' : (path.split('/')[2] ?? '')}`;
    seen.push(operation);
    const key = /Credential=([^/]+)\//.exec(request.headers.authorization ?? '')?.[1];
    if (key !== moto.accessKeyId) return refusal(403, 'InvalidClientTokenId', 'The security token included in the request is invalid.');
    const code = refusals.shift();
    if (code !== undefined) return refusal(400, code, 'Rate exceeded');
    let relayed = body;
    if (operation === 'POST rrset' && request.method === 'POST') {
      const changes: readonly BatchChange[] = readBatch(body);
      const fault = findBatchFault(changes, await listAll());
      if (fault !== undefined) return refusal(400, 'InvalidChangeBatch', fault);
      // moto takes a CREATE of what once was there for one of what is there.
      relayed = body.replaceAll('<Action>CREATE</Action>', '<Action>UPSERT</Action>');
    }
    const response = await fetch(`${moto.endpoint}${request.url}`, {
      method: request.method ?? 'GET',
      headers: { authorization: request.headers.authorization ?? '', 'content-type': 'application/xml' },
      ...(relayed === '' ? {} : { body: relayed }),
      signal: AbortSignal.timeout(10_000),
    });
    const text = await response.text();
    const count = (asked.get(path) ?? 0) + 1;
    if (operation === 'GET change') asked.set(path, count);
    const pending = operation === 'POST rrset' || (operation === 'GET change' && count <= running.pendingAnswers);
    return { status: response.status, body: pending ? text.replace('<Status>INSYNC</Status>', '<Status>PENDING</Status>') : text };
  };
  const server: Server = createServer((request, response) => {
    if (hanging) return;
    answer(request).then(
      ({ status, body }) => response.writeHead(status, { 'content-type': 'text/xml' }).end(body),
      () => request.socket.destroy(),
    );
  });
  await new Promise<void>((resolve) => server.listen({ host: '127.0.0.1', port: 0 }, resolve));
  const running: RunningRoute53 = {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    zoneId,
    accessKeyId: moto.accessKeyId,
    pendingAnswers: 0,
    refuse: (code, times) => void refusals.push(...Array<string>(times).fill(code)),
    records: listAll,
    takeSeen: () => {
      const taken = seen;
      seen = [];
      return taken;
    },
    hang: () => {
      hanging = true;
    },
    stop: async () => {
      behind.destroy();
      if (!server.listening) return;
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return running;
}

function refusal(status: number, code: string, message: string): { status: number; body: string } {
  const words = message.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  return {
    status,
    body: `<?xml version="1.0"?><ErrorResponse xmlns="${namespace}"><Error><Type>Sender</Type><Code>${code}</Code><Message>${words}</Message></Error><RequestId>0</RequestId></ErrorResponse>`,
  };
}

async function readAll(stream: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of stream) pieces.push(piece as Buffer);
  return Buffer.concat(pieces).toString();
}
