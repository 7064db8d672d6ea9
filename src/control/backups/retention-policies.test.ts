import { expect, it } from 'vitest';
import { good, load } from '../../../test/spec/expect-faults.ts';
import { retentionDefaults } from '../../backups/retention-policy.ts';
import { policyOf } from './retention-policies.ts';

const dayMs = 86_400_000;
const nowMs = Date.UTC(2026, 10, 20);
const policy = async (every: string) => {
  const text = `${good}    backup: [{ what: base, every: ${every}, keep: 400d }]\nrepositories: { main: { driver: filesystem, path: /r } }\n`;
  return policyOf(await load({ 'orders.yaml': text }), 'main', 'orders-db', 'base', nowMs);
};

it('a month without a record is a clock that leapt where backups are daily, and nothing where they are monthly', async () => {
  expect((await policy('daily'))?.leapMaxMs).toBe(retentionDefaults.leapMaxMs);
  expect((await policy('monthly'))?.leapMaxMs).toBeGreaterThanOrEqual(56 * dayMs);
});
