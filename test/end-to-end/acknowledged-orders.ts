/** What a client of the demo's service was told, against what the database holds. */
import { setTimeout as delay } from 'node:timers/promises';
import type { OrdersClient } from '../../examples/demo/orders-client.ts';
import type { Region } from '../../examples/demo/region.ts';

/** Whether one more order is acknowledged within the time. */
export async function isAccepted(client: OrdersClient, timeoutMs: number): Promise<boolean> {
  const before = client.acknowledgements.length;
  const deadline = performance.now() + timeoutMs;
  while (client.acknowledgements.length === before && performance.now() < deadline) await delay(20);
  return client.acknowledgements.length > before;
}

/** Acknowledged orders that the database does not have. */
export async function findMissingOrders(client: OrdersClient, database: Region['database']): Promise<number[]> {
  const asked = client.acknowledgements.map((each) => each.number);
  const text = 'SELECT number::text FROM orders WHERE number = ANY($1::bigint[])';
  const rows = await database.query(text, { values: [asked], database: 'orders' });
  const found = new Set(rows.map((row) => Number(row.number)));
  return asked.filter((number) => !found.has(number));
}
