/**
 * Which systems this machine can start. Kept apart from the test runner, for benchmarks and the demo ask too.
 */
import {
  findChdb,
  findFaissPython,
  findFaketime,
  findMoto,
  findOpensearch,
  findPostgresqlPrograms,
  findProgram,
  findVersitygw,
} from './programs.ts';

const checks = {
  postgresql: () => findPostgresqlPrograms() !== undefined,
  'postgresql-15': () => findPostgresqlPrograms(15) !== undefined,
  'postgresql-17': () => findPostgresqlPrograms(17) !== undefined,
  'postgresql-18': () => findPostgresqlPrograms(18) !== undefined,
  redis: () => havePrograms('redis-server', 'redis-cli'),
  etcd: () => havePrograms('etcd', 'etcdctl'),
  /** A Python with faiss is a package for the system's own Python. */
  faiss: () => findFaissPython() !== undefined,
  bind: () => havePrograms('named', 'dig', 'nsupdate'),
  haproxy: () => havePrograms('haproxy'),
  /** Judges the alert rules; no server is started. */
  promtool: () => havePrograms('promtool'),
  prometheus: () => havePrograms('prometheus', 'promtool'),
  /** A client of Kubernetes, to see that the stand-in for its API is one to real clients too. */
  kubectl: () => havePrograms('kubectl'),
  /** Comes from its maker, not from Debian. */
  terraform: () => havePrograms('terraform'),
  sshd: () => havePrograms('sshd', 'ssh', 'ssh-keygen'),
  /** The engine of ClickHouse as a library. */
  clickhouse: () => findChdb() !== undefined,
  versitygw: () => findVersitygw() !== undefined,
  moto: () => findMoto() !== undefined,
  /** Cutting links takes root besides the program. */
  nftables: () => process.getuid?.() === 0 && havePrograms('nft'),
  /** Nodes in a Java process, without plugins. */
  opensearch: () => findOpensearch() !== undefined,
  /** Moves the wall clock that a single program sees. */
  faketime: () => findFaketime() !== undefined,
  /** Regions as network namespaces. */
  namespaces: () => process.getuid?.() === 0 && havePrograms('nft', 'ip', 'nsenter', 'setpriv'),
};

export type SystemName = keyof typeof checks;

export const systemNames = Object.keys(checks) as SystemName[];

export function systemAvailable(name: SystemName): boolean {
  return checks[name]();
}

/** Whether the bootstrap can get it; else a person has to. */
export const canBeHad = (name: SystemName): boolean => name !== 'terraform';

/** The command that gets a missing system. */
export function howToInstall(name: SystemName): string {
  if (name === 'terraform') return 'get it from https://developer.hashicorp.com/terraform/install and put it on the PATH';
  return `sh tools/bootstrap/bootstrap.sh --${flagOf(name)}`;
}

function flagOf(name: SystemName): string {
  if (name === 'opensearch') return name;
  if (name === 'postgresql-17' || name === 'postgresql-18') return name;
  if (name === 'clickhouse') return name;
  return name === 'versitygw' || name === 'moto' ? 'object-stores' : 'systems';
}

function havePrograms(...names: string[]): boolean {
  return names.every((name) => findProgram(name) !== undefined);
}
