/**
 * Where a workload answers over HTTP: the address, the headers and the authority that it is trusted by. Secrets in headers are revealed when a request is made, and
 * nowhere else.
 */
import { z } from 'zod';
import { fail, HoldfastError } from '../../base/errors.ts';
import { Secret } from '../../base/secret.ts';
import type { Host } from '../../host/host.ts';
import type { ResolvedSecret } from '../driver.ts';
import { secretReference } from '../secret-reference.ts';

/** A text that may be secret: `literal`, `{ env: NAME }` or `{ file: PATH }`. */
export const textOrSecret = z.union([z.string(), secretReference]) as unknown as z.ZodType<string | ResolvedSecret>;

export const headerOptions = z
  .record(z.string().min(1), textOrSecret)
  .describe('Headers to send; a value is a text or a secret: { Authorization: { env: HEALTH_TOKEN } }');

/** The keys of an endpoint, to be spread into the strict object of a site's options. */
export const endpointOptions = {
  url: z.url({ protocol: /^https?$/ }).describe('Where the service answers in this region: http://10.0.1.7:8000'),
  headers: headerOptions.optional(),
  ca: z.string().min(1).optional().describe('Path of a file with the certificate authority (PEM) to trust besides those of the system'),
};

export interface EndpointOptions {
  readonly url: string;
  readonly headers?: Readonly<Record<string, string | Secret>> | undefined;
  readonly ca?: string | undefined;
}

export class Endpoint {
  readonly #host: Host;
  readonly #options: EndpointOptions;
  #ca: Promise<string> | undefined;

  constructor(host: Host, options: EndpointOptions) {
    this.#host = host;
    this.#options = options;
  }

  /** The whole address of a path below the site's url. */
  urlOf(path: string): string {
    return `${this.#options.url.replace(/\/$/, '')}${path}`;
  }

  /** The site's headers and those given, as they go on the wire. Keep the result no longer than the request that carries it needs. */
  headers(extra: Readonly<Record<string, string | Secret>> = {}): Record<string, string> {
    const revealed: Record<string, string> = {};
    for (const [name, value] of [...Object.entries(this.#options.headers ?? {}), ...Object.entries(extra)]) {
      revealed[name] = value instanceof Secret ? value.reveal() : value;
    }
    return revealed;
  }

  /** The text without the secrets of the headers: a service may send back what it was sent. A scheme before the token (`Bearer ...`) does not hide it. */
  redact(text: string, extra: Readonly<Record<string, string | Secret>> = {}): string {
    let clean = text;
    for (const value of [...Object.values(this.#options.headers ?? {}), ...Object.values(extra)]) {
      if (!(value instanceof Secret)) continue;
      const whole = value.reveal();
      for (const shown of [whole, whole.slice(whole.lastIndexOf(' ') + 1)]) if (shown !== '') clean = clean.replaceAll(shown, '[redacted]');
    }
    return clean;
  }

  get hasCa(): boolean {
    return this.#options.ca !== undefined;
  }

  /** Read on first use and kept; a file that can't be read is tried again at the next use. */
  async ca(): Promise<string> {
    const path = this.#options.ca as string;
    this.#ca ??= this.#host.files.readText(path);
    try {
      return await this.#ca;
    } catch (error) {
      this.#ca = undefined;
      const reason = error instanceof HoldfastError || error instanceof Error ? error.message : String(error);
      throw fail('SYSTEM_REFUSED', {
        message: `the certificate authority ${path} can not be read: ${reason}`,
        cause: error,
        hint: 'Name a readable PEM file in ca.',
      });
    }
  }
}
