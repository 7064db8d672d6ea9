/**
 * The messages of `ledger.v1` that are used here, and no others, for each of the two interfaces that ledgers have had. Pure.
 *
 * The package is below 1.0, and the two differ in where calls live and in what a field number means; nothing in an answer tells a version. Which one a node speaks is found out by
 * `profile.ts`. 64-bit numbers come and go as text: slugs and node ids use all of them. A field that is not described is never sent: `faultOfRequest` refuses it, where the encoder would
 * leave it out and the ledger would do something else than was asked.
 */
export type Profile = 'A' | 'B';

type Field = readonly [id: number, kind: string, rule?: 'repeated' | 'map'];
type Fields = Readonly<Record<string, Field>>;

const vaultName: Fields = { organization: [1, 'OrganizationSlug'], vault: [2, 'VaultSlug'] };

const shared: Readonly<Record<string, Fields>> = {
  Empty: {},
  OrganizationSlug: { slug: [1, 'uint64'] },
  VaultSlug: { slug: [1, 'uint64'] },
  Hash: { value: [1, 'bytes'] },
  JoinClusterRequest: { node_id: [1, 'uint64'], address: [2, 'string'] },
  JoinClusterResponse: { success: [1, 'bool'], message: [2, 'string'] },
  LeaveClusterRequest: { node_id: [1, 'uint64'] },
  LeaveClusterResponse: { success: [1, 'bool'], message: [2, 'string'] },
  ClusterMember: { node_id: [1, 'uint64'], address: [2, 'string'], role: [3, 'int32'], is_leader: [4, 'bool'] },
  GetClusterInfoResponse: { members: [1, 'ClusterMember', 'repeated'], leader_id: [2, 'uint64'], term: [3, 'uint64'] },
  GetVaultResponse: { organization: [1, 'OrganizationSlug'], vault: [2, 'VaultSlug'], height: [3, 'uint64'] },
  ListVaultsResponse: { vaults: [1, 'GetVaultResponse', 'repeated'], next_page_token: [2, 'bytes'] },
  CheckIntegrityRequest: { ...vaultName, full_check: [3, 'bool'] },
  IntegrityIssue: { block_height: [1, 'uint64'], issue_type: [2, 'string'], description: [3, 'string'] },
  CheckIntegrityResponse: { healthy: [1, 'bool'], issues: [2, 'IntegrityIssue', 'repeated'] },
  RecoverVaultRequest: { ...vaultName, force: [3, 'bool'] },
  RecoverVaultResponse: { success: [1, 'bool'], message: [2, 'string'], health_status: [3, 'int32'], final_height: [4, 'uint64'] },
  CreateSnapshotRequest: vaultName,
  CreateSnapshotResponse: { block_height: [1, 'uint64'], state_root: [2, 'Hash'], snapshot_path: [3, 'string'] },
  GetTipRequest: vaultName,
  GetTipResponse: { height: [1, 'uint64'], block_hash: [2, 'Hash'], state_root: [3, 'Hash'] },
  HealthCheckRequest: vaultName,
  HealthCheckResponse: { status: [1, 'int32'], message: [2, 'string'], details: [3, 'string', 'map'] },
  CreateBackupResponse: { backup_id: [1, 'string'], backup_path: [2, 'string'], size_bytes: [3, 'uint64'] },
  ListBackupsRequest: { limit: [1, 'uint32'] },
};

const ofProfile: Readonly<Record<Profile, Readonly<Record<string, Fields>>>> = {
  A: {
    GetNodeInfoResponse: { node_id: [1, 'uint64'], address: [2, 'string'], is_cluster_member: [3, 'bool'], term: [4, 'uint64'] },
    ListVaultsRequest: {},
    CreateBackupRequest: { tag: [1, 'string'], base_backup_id: [2, 'string'] },
    RestoreBackupRequest: { backup_id: [1, 'string'], confirm: [2, 'bool'] },
    RestoreBackupResponse: {},
  },
  B: {
    GetNodeInfoResponse: {
      node_id: [1, 'uint64'],
      address: [2, 'string'],
      is_cluster_member: [3, 'bool'],
      term: [4, 'uint64'],
      cluster_id: [5, 'uint64'],
      state: [6, 'string'],
    },
    ListVaultsRequest: { page_token: [1, 'bytes'], page_size: [2, 'uint32'], organization: [3, 'OrganizationSlug'] },
    OrganizationEntry: { slug: [1, 'OrganizationSlug'] },
    GetSystemStateResponse: { version: [1, 'uint64'], organizations: [3, 'OrganizationEntry', 'repeated'] },
    CreateBackupRequest: { tag: [1, 'string'], organization: [2, 'OrganizationSlug'] },
    DatabaseFile: { path: [1, 'string'], size: [2, 'uint64'], blake3: [3, 'bytes'] },
    BackupManifest: {
      region: [1, 'string'],
      organization: [2, 'OrganizationSlug'],
      rmk_fingerprint: [3, 'string'],
      dbs: [4, 'DatabaseFile', 'repeated'],
    },
    CreateBackupResponse: {
      ...shared.CreateBackupResponse,
      manifest: [4, 'BackupManifest'],
    },
    RestoreBackupRequest: { backup_id: [1, 'string'] },
    RestoreBackupResponse: { staging_dir: [1, 'string'], manifest: [2, 'BackupManifest'] },
  },
};

