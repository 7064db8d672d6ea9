/** A repository in a bucket whose key AWS KMS opens: made, opened again, and every way in which that can fail, each as what it is. */
import { randomUUID } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { CreateAliasCommand, CreateKeyCommand, KMSClient } from '@aws-sdk/client-kms';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createRepository } from '../../src/backups/create-repository.ts';
import { openRepository } from '../../src/backups/open-repository.ts';
import type { Repository } from '../../src/backups/repository.ts';
import { HoldfastError } from '../../src/base/errors.ts';
import { Secret } from '../../src/base/secret.ts';
import type { KeyVault } from '../../src/contracts/key-vault.ts';
import { nodeHost } from '../../src/host/node/node-host.ts';
import { AwsKms } from '../../src/repositories/s3/aws-kms.ts';
import { S3Store } from '../../src/repositories/s3/s3-store.ts';
import { startMoto } from '../systems/moto.ts';
import type { ObjectStoreServer } from '../systems/object-store.ts';
import { freePort } from '../systems/ports.ts';
import { describeSystem } from '../systems/requirement.ts';
import { s3Settings } from './repository-backend-s3.ts';

const host = nodeHost({ logTo: 'silent' });
const bucketName = 'dr-backups';

async function codeOf(work: Promise<unknown>): Promise<string> {
  const thrown = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  return thrown instanceof HoldfastError ? thrown.code : `not an error of ours: ${String(thrown)}`;
}

