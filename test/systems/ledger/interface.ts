/** The interface of the ledger as the stand-in serves it, written anew from the published field numbers, so that a mistake in the driver's own description shows. */

const types = `
message Empty {}
message OrganizationSlug { uint64 slug = 1; }
message VaultSlug { uint64 slug = 1; }
message NodeId { string id = 1; }
message Hash { bytes value = 1; }
enum MemberRole { MEMBER_ROLE_UNSPECIFIED = 0; MEMBER_ROLE_VOTER = 1; MEMBER_ROLE_LEARNER = 2; }
enum VaultStatus { VAULT_STATUS_UNSPECIFIED = 0; VAULT_STATUS_ACTIVE = 1; VAULT_STATUS_READ_ONLY = 2; VAULT_STATUS_DELETED = 3; }
enum VaultHealth { VAULT_HEALTH_UNSPECIFIED = 0; VAULT_HEALTH_HEALTHY = 1; VAULT_HEALTH_DIVERGED = 2; VAULT_HEALTH_RECOVERING = 3; }
enum HealthStatus { HEALTH_STATUS_UNSPECIFIED = 0; HEALTH_STATUS_HEALTHY = 1; HEALTH_STATUS_DEGRADED = 2; HEALTH_STATUS_UNAVAILABLE = 3; }
message JoinClusterRequest { uint64 node_id = 1; string address = 2; }
message JoinClusterResponse { bool success = 1; string message = 2; }
message LeaveClusterRequest { uint64 node_id = 1; }
message LeaveClusterResponse { bool success = 1; string message = 2; }
message ClusterMember { uint64 node_id = 1; string address = 2; MemberRole role = 3; bool is_leader = 4; }
message GetClusterInfoRequest {}
message GetClusterInfoResponse { repeated ClusterMember members = 1; uint64 leader_id = 2; uint64 term = 3; }
message GetNodeInfoRequest {}
message GetVaultResponse {
  OrganizationSlug organization = 1; VaultSlug vault = 2; uint64 height = 3; Hash state_root = 4;
  repeated NodeId nodes = 5; NodeId leader = 6; VaultStatus status = 7;
}
message ListVaultsResponse { repeated GetVaultResponse vaults = 1; bytes next_page_token = 2; }
message CheckIntegrityRequest { OrganizationSlug organization = 1; VaultSlug vault = 2; bool full_check = 3; }
message IntegrityIssue { uint64 block_height = 1; string issue_type = 2; string description = 3; }
message CheckIntegrityResponse { bool healthy = 1; repeated IntegrityIssue issues = 2; }
message RecoverVaultRequest { OrganizationSlug organization = 1; VaultSlug vault = 2; bool force = 3; }
message RecoverVaultResponse { bool success = 1; string message = 2; VaultHealth health_status = 3; uint64 final_height = 4; Hash final_state_root = 5; }
message CreateSnapshotRequest { OrganizationSlug organization = 1; VaultSlug vault = 2; }
message CreateSnapshotResponse { uint64 block_height = 1; Hash state_root = 2; string snapshot_path = 3; }
message SimulateDivergenceRequest { OrganizationSlug organization = 1; VaultSlug vault = 2; Hash expected_state_root = 3; Hash computed_state_root = 4; uint64 at_height = 5; }
message SimulateDivergenceResponse { bool success = 1; string message = 2; }
message GetTipRequest { OrganizationSlug organization = 1; VaultSlug vault = 2; }
message GetTipResponse { uint64 height = 1; Hash block_hash = 2; Hash state_root = 3; }
message HealthCheckRequest { OrganizationSlug organization = 1; VaultSlug vault = 2; }
message DetailsEntry { string key = 1; string value = 2; }
message HealthCheckResponse { HealthStatus status = 1; string message = 2; repeated DetailsEntry details = 3; }
message ListBackupsRequest { uint32 limit = 1; }
message BackupInfo { string backup_id = 1; }
message ListBackupsResponse { repeated BackupInfo backups = 1; }
service ReadService { rpc GetTip(GetTipRequest) returns (GetTipResponse); }
service HealthService { rpc Check(HealthCheckRequest) returns (HealthCheckResponse); }
`;

