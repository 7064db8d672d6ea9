/** A client of PostgreSQL that keeps its connection. Where that breaks while nothing is asked, the next query says so. */
import pg from 'pg';

export async function connectClient(config: pg.ClientConfig): Promise<pg.Client> {
  const client = new pg.Client(config);
  client.on('error', () => {
    // It shows in the next query.
  });
  try {
    await client.connect();
    return client;
  } catch (error) {
    void client.end().catch(() => {});
    throw error;
  }
}
