/** Every driver and every kind of repository there is, by name. Written by "npm run generate" from the folders of src/drivers and src/repositories; changes made here are lost. */
import type { AnyDriver, DriverCatalog } from './contracts/driver.ts';
import type { AnyRepositoryBackendFactory, RepositoryCatalog } from './contracts/repository-backend.ts';
import { driver as argocdDriver } from './drivers/argocd/driver.ts';
import { driver as clickhouseDriver } from './drivers/clickhouse/driver.ts';
import { driver as dnsRfc2136Driver } from './drivers/dns-rfc2136/driver.ts';
import { driver as etcdDriver } from './drivers/etcd/driver.ts';
import { driver as filesDriver } from './drivers/files/driver.ts';
import { driver as foundationdbDriver } from './drivers/foundationdb/driver.ts';
import { driver as grpcHealthDriver } from './drivers/grpc-health/driver.ts';
import { driver as haproxyDriver } from './drivers/haproxy/driver.ts';
import { driver as httpServiceDriver } from './drivers/http-service/driver.ts';
import { driver as kubernetesConfigDriver } from './drivers/kubernetes-config/driver.ts';
import { driver as kubernetesDeploymentDriver } from './drivers/kubernetes-deployment/driver.ts';
import { driver as kubernetesNodesDriver } from './drivers/kubernetes-nodes/driver.ts';
import { driver as kubernetesStatefulsetDriver } from './drivers/kubernetes-statefulset/driver.ts';
import { driver as ledgerDriver } from './drivers/ledger/driver.ts';
import { driver as opensearchDriver } from './drivers/opensearch/driver.ts';
import { driver as postgresqlDriver } from './drivers/postgresql/driver.ts';
import { driver as processDriver } from './drivers/process/driver.ts';
import { driver as prometheusDriver } from './drivers/prometheus/driver.ts';
import { driver as redisDriver } from './drivers/redis/driver.ts';
import { driver as route53Driver } from './drivers/route53/driver.ts';
import { driver as s3BucketDriver } from './drivers/s3-bucket/driver.ts';
import { driver as shellDriver } from './drivers/shell/driver.ts';
import { driver as tailscaleDriver } from './drivers/tailscale/driver.ts';
import { driver as terraformDriver } from './drivers/terraform/driver.ts';
import { driver as vaultDriver } from './drivers/vault/driver.ts';
import { driver as veleroDriver } from './drivers/velero/driver.ts';
import { backend as filesystemRepository } from './repositories/filesystem/backend.ts';
import { backend as s3Repository } from './repositories/s3/backend.ts';

const drivers: readonly AnyDriver[] = [
  argocdDriver,
  clickhouseDriver,
  dnsRfc2136Driver,
  etcdDriver,
  filesDriver,
  foundationdbDriver,
  grpcHealthDriver,
  haproxyDriver,
  httpServiceDriver,
  kubernetesConfigDriver,
  kubernetesDeploymentDriver,
  kubernetesNodesDriver,
  kubernetesStatefulsetDriver,
  ledgerDriver,
  opensearchDriver,
  postgresqlDriver,
  processDriver,
  prometheusDriver,
  redisDriver,
  route53Driver,
  s3BucketDriver,
  shellDriver,
  tailscaleDriver,
  terraformDriver,
  vaultDriver,
  veleroDriver,
];

const repositories: readonly AnyRepositoryBackendFactory[] = [
  filesystemRepository,
  s3Repository,
];

export const driverCatalog: DriverCatalog = new Map(drivers.map((driver) => [driver.name, driver]));

export const repositoryCatalog: RepositoryCatalog = new Map(repositories.map((repository) => [repository.name, repository]));
