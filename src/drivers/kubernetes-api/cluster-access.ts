/**
 * From a site's options to a server, the trust in it and the credentials for it. Tokens are read anew when they may have changed: those of a pod every hour, those of a plug-in when they end.
 * A secret is kept in memory only, as a Secret.
 */
import { dirname, isAbsolute, join } from 'node:path';
import { z } from 'zod';
import { fail } from '../../base/errors.ts';
import { parseInstantMs } from '../../base/instants.ts';
import { Secret } from '../../base/secret.ts';
import type { Host, TlsTrust } from '../../host/host.ts';
import { type ConnectionOptions, isInTheClear } from './connection-options.ts';
import { type KubeconfigContext, parseKubeconfig, unusable } from './kubeconfig.ts';

export interface ClusterAccess {
  /** Without a slash at its end. */
  readonly server: string;
  readonly trust: TlsTrust;
  /** Undefined where a certificate says who we are. */
  readToken(signal: AbortSignal): Promise<Secret | undefined>;
  /** The last token was not accepted: the next one is fetched anew. */
  forgetToken(): void;
}

const podFiles = '/var/run/secrets/kubernetes.io/serviceaccount';
const tokenFreshMs = 60_000;
const execTimeoutMs = 20_000;

export async function openAccess(host: Host, site: ConnectionOptions): Promise<ClusterAccess> {
  if (site.kubeconfig !== undefined) return accessByKubeconfig(host, site.kubeconfig, site.context);
  if (site['in-cluster'] === true)
    return {
      server: 'https://kubernetes.default.svc',
      trust: { ca: await readFile(host, `${podFiles}/ca.crt`) },
      ...tokenFromFile(host, `${podFiles}/token`),
    };
  const { token } = site;
  return {
    server: trimmed(site.server as string),
    trust: {
      ...(site.ca === undefined ? {} : { ca: await readFile(host, site.ca) }),
      ...(site.certificate === undefined ? {} : { certificate: await readFile(host, site.certificate) }),
      ...(site.key === undefined ? {} : { key: site.key }),
    },
    readToken: async () => token,
    forgetToken: () => {},
  };
}

const trimmed = (server: string): string => server.replace(/\/+$/, '');

async function readFile(host: Host, path: string): Promise<string> {
  try {
    return await host.files.readText(path);
  } catch (cause) {
    throw fail('SYSTEM_REFUSED', {
      message: `${path} can not be read: ${cause instanceof Error ? cause.message : String(cause)}`,
      hint: 'Name a file that the controller may read.',
      cause,
    });
  }
}

async function accessByKubeconfig(host: Host, path: string, wanted: string | undefined): Promise<ClusterAccess> {
  const { cluster, user, context } = await parseKubeconfig(await readFile(host, path), path, wanted);
  if (isInTheClear(cluster.server)) throw unusable(path, `has a server without https: ${cluster.server}`);
  // Paths in a kubeconfig are meant from where it lies.
  const beside = (file: string): string => (isAbsolute(file) ? file : join(dirname(path), file));
  const pem = async (data: string | undefined, file: string | undefined): Promise<string | undefined> =>
    data !== undefined ? Buffer.from(data, 'base64').toString('utf8') : file === undefined ? undefined : readFile(host, beside(file));
  const ca = await pem(cluster['certificate-authority-data'], cluster['certificate-authority']);
  const certificate = await pem(user['client-certificate-data'], user['client-certificate']);
  const key = await pem(user['client-key-data'], user['client-key']);
  return {
    server: trimmed(cluster.server),
    trust: {
      ...(ca === undefined ? {} : { ca }),
      ...(certificate === undefined ? {} : { certificate }),
      ...(key === undefined ? {} : { key: new Secret(key, `key of ${context} in ${path}`) }),
    },
    ...tokenOf(host, path, user, beside),
  };
}

function tokenOf(
  host: Host,
  path: string,
  user: KubeconfigContext['user'],
  beside: (file: string) => string,
): Pick<ClusterAccess, 'readToken' | 'forgetToken'> {
  if (user.exec !== undefined) return tokenFromProgram(host, path, user.exec);
  if (user.tokenFile !== undefined) return tokenFromFile(host, beside(user.tokenFile));
  const token = user.token === undefined ? undefined : new Secret(user.token, `token in ${path}`);
  return { readToken: async () => token, forgetToken: () => {} };
}

interface KeptToken {
  readonly token: Secret;
  readonly untilMs: number;
}

function tokenFromFile(host: Host, path: string): Pick<ClusterAccess, 'readToken' | 'forgetToken'> {
  let kept: KeptToken | undefined;
  return {
    readToken: async () => {
      if (kept === undefined || host.clock.monotonicMs() >= kept.untilMs)
        kept = { token: await host.secrets.fromFile(path), untilMs: host.clock.monotonicMs() + tokenFreshMs };
      return kept.token;
    },
    forgetToken: () => {
      kept = undefined;
    },
  };
}

const credential = z.looseObject({
  kind: z.literal('ExecCredential'),
  status: z.looseObject({ token: z.string().min(1), expirationTimestamp: z.iso.datetime({ offset: true }).optional() }),
});

/** As `aws eks get-token` and its like do it: a program prints a token and when it ends. */
function tokenFromProgram(
  host: Host,
  path: string,
  exec: NonNullable<KubeconfigContext['user']['exec']>,
): Pick<ClusterAccess, 'readToken' | 'forgetToken'> {
  let kept: KeptToken | undefined;
  const ask = async (signal: AbortSignal): Promise<KeptToken> => {
    const info = { apiVersion: exec.apiVersion ?? 'client.authentication.k8s.io/v1', kind: 'ExecCredential', spec: { interactive: false } };
    const result = await host.processes.run({
      program: exec.command,
      args: exec.args ?? [],
      env: { ...Object.fromEntries((exec.env ?? []).map(({ name, value }) => [name, value])), KUBERNETES_EXEC_INFO: JSON.stringify(info) },
      timeoutMs: execTimeoutMs,
      signal,
    });
    const checked = result.exitCode === 0 ? credential.safeParse(parseJson(result.stdout)) : undefined;
    if (!checked?.success)
      throw fail('SYSTEM_WRONG_CREDENTIALS', {
        message: `${exec.command}, which the kubeconfig ${path} names, gave no token (exit code ${result.exitCode}): ${result.stderr.trim().slice(-200)}`,
        hint: 'Run it by hand as the user that Holdfast runs as.',
      });
    const { token, expirationTimestamp } = checked.data.status;
    const leftMs =
      expirationTimestamp === undefined
        ? tokenFreshMs
        : Math.max(0, parseInstantMs(expirationTimestamp) - host.clock.nowMs() - tokenFreshMs);
    return { token: new Secret(token, `token of ${exec.command}`), untilMs: host.clock.monotonicMs() + leftMs };
  };
  let asking: Promise<KeptToken> | undefined;
  return {
    readToken: async (signal) => {
      if (kept !== undefined && host.clock.monotonicMs() < kept.untilMs) return kept.token;
      // Requests of one moment share one run of the program.
      asking ??= ask(signal).finally(() => {
        asking = undefined;
      });
      kept = await asking;
      return kept.token;
    },
    forgetToken: () => {
      kept = undefined;
    },
  };
}

function parseJson(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined; // no JSON is no credential: the caller words it
  }
}