const servers: Server[] = [];
async function listen(server: Server): Promise<string> {
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** A service that answers everything alike. */
async function answering(status: number, type: string) {
  let asked = 0;
  const server = createServer((_request, response) => {
    asked += 1;
    response.writeHead(status, { 'content-type': 'application/x-amz-json-1.1' }).end(JSON.stringify({ __type: type }));
  });
  return { url: await listen(server), asked: () => asked };
}

let passing: { readonly url: string; close(): Promise<void> } | undefined;
/** Hands requests on, until it is closed. */
async function passingOn(endpoint: string) {
  const server = createServer(async (request, response) => {
    const body: Buffer[] = [];
    for await (const piece of request) body.push(piece as Buffer);
    const headers = Object.fromEntries(
      Object.entries(request.headers).filter(([name]) => /^(content-type|x-amz-target|authorization)$/.test(name)),
    );
    const answer = await fetch(endpoint, { method: 'POST', headers: headers as Record<string, string>, body: Buffer.concat(body) });
    response.writeHead(answer.status, { 'content-type': 'application/x-amz-json-1.1' }).end(Buffer.from(await answer.arrayBuffer()));
  });
  passing = {
    url: await listen(server),
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return passing;
}

describeSystem('moto', 'a key slot of AWS KMS', () => {
  let moto: ObjectStoreServer;
  let kms: KMSClient;
  let prefix = '';
  let recoveryKey = '';
  let repository: Repository;

  const service = (key = 'alias/holdfast', endpoint = moto.endpoint): KeyVault =>
    new AwsKms(
      {
        key,
        region: moto.region,
        endpoint,
        accessKeyId: new Secret(moto.accessKeyId, 'test'),
        secretAccessKey: new Secret(moto.secretAccessKey, 'test'),
        sessionToken: undefined,
      },
      host,
    );
  const backend = () => new S3Store(s3Settings(moto, bucketName, { prefix }), host);
  const open = (keyVault: KeyVault) => openRepository({ backend: backend(), platform: 'orders', host, keyVault });
  const makeKey = async (alias: string): Promise<void> => {
    const id = (await kms.send(new CreateKeyCommand({}))).KeyMetadata?.KeyId ?? '';
    await kms.send(new CreateAliasCommand({ AliasName: alias, TargetKeyId: id }));
  };
  async function make(keyVault: KeyVault): Promise<Repository> {
    prefix = `${randomUUID()}/`;
    return createRepository({
      backend: backend(),
      platform: 'orders',
      host,
      encryption: { keyVault },
      confirmRecoveryKey: async (key) => {
        recoveryKey = key;
        return key;
      },
    });
  }

  beforeAll(async () => {
    moto = await startMoto();
    await moto.makeBucket(bucketName);
    const credentials = { accessKeyId: moto.accessKeyId, secretAccessKey: moto.secretAccessKey };
    kms = new KMSClient({ endpoint: moto.endpoint, region: moto.region, credentials });
    await makeKey('alias/holdfast');
    await makeKey('alias/another');
    repository = await make(service());
  });
  afterAll(async () => {
    await repository?.close();
    kms?.destroy();
    for (const server of servers) server.close();
    await moto?.stop();
  });

  it('is made together with a recovery slot, and each of the two opens what the other wrote', async () => {
    expect((await repository.slots()).map(({ kind }) => kind).sort()).toEqual(['kms', 'recovery']);
    const archive = await repository.openArchive('db', 'history');
    await archive.push('000000010000000000000001', Buffer.from('a log'));
    for (const opened of [
      await open(service()),
      await openRepository({ backend: backend(), platform: 'orders', host, secret: new Secret(recoveryKey, 'test') }),
    ]) {
      const found = await (await opened.openArchive('db', 'history')).fetch('000000010000000000000001');
      expect(Buffer.from(found?.bytes ?? []).toString()).toBe('a log');
      await opened.close();
    }
    const [recovery] = (await repository.slots()).filter(({ kind }) => kind === 'recovery');
    expect(await codeOf(repository.revokeSlot(recovery?.slot ?? ''))).toBe('KEY_NOT_PROVEN');
  });

  it('a service that does not answer, one that refuses, and another key are three errors; an open repository notices too', async () => {
    const nobody = `http://127.0.0.1:${await freePort('127.0.0.1')}`;
    expect(await codeOf(open(service('alias/holdfast', nobody)))).toBe('KEY_SERVICE_UNREACHABLE');
    expect(await codeOf(open(service('alias/another')))).toBe('KEY_WRONG');
    expect(await codeOf(open(service('alias/never-made')))).toBe('KEY_WRONG');
    expect(await codeOf(open(service('alias/holdfast', (await answering(400, 'AccessDeniedException')).url)))).toBe('KEY_SERVICE_REFUSED');
    expect(await codeOf(open(service('alias/holdfast', (await answering(400, 'DisabledException')).url)))).toBe('KEY_SERVICE_REFUSED');
    const flaky = await answering(500, 'KMSInternalException');
    expect(await codeOf(open(service('alias/holdfast', flaky.url)))).toBe('KEY_SERVICE_UNREACHABLE');
    expect(flaky.asked()).toBe(3);
    await repository.checkKey();
    const shut = await open(service('alias/holdfast', (await passingOn(moto.endpoint)).url));
    await shut.checkKey();
    await passing?.close();
    expect(await codeOf(shut.checkKey())).toBe('KEY_SERVICE_UNREACHABLE');
    await shut.close();
  });

  it('nothing is made where the service does not answer', async () => {
    const before = prefix;
    const nobody = `http://127.0.0.1:${await freePort('127.0.0.1')}`;
    expect(await codeOf(make(service('alias/holdfast', nobody)))).toBe('KEY_SERVICE_UNREACHABLE');
    const names: string[] = [];
    for await (const { name } of backend().list('')) names.push(name);
    expect(names).toEqual([]);
    prefix = before;
  });

  it('another key of the service is one more slot, and the old one can be revoked', async () => {
    const slot = await repository.addVaultSlot(service('alias/another'));
    await (await open(service('alias/another'))).close();
    const [old] = (await repository.slots()).filter((each) => each.kind === 'kms' && each.slot !== slot);
    await repository.revokeSlot(old?.slot ?? '');
    expect(await codeOf(open(service('alias/holdfast')))).toBe('KEY_WRONG');
    await (await open(service('alias/another'))).close();
  });
});