const admin: Readonly<Record<string, readonly [string, string]>> = {
  GetNodeInfo: ['Empty', 'GetNodeInfoResponse'],
  GetClusterInfo: ['Empty', 'GetClusterInfoResponse'],
  JoinCluster: ['JoinClusterRequest', 'JoinClusterResponse'],
  LeaveCluster: ['LeaveClusterRequest', 'LeaveClusterResponse'],
  CheckIntegrity: ['CheckIntegrityRequest', 'CheckIntegrityResponse'],
  RecoverVault: ['RecoverVaultRequest', 'RecoverVaultResponse'],
  CreateSnapshot: ['CreateSnapshotRequest', 'CreateSnapshotResponse'],
  CreateBackup: ['CreateBackupRequest', 'CreateBackupResponse'],
  ListBackups: ['ListBackupsRequest', 'Empty'],
  RestoreBackup: ['RestoreBackupRequest', 'RestoreBackupResponse'],
};
const listVaults = { ListVaults: ['ListVaultsRequest', 'ListVaultsResponse'] } as const;
const everywhere = {
  ReadService: { GetTip: ['GetTipRequest', 'GetTipResponse'] },
  HealthService: { Check: ['HealthCheckRequest', 'HealthCheckResponse'] },
} as const;

const services: Readonly<Record<Profile, Readonly<Record<string, Readonly<Record<string, readonly [string, string]>>>>>> = {
  A: { AdminService: { ...admin, ...listVaults }, ...everywhere },
  B: {
    AdminService: { ...admin, InitCluster: ['Empty', 'Empty'] },
    VaultService: listVaults,
    SystemDiscoveryService: { GetSystemState: ['Empty', 'GetSystemStateResponse'] },
    ...everywhere,
  },
};

const messagesOf = (profile: Profile): Readonly<Record<string, Fields>> => ({ ...shared, ...ofProfile[profile] });

/** As protobufjs reads a description from JSON. */
export function descriptionOf(profile: Profile): object {
  const types = Object.entries(messagesOf(profile)).map(([name, fields]) => [
    name,
    {
      fields: Object.fromEntries(
        Object.entries(fields).map(([field, [id, type, rule]]) => [
          field,
          rule === 'map' ? { id, type, keyType: 'string' } : { id, type, ...(rule === undefined ? {} : { rule }) },
        ]),
      ),
    },
  ]);
  const described = Object.entries(services[profile]).map(([name, methods]) => [
    name,
    {
      methods: Object.fromEntries(
        Object.entries(methods).map(([method, [requestType, responseType]]) => [method, { requestType, responseType }]),
      ),
    },
  ]);
  return { nested: { ledger: { nested: { v1: { nested: Object.fromEntries([...types, ...described]) } } } } };
}

/** What is wrong with a request before it is sent: a field that the message lacks, or a value of another kind. */
export function faultOfRequest(profile: Profile, call: string, request: object): string | undefined {
  const [service = '', method = ''] = call.split('/');
  const type = services[profile][service]?.[method]?.[0];
  return type === undefined ? `${call} is not a call of interface ${profile}` : faultOf(messagesOf(profile), type, request);
}

function faultOf(messages: Readonly<Record<string, Fields>>, type: string, value: object): string | undefined {
  const fields = messages[type] as Fields;
  for (const [name, part] of Object.entries(value)) {
    const kind = fields[name]?.[1];
    if (kind === undefined) return `${type} has no field ${name}`;
    const fault = faultOfValue(messages, kind, part);
    if (fault !== undefined) return `${type}.${name}: ${fault}`;
  }
  return undefined;
}

function faultOfValue(messages: Readonly<Record<string, Fields>>, kind: string, value: unknown): string | undefined {
  if (kind in messages) return typeof value === 'object' && value !== null ? faultOf(messages, kind, value) : `is not a ${kind}`;
  const fits =
    kind === 'uint64'
      ? typeof value === 'string' && /^\d{1,20}$/.test(value)
      : kind === 'uint32'
        ? Number.isInteger(value)
        : kind === 'bytes'
          ? value instanceof Uint8Array
          : kind === (typeof value === 'boolean' ? 'bool' : typeof value);
  return fits ? undefined : `is not a ${kind}`;
}
