import { expect, test } from 'vitest';
import { environmentText, ledgerEnvironment, type NodeStart } from './environment.ts';

const place = { data: '/data', listen: '0.0.0.0:50051', metrics: '0.0.0.0:9090' } as const;
const textOf = (node: Omit<NodeStart, keyof typeof place>): string => environmentText(ledgerEnvironment({ ...place, ...node }));
const always = 'INFERADB__LEDGER__DATA="/data"\nINFERADB__LEDGER__LISTEN="0.0.0.0:50051"\nINFERADB__LEDGER__METRICS="0.0.0.0:9090"\n';

test('[S2-50] [E2-04] [E2-05] each interface is given its own settings, and always where to listen and to count', () => {
  expect(textOf({ profile: 'A', start: { as: 'single' } })).toBe(`${always}INFERADB__LEDGER__CLUSTER="1"\n`);
  expect(textOf({ profile: 'A', start: { as: 'bootstrap', size: 3, peers: '/etc/ledger/peers.json' } })).toBe(
    `${always}INFERADB__LEDGER__CLUSTER="3"\nINFERADB__LEDGER__PEERS="/etc/ledger/peers.json"\n`,
  );
  expect(textOf({ profile: 'A', start: { as: 'join', members: ['10.0.1.5:50051'], peers: 'ledger.internal' } })).toBe(
    `${always}INFERADB__LEDGER__CLUSTER="0"\nINFERADB__LEDGER__PEERS="ledger.internal"\n`,
  );
  expect(textOf({ profile: 'B', start: { as: 'single' } })).toBe(always);
  expect(textOf({ profile: 'B', advertise: '10.0.1.6:50051', start: { as: 'join', members: ['10.0.1.5:50051', '10.0.1.7:50051'] } })).toBe(
    `${always}INFERADB__LEDGER__ADVERTISE="10.0.1.6:50051"\nINFERADB__LEDGER__JOIN="10.0.1.5:50051,10.0.1.7:50051"\n`,
  );
});

test('[E2-04] what an interface would ignore or never find is refused', () => {
  const refused = (node: Omit<NodeStart, keyof typeof place>) => expect(() => textOf(node)).toThrow();
  refused({ profile: 'A', start: { as: 'bootstrap', size: 3, peers: 'node1:50051' } });
  refused({ profile: 'A', start: { as: 'bootstrap', size: 1, peers: 'ledger.internal' } });
  refused({ profile: 'B', start: { as: 'bootstrap', size: 3, peers: 'ledger.internal' } });
  refused({ profile: 'B', start: { as: 'join', members: ['true'] } });
  refused({ profile: 'B', start: { as: 'join', members: [] } });
});
