/**
 * Reads a kubeconfig: the cluster and the user of one context. What would weaken the connection (a certificate that is not checked) or can not be honoured here (a proxy, another server name) is refused by
 * name, never passed over.
 */
import { z } from 'zod';
import { fail } from '../../base/errors.ts';

const text = z.string();
const execConfig = z.looseObject({
  apiVersion: text.optional(),
  command: text,
  args: z.array(text).nullish(),
  env: z.array(z.looseObject({ name: text, value: text })).nullish(),
});
const userConfig = z.looseObject({
  token: text.optional(),
  tokenFile: text.optional(),
  'client-certificate': text.optional(),
  'client-certificate-data': text.optional(),
  'client-key': text.optional(),
  'client-key-data': text.optional(),
  username: text.optional(),
  'auth-provider': z.unknown().optional(),
  exec: execConfig.optional(),
});
const clusterConfig = z.looseObject({
  server: text,
  'certificate-authority': text.optional(),
  'certificate-authority-data': text.optional(),
  'insecure-skip-tls-verify': z.boolean().optional(),
  'proxy-url': text.optional(),
  'tls-server-name': text.optional(),
});
const schema = z.looseObject({
  'current-context': text.optional(),
  clusters: z.array(z.looseObject({ name: text, cluster: clusterConfig })).nullish(),
  users: z.array(z.looseObject({ name: text, user: userConfig.nullish() })).nullish(),
  contexts: z
    .array(z.looseObject({ name: text, context: z.looseObject({ cluster: text, user: text, namespace: text.optional() }) }))
    .nullish(),
});

export interface KubeconfigContext {
  readonly context: string;
  readonly cluster: z.output<typeof clusterConfig>;
  readonly user: z.output<typeof userConfig>;
}

export async function parseKubeconfig(content: string, path: string, wanted: string | undefined): Promise<KubeconfigContext> {
  const { parse } = await import('yaml');
  let document: unknown;
  try {
    document = parse(content);
  } catch (cause) {
    throw unusable(path, 'is not YAML', cause);
  }
  const checked = schema.safeParse(document);
  if (!checked.success) {
    const [issue] = checked.error.issues;
    throw unusable(path, `is no kubeconfig: ${issue?.path.join('.') || 'it'}: ${issue?.message ?? 'does not fit'}`);
  }
  const { contexts, clusters, users, 'current-context': current } = checked.data;
  const name = wanted ?? current;
  if (name === undefined || name === '') throw unusable(path, 'has no current-context');
  const context = contexts?.find((each) => each.name === name)?.context;
  if (context === undefined)
    throw unusable(path, `has no context ${name}, only ${(contexts ?? []).map((each) => each.name).join(', ') || 'none'}`);
  const cluster = clusters?.find((each) => each.name === context.cluster)?.cluster;
  if (cluster === undefined) throw unusable(path, `has no cluster ${context.cluster}, which the context ${name} names`);
  const user = users?.find((each) => each.name === context.user)?.user;
  if (user === undefined || user === null) throw unusable(path, `has no user ${context.user}, whom the context ${name} names`);
  refuseUnusable(path, cluster, user);
  return { context: name, cluster, user };
}

function refuseUnusable(path: string, cluster: KubeconfigContext['cluster'], user: KubeconfigContext['user']): void {
  if (cluster['insecure-skip-tls-verify'] === true)
    throw unusable(path, 'says insecure-skip-tls-verify: the server would not be checked at all');
  for (const key of ['proxy-url', 'tls-server-name'] as const)
    if (cluster[key] !== undefined) throw unusable(path, `has ${key}, which Holdfast does not support`);
  if (user['auth-provider'] !== undefined && user['auth-provider'] !== null)
    throw unusable(path, 'has an auth-provider, which Kubernetes gave up: use exec');
  if (user.username !== undefined) throw unusable(path, 'has a user name with a password, which Kubernetes gave up: use a token');
}

export function unusable(path: string, what: string, cause?: unknown): Error {
  return fail('SYSTEM_REFUSED', {
    message: `the kubeconfig ${path} ${what}`,
    hint: 'kubectl --kubeconfig FILE config view shows what is in it.',
    ...(cause === undefined ? {} : { cause }),
  });
}
