/** etcd, whose copy answers on a socket only: the damage is done by its JSON gateway. */
import { type Damage, generalDamages } from '../../src/backups/sabotage.ts';
import { driver } from '../../src/drivers/etcd/driver.ts';
import { seededRandom } from '../fakes/host.ts';
import { startEtcd } from '../systems/etcd.ts';
import { component, host, type SabotageSubject } from './sabotage-world.ts';

/** The write-ahead log is made anew by the restore, 64 MB of nothing: no part of it comes from the backup, and etcd makes it again where it is lost. */
const madeByRestore = /^data\/member\/wal\//;
/** The database has pages that nothing uses: a byte that turns over in one of them damages nothing. The snapshot itself has none that does not count. */
const withUnusedPages = /^data\//;

const spareOf = (name: string): RegExp => (name === 'flip a byte of a restored file' ? withUnusedPages : madeByRestore);

const base64 = (text: string) => Buffer.from(text).toString('base64');

/** A call to the copy; its answer has to hold the words, or the damage was not done. */
const call = (name: string, path: string, body: Record<string, string>, wanted: string): Damage => ({
  strikes: 'running',
  name,
  running: {
    name,
    command: (address) => {
      const socket = /--unix-socket (\S+)/.exec(address)?.[1] ?? '';
      return `curl -sS --fail --max-time 20 --unix-socket '${socket}' 'http://copy/v3/kv/${path}' -d '${JSON.stringify(body)}' | grep -q '${wanted}'`;
    },
  },
});

export async function startEtcdSubject(): Promise<SabotageSubject> {
  if (!driver.backups) throw new Error('etcd has no backups');
  const { backups } = driver;
  const etcd = await startEtcd();
  const random = seededRandom(3);
  for (let at = 0; at < 60; at += 1)
    await etcd.ctl('put', `/registry/pods/default/pod-${at}`, Buffer.from(random.bytes(600)).toString('hex'));
  for (let at = 0; at < 10; at += 1) await etcd.ctl('put', `/registry/secrets/default/secret-${at}`, `value ${at}`);
  const options = driver.componentOptions.parse({});
  return {
    name: 'etcd',
    backups,
    options,
    what: 'snapshot',
    level: 'P5',
    target: { target: { kind: 'consistent' }, text: 'newest' },
    damages: [
      ...generalDamages
        .filter(({ name }) => name !== 'lose a log segment')
        .map((damage): Damage => (damage.strikes === 'restored' ? { ...damage, spare: spareOf(damage.name) } : damage)),
      call('drop a key', 'deleterange', { key: base64('/registry/pods/default/pod-7') }, '"deleted":"1"'),
      call('change a value', 'put', { key: base64('/registry/pods/default/pod-8'), value: base64('changed') }, 'revision'),
      call(
        'drop a prefix',
        'deleterange',
        { key: base64('/registry/secrets/'), range_end: base64('/registry/secrets0') },
        '"deleted":"10"',
      ),
    ],
    openSource: () =>
      backups.openSource({
        host,
        platform: 'test',
        component,
        region: 'east',
        options,
        site: driver.siteOptions.parse({ endpoints: [etcd.url] }),
        sites: new Map(),
        replication: 'asynchronous',
        hands: undefined,
        probeTimeoutMs: 2_000,
      }),
    stop: () => etcd.stop(),
  };
}
