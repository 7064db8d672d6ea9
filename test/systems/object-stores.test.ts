import { expect, it } from 'vitest';
import { startMoto } from './moto.ts';
import { plainS3Client } from './object-store.ts';
import { describeSystem } from './requirement.ts';
import { startVersitygw } from './versitygw.ts';

describeSystem('versitygw', () => {
  it('starts, makes buckets, and is gone when it is stopped', async () => {
    await startsAndStops(await startVersitygw());
  });
});

describeSystem('moto', () => {
  it('starts, makes buckets, and is gone when it is stopped', async () => {
    await startsAndStops(await startMoto());
  });
});

async function startsAndStops(server: Awaited<ReturnType<typeof startMoto>>): Promise<void> {
  const { ListBucketsCommand } = await import('@aws-sdk/client-s3');
  const client = plainS3Client(server);
  try {
    await server.makeBucket('made');
    const { Buckets } = await client.send(new ListBucketsCommand({}));
    expect(Buckets?.map(({ Name }) => Name)).toEqual(['made']);
  } finally {
    client.destroy();
    await server.stop();
  }
  expect(server.pids()).toEqual([]);
  await expect(fetch(server.endpoint)).rejects.toThrow();
}