const adminCalls = `
  rpc GetNodeInfo(GetNodeInfoRequest) returns (GetNodeInfoResponse);
  rpc GetClusterInfo(GetClusterInfoRequest) returns (GetClusterInfoResponse);
  rpc JoinCluster(JoinClusterRequest) returns (JoinClusterResponse);
  rpc LeaveCluster(LeaveClusterRequest) returns (LeaveClusterResponse);
  rpc CheckIntegrity(CheckIntegrityRequest) returns (CheckIntegrityResponse);
  rpc RecoverVault(RecoverVaultRequest) returns (RecoverVaultResponse);
  rpc CreateSnapshot(CreateSnapshotRequest) returns (CreateSnapshotResponse);
  rpc SimulateDivergence(SimulateDivergenceRequest) returns (SimulateDivergenceResponse);
  rpc CreateBackup(CreateBackupRequest) returns (CreateBackupResponse);
  rpc ListBackups(ListBackupsRequest) returns (ListBackupsResponse);
  rpc RestoreBackup(RestoreBackupRequest) returns (RestoreBackupResponse);
`;

const head = 'syntax = "proto3";\npackage ledger.v1;\n';

export const protoOf = {
  A: `${head}${types}
message GetNodeInfoResponse { uint64 node_id = 1; string address = 2; bool is_cluster_member = 3; uint64 term = 4; }
message GetVaultRequest { OrganizationSlug organization = 1; VaultSlug vault = 2; }
message ListVaultsRequest {}
message Organization { OrganizationSlug slug = 1; }
message ListOrganizationsRequest { bytes page_token = 1; uint32 page_size = 2; }
message ListOrganizationsResponse { repeated Organization organizations = 1; bytes next_page_token = 2; }
message CreateBackupRequest { string tag = 1; string base_backup_id = 2; }
message CreateBackupResponse { string backup_id = 1; string backup_path = 2; uint64 size_bytes = 3; }
message RestoreBackupRequest { string backup_id = 1; bool confirm = 2; }
message RestoreBackupResponse { bool success = 1; string message = 2; }
service AdminService {${adminCalls}
  rpc ListVaults(ListVaultsRequest) returns (ListVaultsResponse);
  rpc GetVault(GetVaultRequest) returns (GetVaultResponse);
  rpc ListOrganizations(ListOrganizationsRequest) returns (ListOrganizationsResponse);
}
`,
  B: `${head}${types}
message UserSlug { uint64 slug = 1; }
message GetNodeInfoResponse { uint64 node_id = 1; string address = 2; bool is_cluster_member = 3; uint64 term = 4; uint64 cluster_id = 5; string state = 6; }
message GetVaultRequest { OrganizationSlug organization = 1; VaultSlug vault = 2; UserSlug caller = 3; }
message ListVaultsRequest { bytes page_token = 1; uint32 page_size = 2; OrganizationSlug organization = 3; UserSlug caller = 4; }
message Organization { OrganizationSlug slug = 1; }
message ListOrganizationsRequest { bytes page_token = 1; uint32 page_size = 2; UserSlug caller = 3; }
message ListOrganizationsResponse { repeated Organization organizations = 1; bytes next_page_token = 2; }
message NodeEntry { uint64 node_id = 1; }
message GetSystemStateRequest {}
message GetSystemStateResponse { uint64 version = 1; repeated NodeEntry nodes = 2; repeated Organization organizations = 3; }
message DatabaseFile { string path = 1; uint64 size = 2; bytes blake3 = 3; }
message BackupManifest { string region = 1; OrganizationSlug organization = 2; string rmk_fingerprint = 3; repeated DatabaseFile dbs = 4; }
message CreateBackupRequest { string tag = 1; OrganizationSlug organization = 2; }
message CreateBackupResponse { string backup_id = 1; string backup_path = 2; uint64 size_bytes = 3; BackupManifest manifest = 4; }
message RestoreBackupRequest { string backup_id = 1; }
message RestoreBackupResponse { string staging_dir = 1; BackupManifest manifest = 2; }
message InitClusterRequest {}
message InitClusterResponse { bool already_initialized = 1; uint64 cluster_id = 2; }
service AdminService {${adminCalls}
  rpc InitCluster(InitClusterRequest) returns (InitClusterResponse);
}
service VaultService {
  rpc ListVaults(ListVaultsRequest) returns (ListVaultsResponse);
  rpc GetVault(GetVaultRequest) returns (GetVaultResponse);
}
service OrganizationService { rpc ListOrganizations(ListOrganizationsRequest) returns (ListOrganizationsResponse); }
service SystemDiscoveryService { rpc GetSystemState(GetSystemStateRequest) returns (GetSystemStateResponse); }
`,
} as const;
