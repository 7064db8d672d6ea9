/**
 * The messages of etcd's gRPC interface that are used here, and no others. https://etcd.io/docs/v3.4/dev-guide/api_reference_v3/
 *
 * A field that is not described is skipped when it comes and absent when it is sent, so that members of other versions understand each other. 64-bit numbers come as text: ids of leases
 * and clusters use all of them. Pure: nothing is lost when the process dies.
 */

type FieldKind = 'bytes' | 'string' | 'bool' | 'int64' | 'uint64' | 'int32' | (string & {});
/** `name: [number, kind]`, or with a third member that says it repeats. */
type Fields = Readonly<Record<string, readonly [id: number, kind: FieldKind, rule?: 'repeated']>>;

const messages: Readonly<Record<string, Fields>> = {
  ResponseHeader: { cluster_id: [1, 'uint64'], member_id: [2, 'uint64'], revision: [3, 'int64'], raft_term: [4, 'uint64'] },
  KeyValue: {
    key: [1, 'bytes'],
    create_revision: [2, 'int64'],
    mod_revision: [3, 'int64'],
    version: [4, 'int64'],
    value: [5, 'bytes'],
    lease: [6, 'int64'],
  },
  Event: { type: [1, 'int32'], kv: [2, 'KeyValue'] },
  RangeRequest: {
    key: [1, 'bytes'],
    range_end: [2, 'bytes'],
    limit: [3, 'int64'],
    revision: [4, 'int64'],
    sort_order: [5, 'int32'],
    sort_target: [6, 'int32'],
    serializable: [7, 'bool'],
    keys_only: [8, 'bool'],
    count_only: [9, 'bool'],
  },
  RangeResponse: { header: [1, 'ResponseHeader'], kvs: [2, 'KeyValue', 'repeated'], more: [3, 'bool'], count: [4, 'int64'] },
  PutRequest: { key: [1, 'bytes'], value: [2, 'bytes'], lease: [3, 'int64'] },
  PutResponse: { header: [1, 'ResponseHeader'] },
  DeleteRangeRequest: { key: [1, 'bytes'], range_end: [2, 'bytes'] },
  DeleteRangeResponse: { header: [1, 'ResponseHeader'], deleted: [2, 'int64'] },
  RequestOp: {
    request_range: [1, 'RangeRequest'],
    request_put: [2, 'PutRequest'],
    request_delete_range: [3, 'DeleteRangeRequest'],
    request_txn: [4, 'TxnRequest'],
  },
  ResponseOp: {
    response_range: [1, 'RangeResponse'],
    response_put: [2, 'PutResponse'],
    response_delete_range: [3, 'DeleteRangeResponse'],
    response_txn: [4, 'TxnResponse'],
  },
  Compare: {
    result: [1, 'int32'],
    target: [2, 'int32'],
    key: [3, 'bytes'],
    version: [4, 'int64'],
    create_revision: [5, 'int64'],
    mod_revision: [6, 'int64'],
    value: [7, 'bytes'],
    range_end: [64, 'bytes'],
  },
  TxnRequest: { compare: [1, 'Compare', 'repeated'], success: [2, 'RequestOp', 'repeated'], failure: [3, 'RequestOp', 'repeated'] },
  TxnResponse: { header: [1, 'ResponseHeader'], succeeded: [2, 'bool'], responses: [3, 'ResponseOp', 'repeated'] },
  CompactionRequest: { revision: [1, 'int64'], physical: [2, 'bool'] },
  CompactionResponse: { header: [1, 'ResponseHeader'] },
  WatchRequest: {
    create_request: [1, 'WatchCreateRequest'],
    cancel_request: [2, 'WatchCancelRequest'],
    progress_request: [3, 'WatchProgressRequest'],
  },
  WatchCreateRequest: { key: [1, 'bytes'], range_end: [2, 'bytes'], start_revision: [3, 'int64'], progress_notify: [4, 'bool'] },
  WatchCancelRequest: { watch_id: [1, 'int64'] },
  WatchProgressRequest: {},
  WatchResponse: {
    header: [1, 'ResponseHeader'],
    watch_id: [2, 'int64'],
    created: [3, 'bool'],
    canceled: [4, 'bool'],
    compact_revision: [5, 'int64'],
    cancel_reason: [6, 'string'],
    events: [11, 'Event', 'repeated'],
  },
  LeaseGrantRequest: { TTL: [1, 'int64'], ID: [2, 'int64'] },
  LeaseGrantResponse: { header: [1, 'ResponseHeader'], ID: [2, 'int64'], TTL: [3, 'int64'], error: [4, 'string'] },
  LeaseRevokeRequest: { ID: [1, 'int64'] },
  LeaseRevokeResponse: { header: [1, 'ResponseHeader'] },
  LeaseKeepAliveRequest: { ID: [1, 'int64'] },
  LeaseKeepAliveResponse: { header: [1, 'ResponseHeader'], ID: [2, 'int64'], TTL: [3, 'int64'] },
  LeaseTimeToLiveRequest: { ID: [1, 'int64'], keys: [2, 'bool'] },
  LeaseTimeToLiveResponse: { header: [1, 'ResponseHeader'], ID: [2, 'int64'], TTL: [3, 'int64'], grantedTTL: [4, 'int64'] },
  StatusRequest: {},
  StatusResponse: {
    header: [1, 'ResponseHeader'],
    version: [2, 'string'],
    dbSize: [3, 'int64'],
    leader: [4, 'uint64'],
    errors: [8, 'string', 'repeated'],
    dbSizeInUse: [9, 'int64'],
    isLearner: [10, 'bool'],
    dbSizeQuota: [12, 'int64'],
  },
  AlarmRequest: { action: [1, 'int32'], memberID: [2, 'uint64'], alarm: [3, 'int32'] },
  AlarmMember: { memberID: [1, 'uint64'], alarm: [2, 'int32'] },
  AlarmResponse: { header: [1, 'ResponseHeader'], alarms: [2, 'AlarmMember', 'repeated'] },
  AuthenticateRequest: { name: [1, 'string'], password: [2, 'string'] },
  AuthenticateResponse: { header: [1, 'ResponseHeader'], token: [2, 'string'] },
  MemberListRequest: { linearizable: [1, 'bool'] },
  Member: { ID: [1, 'uint64'], name: [2, 'string'], clientURLs: [4, 'string', 'repeated'], isLearner: [5, 'bool'] },
  MemberListResponse: { header: [1, 'ResponseHeader'], members: [2, 'Member', 'repeated'] },
};

