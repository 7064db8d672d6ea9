import { describe, expect, it } from 'vitest';
import { expectFaults, head, load, noticesIn } from '../../test/spec/expect-faults.ts';
import { findUnservedPurposes } from './backup-purposes.ts';

const base = (more: string) => `{ what: base, every: daily, ${more} }`;
const wal = (more: string) => `{ what: wal, continuous: true, ${more} }`;
const spec = (purposes: string, ...entries: string[]) => `${head}objectives:
  backups: ${purposes}
repositories: { main: { driver: filesystem, path: /r } }
components:
  orders-db:
    driver: memory-store
    sites:
      us-east-1: { url: "store://east" }
      us-west-2: { url: "store://west" }
${entries.length === 0 ? '' : `    backup:\n${entries.map((entry) => `      - ${entry}`).join('\n')}\n`}`;

/** What is missing, by purpose, and the line of the entry that falls short. */
async function unserved(purposes: string, ...entries: string[]) {
  const { objectives, components } = await load({ 'orders.yaml': spec(purposes, ...entries) });
  return findUnservedPurposes(objectives, components).map(({ purpose, entry, message }) => [purpose, entry, message]);
}

describe('[S1-40] each purpose of backups has a policy; a missing one is red', () => {
  it('asks nothing where no purpose is named', async () => {
    const { objectives, components } = await load({ 'orders.yaml': spec('{}', base('keep: 7d')) });
    expect(findUnservedPurposes(objectives, components)).toEqual([]);
  });
  it('has nothing to say of three purposes with three policies', async () => {
    const entries = [
      base('for: [corruption, compliance, point-in-time], keep: { days: 30d, yearly: 7 }, prove: { every: weekly }'),
      wal('for: [point-in-time], keep: 7d'),
    ];
    expect(await unserved('{ point-in-time: 7d, corruption: 30d, compliance: 2555d }', ...entries)).toEqual([]);
  });
  it('finds a purpose that nothing is for, also of data that is not backed up at all', async () => {
    expect(await unserved('{ compliance: 365d }', base('for: [corruption], keep: 30d, prove: { every: weekly }'))).toEqual([
      ['compliance', undefined, 'no backup of orders-db is for compliance'],
    ]);
    expect(await unserved('{ corruption: 1d }')).toEqual([['corruption', undefined, 'no backup of orders-db is for corruption']]);
  });
  it('finds a policy without retention, with too little of it, and one that is never restored', async () => {
    const policy = (more: string) => unserved('{ corruption: 30d }', base(`for: [corruption]${more}`));
    expect(await policy(', prove: { every: weekly }')).toEqual([
      ['corruption', 0, 'corruption of orders-db has no whole policy: nothing says how long base is kept'],
    ]);
    expect(await policy(', keep: { daily: 29 }, prove: { every: weekly }')).toEqual([
      ['corruption', 0, 'corruption of orders-db has no whole policy: base is kept for 29 d, and 30 d are asked for'],
    ]);
    expect(await policy(', keep: { daily: 30 }')).toEqual([
      ['corruption', 0, 'corruption of orders-db has no whole policy: no restore of base is ever tested'],
    ]);
    expect(await policy(', keep: { daily: 30 }, prove: { every: weekly }')).toEqual([]);
  });
  it('wants an archive for any instant, and as long a reach of both that it takes', async () => {
    const proven = 'for: [point-in-time], keep: 8d, prove: { every: weekly }';
    expect(await unserved('{ point-in-time: 7d }', base(proven), wal('keep: 7d'))).toEqual([
      ['point-in-time', 0, 'point-in-time of orders-db has no archive: only the instants of the backups themselves can be restored'],
    ]);
    expect(await unserved('{ point-in-time: 7d }', base(proven), wal('for: [point-in-time], keep: 6d'))).toEqual([
      ['point-in-time', 1, 'point-in-time of orders-db has no whole policy: wal is kept for 6 d, and 7 d are asked for'],
    ]);
    expect(await unserved('{ point-in-time: 7d }', base('keep: 8d'), wal('for: [point-in-time], keep: 7d'))).toEqual([
      ['point-in-time', 1, 'point-in-time of orders-db has no whole policy: no restore of wal is ever tested'],
    ]);
    expect(await unserved('{ point-in-time: 7d }', base(proven), wal('for: [point-in-time], keep: 7d'))).toEqual([]);
  });
  it('is about the components that are named, and a name that nobody has is a fault', async () => {
    const api = '  api: { driver: memory-store, sites: { us-east-1: { url: "store://a" }, us-west-2: { url: "store://b" } } }\n';
    const entry = base('for: [corruption], keep: 30d, prove: { every: weekly }');
    const both = async (purposes: string) => {
      const { objectives, components } = await load({ 'orders.yaml': spec(purposes, entry) + api });
      return findUnservedPurposes(objectives, components).map(({ component }) => component);
    };
    expect(await both('{ corruption: 30d }')).toEqual(['api']);
    expect(await both('{ corruption: { reach: 30d, of: [orders-db] } }')).toEqual([]);
    await expectFaults(spec('{ corruption: { reach: 30d, of: [▲order-db] } }', entry), {
      message: 'corruption is asked of "order-db", and there is no such component',
      hint: 'Did you mean "orders-db"?',
    });
  });
  it('shows the line of the objective and the line that falls short of it', async () => {
    const text = spec('{ corruption: 30d }', base('for: [corruption], keep: 30d'));
    const lines = text.split('\n');
    const { notices } = await load({ 'orders.yaml': text });
    const [notice] = notices.filter(({ message }) => message.includes('corruption'));
    expect(lines[(notice?.line as number) - 1]).toContain('what: base');
    expect(lines[(notice?.other?.line as number) - 1]).toContain('backups: { corruption: 30d }');
    expect((await noticesIn(spec('{ corruption: 30d }'))).map(({ path }) => path)).toContain('components.orders-db');
  });
});
