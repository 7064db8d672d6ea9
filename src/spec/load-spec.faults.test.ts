import { describe, expect, test } from 'vitest';
import { expectFaults, good, load } from '../../test/spec/expect-faults.ts';

describe('faults of regions', () => {
  test('an unknown role', () =>
    expectFaults(good.replace('role: witness', 'role: ▲witnes'), {
      message: '"role" must be one of active, standby, witness, not "witnes"',
      hint: 'Did you mean "witness"?',
    }));
  test('a second active one names the first', () =>
    expectFaults(
      good.replace('role: witness', 'role: ▲active').replace('      us-west-2', '      eu-west-1: { url: "store://eu" }\n      us-west-2'),
      {
        message: 'eu-west-1 is a second active region: us-east-1 is active already',
        hint: /us-east-1 \(orders.yaml line 4\)/,
        path: 'regions.eu-west-1.role',
      },
    ));
  test('none active', () =>
    expectFaults(good.replace('role: active', 'role: standby').replace('regions', '▲regions'), {
      message: 'no region is active',
      hint: /role active/,
    }));
  test('no standby', () =>
    expectFaults(good.replace('role: standby', 'role: witness').replace('regions', '▲regions'), {
      message: 'no region is a standby: nothing could take over',
      hint: /role standby/,
    }));
  test('a name that is none', () =>
    expectFaults(good.replace('  eu-west-1:', '  ▲EU_West:'), {
      message: '"EU_West" is not a name',
      hint: /lower-case/,
      path: 'regions.EU_West',
    }));
});

describe('faults of durations, shares and limits', () => {
  const cases: readonly (readonly [string, string | RegExp, string | RegExp])[] = [
    ['objectives: { rto: ▲5 }', '"rto" is a number without a unit', /For example: rto: 5m/],
    ['objectives: { rto: ▲5 minutes }', '"5 minutes" is not a duration', /250ms, 10s, 5m/],
    ['objectives: { rto: ▲0s }', '0 ms is too short', /^Write a duration from 1 ms to/],
    ['objectives: { availability: ▲101% }', '"101%" is not a percentage', /from 0 to 100/],
    ['watch: { every: ▲1ms }', '1 ms is too short', 'Write a duration from 10 ms to 1 h.'],
    ['watch: { timeout: ▲2h }', '2 h is too long', 'Write a duration from 10 ms to 1 h.'],
    ['watch: { failures: ▲0 }', '"failures" must be at least 1', /probes in a row/],
    ['watch: { failures: ▲1.5 }', '"failures" must be a whole number, not 1.5', /For example: failures: 3/],
    ['watch: { ▲timeout: }', '"timeout" has no value', /For example: timeout: 1s/],
    ['▲watch:', '"watch" has no value', /./],
    ['failover: { automatic: ▲yes }', '"automatic" must be true or false, not a text', /Whether a failover may start/],
    ['failover: { ready-share: ▲0% }', 'this share must be above 0%', /80%/],
    ['failover: { lost-when: ▲al }', '"lost-when" must be one of any, all, not "al"', 'Did you mean "all"?'],
    ['failover: { approvals: ▲0 }', '"approvals" must be at least 1', /How many people/],
    ['failover: { ▲cooldown: 1h }', 'unknown key "cooldown" in "failover"', 'Did you mean "cool-down"?'],
    ['failback: { canary: [50%, ▲10%, 100%] }', /more traffic than the one before/, /ascending/],
    ['failback: { canary: [10%, ▲50%] }', 'the last stage must be 100%', /ends with all/],
    ['failback: { canary: ▲[] }', '"canary" may not be empty', /stage by stage/],
    ['failback: { abort-when: { error-rate: ▲1% } }', '"1%" is not a limit', /"> 1%"/],
    ['failback: { abort-when: { p95: ▲"> 2" } }', '"2" is not a duration', /"> 2s"/],
  ];
  test.each(cases)('%s', (line, message, hint) => expectFaults(`${good}${line}\n`, { message, hint }));
});