/** Exactly one of the fields is set. */
const choices: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  RequestOp: { request: ['request_range', 'request_put', 'request_delete_range', 'request_txn'] },
  ResponseOp: { response: ['response_range', 'response_put', 'response_delete_range', 'response_txn'] },
  Compare: { target_union: ['version', 'create_revision', 'mod_revision', 'value'] },
  WatchRequest: { request_union: ['create_request', 'cancel_request', 'progress_request'] },
};

/** Each with the stem of its messages' names, and whether both sides send streams. */
const calls = {
  KV: { Range: 'Range', Txn: 'Txn', Compact: 'Compaction' },
  Watch: { Watch: 'Watch' },
  Lease: { LeaseGrant: 'LeaseGrant', LeaseRevoke: 'LeaseRevoke', LeaseKeepAlive: 'LeaseKeepAlive', LeaseTimeToLive: 'LeaseTimeToLive' },
  Cluster: { MemberList: 'MemberList' },
  Maintenance: { Status: 'Status', Alarm: 'Alarm' },
  Auth: { Authenticate: 'Authenticate' },
} as const;
const streaming: readonly string[] = ['Watch', 'LeaseKeepAlive'];

/** The description in the form that protobuf.js reads. */
export function messageDescription() {
  const types = Object.entries(messages).map(([name, fields]) => {
    const described = Object.entries(fields).map(([field, [id, type, rule]]) => [field, { id, type, ...(rule ? { rule } : {}) }]);
    const oneofs = Object.entries(choices[name] ?? {}).map(([choice, members]) => [choice, { oneof: [...members] }]);
    return [name, { fields: Object.fromEntries(described), ...(oneofs.length > 0 ? { oneofs: Object.fromEntries(oneofs) } : {}) }];
  });
  const services = Object.entries(calls).map(([service, methods]) => [
    service,
    {
      methods: Object.fromEntries(
        Object.entries(methods).map(([method, stem]) => {
          const isStream = streaming.includes(method);
          return [
            method,
            { requestType: `${stem}Request`, responseType: `${stem}Response`, requestStream: isStream, responseStream: isStream },
          ];
        }),
      ),
    },
  ]);
  return { nested: { etcdserverpb: { nested: { ...Object.fromEntries(types), ...Object.fromEntries(services) } } } };
}

