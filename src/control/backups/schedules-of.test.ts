/** Which runs a spec has, and what has to have been done before each. */
import { expect, it } from 'vitest';
import type { Spec } from '../../spec/spec.ts';
import { hasGround, plannedRuns } from './schedules-of.ts';

it('an increment waits for a base in its own repository; a base waits for nothing', () => {
  const schedule = { written: 'daily', pattern: '0 3 * * *', timezone: 'UTC', jitterShare: 0 };
  const buildsOn = ['base', 'increment'];
  const backup = [
    { what: 'base', to: 'near', schedule },
    { what: 'base', to: 'far', schedule },
    { what: 'increment', to: 'near', schedule, buildsOn },
  ];
  const runs = plannedRuns({ components: new Map([['orders-db', { name: 'orders-db', backup }]]) } as unknown as Spec);
  const startable = (...done: string[]) => runs.filter((run) => hasGround(run, (id) => done.includes(id))).map(({ id }) => id);
  expect(startable()).toEqual(['orders-db/base@near', 'orders-db/base@far']);
  expect(startable('orders-db/base@far', 'orders-db/increment@near')).toHaveLength(2);
  expect(startable('orders-db/base@near')).toContain('orders-db/increment@near');
});
