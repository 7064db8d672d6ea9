/** Who asks (bearer token or client certificate) and what they may do (rules as those of a Role): otherwise 401 and 403, in the words of the real one. */
import type { IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';
import { ApiError } from './api-error.ts';
import { equal } from './fields.ts';

export interface Rule {
  readonly verbs: readonly string[];
  readonly groups: readonly string[];
  /** `deployments`, `deployments/scale`, `*`. */
  readonly resources: readonly string[];
  /** In these only; without them everywhere. */
  readonly namespaces?: readonly string[];
}

export interface User {
  readonly name: string;
  readonly token?: string;
  /** As the common name of a client's certificate says it. */
  readonly certificateName?: string;
  readonly rules: readonly Rule[];
}

export const everything: readonly Rule[] = [{ verbs: ['*'], groups: ['*'], resources: ['*'] }];

export interface Attributes {
  readonly verb: string;
  readonly group: string;
  readonly resource: string;
  readonly subresource: string | undefined;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
}

export function authenticate(users: readonly User[], request: IncomingMessage): User {
  const header = request.headers.authorization;
  const token = /^Bearer (.+)$/.exec(header ?? '')?.[1];
  const socket = request.socket as Partial<TLSSocket>;
  const certificate = socket.authorized === true ? socket.getPeerCertificate?.() : undefined;
  const user = users.find((each) =>
    token !== undefined
      ? each.token === token
      : each.certificateName !== undefined &&
        certificate?.subject !== undefined &&
        equal(String(certificate.subject.CN), each.certificateName),
  );
  if (user === undefined) throw new ApiError(401, 'Unauthorized', 'Unauthorized');
  return user;
}

export function mayDo(user: User, { verb, group, resource, subresource, namespace }: Attributes): boolean {
  const asked = subresource === undefined ? resource : `${resource}/${subresource}`;
  const has = (list: readonly string[], value: string): boolean => list.includes('*') || list.includes(value);
  return user.rules.some(
    (rule) =>
      has(rule.verbs, verb) &&
      has(rule.groups, group) &&
      has(rule.resources, asked) &&
      (rule.namespaces === undefined || (namespace !== undefined && rule.namespaces.includes(namespace))),
  );
}

export function authorize(user: User, attributes: Attributes): void {
  if (mayDo(user, attributes)) return;
  const { verb, group, resource, subresource, namespace, name } = attributes;
  const asked = subresource === undefined ? resource : `${resource}/${subresource}`;
  const where = namespace === undefined ? 'at the cluster scope' : `in the namespace "${namespace}"`;
  throw new ApiError(
    403,
    'Forbidden',
    `${resource}${group === '' ? '' : `.${group}`}${name === undefined ? '' : ` "${name}"`} is forbidden: User "${user.name}" cannot ${verb} resource "${asked}" in API group "${group}" ${where}`,
    { ...(name === undefined ? {} : { name }), group, kind: resource },
  );
}