export interface Header {
  readonly cluster_id: string;
  readonly member_id: string;
  readonly revision: string;
  readonly raft_term: string;
}
export interface Answer {
  readonly header: Header;
}
export interface KeyValue {
  readonly key: Buffer;
  readonly create_revision: string;
  readonly mod_revision: string;
  readonly value: Buffer;
  readonly lease: string;
}
export interface RangeRequest {
  readonly key: Buffer;
  readonly range_end?: Buffer;
  readonly limit?: number;
  readonly revision?: number;
  /** 1 ascending, 2 descending. */
  readonly sort_order?: number;
  readonly keys_only?: boolean;
  readonly count_only?: boolean;
}
export interface RangeAnswer extends Answer {
  readonly kvs: readonly KeyValue[];
  readonly more: boolean;
  readonly count: string;
}
export type Operation =
  | { readonly request_range: RangeRequest }
  | { readonly request_put: { readonly key: Buffer; readonly value: Buffer; readonly lease?: string } }
  | { readonly request_delete_range: { readonly key: Buffer; readonly range_end?: Buffer } }
  | { readonly request_txn: TxnRequest };
/** `result` 0: equal, 1: greater. `target` 1: creation, 2: last change, 3: value. */
export type Compare =
  | { readonly result: 0 | 1; readonly target: 1; readonly key: Buffer; readonly range_end?: Buffer; readonly create_revision: number }
  | { readonly result: 0 | 1; readonly target: 2; readonly key: Buffer; readonly mod_revision: number }
  | { readonly result: 0 | 1; readonly target: 3; readonly key: Buffer; readonly value: Buffer };
export interface TxnRequest {
  readonly compare: readonly Compare[];
  readonly success: readonly Operation[];
  readonly failure: readonly Operation[];
}
export interface TxnAnswer extends Answer {
  readonly succeeded: boolean;
  readonly responses: readonly { readonly response_range?: RangeAnswer; readonly response_txn?: TxnAnswer }[];
}
export interface WatchAnswer extends Answer {
  readonly created: boolean;
  readonly canceled: boolean;
  readonly compact_revision: string;
  readonly cancel_reason: string;
  /** `type` 1: deleted. */
  readonly events: readonly { readonly type: number; readonly kv: KeyValue }[];
}
export interface LeaseAnswer extends Answer {
  readonly ID: string;
  readonly TTL: string;
}
export interface StatusAnswer extends Answer {
  readonly version: string;
  readonly dbSize: string;
  readonly dbSizeInUse: string;
  readonly dbSizeQuota: string;
  readonly leader: string;
  readonly errors: readonly string[];
}
export interface MembersAnswer extends Answer {
  readonly members: readonly { readonly ID: string; readonly name: string; readonly clientURLs: readonly string[] }[];
}
/** `alarm` 1: no space, 2: corrupt. */
export interface AlarmAnswer extends Answer {
  readonly alarms: readonly { readonly memberID: string; readonly alarm: number }[];
}

/** What each call takes and gives. */
export interface Calls {
  'KV/Range': [RangeRequest, RangeAnswer];
  'KV/Txn': [TxnRequest, TxnAnswer];
  'KV/Compact': [{ readonly revision: number }, Answer];
  'Lease/LeaseGrant': [{ readonly TTL: number; readonly ID?: string }, LeaseAnswer];
  'Lease/LeaseRevoke': [{ readonly ID: string }, Answer];
  'Lease/LeaseKeepAlive': [{ readonly ID: string }, LeaseAnswer];
  'Lease/LeaseTimeToLive': [{ readonly ID: string }, LeaseAnswer];
  'Cluster/MemberList': [Record<string, never>, MembersAnswer];
  'Maintenance/Status': [Record<string, never>, StatusAnswer];
  'Maintenance/Alarm': [{ readonly action: 0 }, AlarmAnswer];
  'Auth/Authenticate': [{ readonly name: string; readonly password: string }, Answer & { readonly token: string }];
}