describe('faults of components', () => {
  const api = (lines: string, key = 'api') => `${good}  ${key}:\n${lines.replace(/^/gm, '    ')}\n`;
  const sites = 'sites: { us-east-1: {}, us-west-2: {} }';
  const sound = `replicas: { full: 1 }\nstart: [run]\n${sites}`;

  test('an unknown driver', () =>
    expectFaults(api(`driver: ▲fake-worklod\n${sound}`), {
      message: 'there is no driver "fake-worklod"',
      hint: 'Did you mean "fake-workload"?',
      path: 'components.api.driver',
    }));
  test('no driver', () =>
    expectFaults(api(sound, '▲api'), { message: '"driver" is missing in component api', hint: /For example: driver: postgresql/ }));
  test('not a map', () =>
    expectFaults(`${good}  api: ▲5\n`, { message: 'component api must be a map', hint: /beginning with its driver/ }));
  test('a missing key of the driver', () =>
    expectFaults(api(`driver: fake-workload\nreplicas: { full: 1 }\n${sites}`, '▲api'), {
      message: '"start" is missing in component api',
      hint: 'Starts it.',
    }));
  test('a missing key deep inside', () =>
    expectFaults(api(`driver: fake-workload\n▲replicas: { standby: 1 }\nstart: [run]\n${sites}`), {
      message: '"full" is missing in "replicas"',
      hint: /Replicas where it is active/,
    }));
  test('an unknown key of the driver, near to one that every component has', () =>
    expectFaults(api(`driver: fake-workload\n▲vitall: true\n${sound}`), {
      message: 'unknown key "vitall" in component api',
      hint: 'Did you mean "vital"?',
    }));
  test('an unknown key deep inside', () =>
    expectFaults(api(`driver: fake-workload\nreplicas: { full: 1, ▲stanby: 1 }\nstart: [run]\n${sites}`), {
      message: 'unknown key "stanby" in "replicas"',
      hint: 'Did you mean "standby"?',
    }));
  test('a list that is written as a text', () =>
    expectFaults(api(`driver: fake-workload\nreplicas: { full: 1 }\nstart: ▲run it\n${sites}`), {
      message: '"start" must be a list, not a text',
      hint: 'Starts it.',
    }));
  test('an item of a list', () =>
    expectFaults(api(`driver: fake-workload\nreplicas: { full: 1 }\nstart: [run, ▲5]\n${sites}`), {
      message: 'item 2 of "start" must be a text, not a number',
      hint: 'Put it in quotes: "5".',
    }));
  test('the word that chooses between shapes', () =>
    expectFaults(api(`driver: fake-workload\nready: { by: ▲htp }\n${sound}`), {
      message: '"by" must be one of http, share, not "htp"',
      hint: 'Did you mean "http"?',
    }));
  test('inside of the shape that was chosen', () =>
    expectFaults(api(`driver: fake-workload\nready: { by: share, share: ▲80 }\n${sound}`), {
      message: '"share" is a number without a unit',
      hint: /share: 80%/,
    }));
  test('a union says what its branches take', () =>
    expectFaults(good.replace('"store://east"', '"store://east", tls: ▲5'), {
      message: '"tls" must be true or false or a map, not a number',
      hint: /For example: tls: true/,
    }));
  test('a union says what is wrong in the branch that was meant', () =>
    expectFaults(
      good.replace('"store://east"', '"store://east", ▲tls: { ▲cca: x }'),
      { message: '"ca" is missing in "tls"', hint: /Path of the certificate authority/ },
      { message: 'unknown key "cca" in "tls"', hint: 'Did you mean "ca"?' },
    ));
  test("the driver author's own words", () =>
    expectFaults(good.replace('"store://east"', '▲"http://east"'), {
      message: 'the address must begin with store://',
      hint: /For example: url: "store:/,
    }));
  test('hands that log in as nobody', () =>
    expectFaults(good.replace('"store://east"', '"store://east", hands: { local: { as: ▲"a b" } }'), {
      message: '"as" is not the name of a user',
      hint: /Become this user/,
    }));
  test('a key of a site at the component', () =>
    expectFaults(good.replace('    sites:', '    ▲url: x\n    sites:'), {
      message: 'unknown key "url" in component orders-db',
      hint: /belongs to a site/,
    }));
  test('a key of the component at a site', () =>
    expectFaults(good.replace('"store://east"', '"store://east", ▲database: x'), {
      message: 'unknown key "database" in site us-east-1',
      hint: /belongs to the component/,
    }));
  test('what only the driver can see', () =>
    expectFaults(good.replace('"store://west"', '▲"store://east"'), {
      message: 'us-west-2 and us-east-1 have the same address',
      hint: 'Give each site its own store.',
      path: 'components.orders-db.sites.us-west-2.url',
    }));
  test('hands', () =>
    expectFaults(
      good
        .replace('"store://east"', '"store://east", hands: { ▲ssh: { ▲hots: a, port: ▲70000 } }')
        .replace('"store://west"', '"store://west", hands: ▲ssh'),
      { message: '"host" is missing in "ssh"', hint: /For example: host: 10.0.1.5/ },
      { message: 'unknown key "hots" in "ssh"', hint: 'Did you mean "host"?' },
      { message: '"port" must be at most 65535', hint: /Port of its ssh server/ },
      { message: '"hands" must be local, not "ssh"', hint: /For example: hands: local/ },
    ));
  test('a site in an unknown region', () =>
    expectFaults(good.replace('    sites:', '    sites:\n      ▲us-west-3: { url: "store://x" }'), {
      message: 'component orders-db has a site in "us-west-3", and there is no such region',
      hint: 'Did you mean "us-west-2"?',
    }));
  test('no site where it should take over', () =>
    expectFaults(good.replace('      us-west-2: { url: "store://west" }\n', '').replace('    sites', '    ▲sites'), {
      message: 'component orders-db has no site in us-west-2, the standby region: nothing could take over there',
      hint: 'Add us-west-2 below sites of orders-db.',
    }));
  test('no sites at all', () =>
    expectFaults(
      api('driver: fake-workload\nreplicas: { full: 1 }\nstart: [run]', '▲▲api'),
      { message: /no site in us-east-1, the active region/, hint: /Add us-east-1/ },
      { message: /no site in us-west-2/, hint: /Add us-west-2/ },
    ));
  test('checks and routes need no sites', async () => {
    const spec = await load({
      'orders.yaml': `${good}  probe: { driver: fake-check }\n  name: { driver: fake-route, record: api.example.com }\n`,
    });
    expect(spec.components.size).toBe(3);
  });
  test('a need that is not there', () =>
    expectFaults(api(`driver: fake-workload\nneeds: [▲order-db]\n${sound}`), {
      message: 'component api needs "order-db", and there is no such component',
      hint: 'Did you mean "orders-db"?',
      path: 'components.api.needs[0]',
    }));
  test('a need that is there twice', () =>
    expectFaults(api(`driver: fake-workload\nneeds: [orders-db, ▲orders-db]\n${sound}`), {
      message: 'component api needs "orders-db" twice',
      hint: /Take one/,
    }));
  test('a circle of needs', () =>
    expectFaults(
      `${good}  a: { driver: fake-check, needs: [orders-db, ▲b] }\n  b: { driver: fake-check, needs: [c] }\n  c: { driver: fake-check, needs: [a] }\n  d: { driver: fake-check, needs: [a] }\n`,
      {
        message: 'components need each other in a circle: a -> b -> c -> a',
        hint: /Take one of these needs away/,
      },
    ));
  test('a component that needs itself, beside another circle', () =>
    expectFaults(
      `${good}  a: { driver: fake-check, needs: [▲a] }\n  b: { driver: fake-check, needs: [▲c] }\n  c: { driver: fake-check, needs: [b] }\n`,
      { message: /circle: a -> a$/, hint: /./ },
      { message: /circle: b -> c -> b$/, hint: /./ },
    ));
  test('a fault in one component hides none in another', () =>
    expectFaults(
      `${good}  a: { driver: fake-check, ▲x: 1 }\n  b: { driver: fake-route, needs: [▲aa], record: ▲"" }\n`,
      { message: /unknown key "x"/, hint: /./ },
      { message: /needs "aa"/, hint: 'Did you mean "a"?' },
      { message: '"record" may not be empty', hint: /./ },
    ));
});

describe('faults of sections that have no effect yet', () => {
  test('a drill', () =>
    expectFaults(`${good}drills: [{ kind: failover, every: monthly, window: ▲"Sat 02:00-06:00 Mars" }]\n`, {
      message: '"Mars" is not a time zone',
      hint: /Europe\/Zurich/,
    }));
  test('a channel', () =>
    expectFaults(
      `${good}tell: { a: { channel: email, to: [▲me] }, b: { channel: slack, webhook: ▲abc } }\n`,
      { message: 'this is not an email address', hint: /./ },
      { message: '"webhook" must be a reference to a secret', hint: /env/ },
    ));
});
