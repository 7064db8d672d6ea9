/**
 * Puts a `Secret` where a driver's schema has a secret and the spec has a reference to one.
 *
 * Invariant: values of secrets go into `Secret` objects only. A secret that can't be had is a fault at its reference; a placeholder takes its place, so that the faults of everything
 * else are still found.
 */
import { fail, HoldfastError } from '../base/errors.ts';
import { Secret } from '../base/secret.ts';
import { isSecretReference, type SecretReference } from '../contracts/secret-reference.ts';
import type { SecretSource } from '../host/host.ts';
import type { SpecPath } from './fault.ts';
import type { FaultCollector } from './fault-collector.ts';
import { type LocatedNode, plainValue } from './located-node.ts';
import { branchesOf, isSecretSchema, memberSchemas, type Schema } from './schema-shape.ts';

/** Stands for a secret that was not looked up. Nothing may use it: revealing it is an error. */
export class UnresolvedSecret extends Secret {
  constructor(source: string) {
    super('', source);
  }

  override reveal(): string {
    throw fail('SECRET_MISSING', { message: `the secret ${this.source} was not looked up`, subject: this.source });
  }
}

type Looked = { readonly secret: Secret } | { readonly error: HoldfastError };

export class SecretPlacement {
  readonly #source: SecretSource | undefined;
  readonly #collector: FaultCollector;
  /** One look-up for each source, however often the spec refers to it. */
  readonly #looked = new Map<string, Promise<Looked>>();

  /** Without a source every secret becomes a placeholder. */
  constructor(source: SecretSource | undefined, collector: FaultCollector) {
    this.#source = source;
    this.#collector = collector;
  }

  /** The bare value of the node, with secrets in place. */
  async place(node: LocatedNode, schemas: readonly Schema[], path: SpecPath): Promise<unknown> {
    if (node.kind === 'scalar') return node.value;
    if (schemas.flatMap(branchesOf).some(isSecretSchema)) {
      const value = plainValue(node);
      if (isSecretReference(value)) return this.#resolve(value, path);
    }
    if (node.kind === 'list') {
      const items: unknown[] = [];
      for (const [index, item] of node.items.entries()) items.push(await this.place(item, memberSchemas(schemas, index), [...path, index]));
      return items;
    }
    const object: Record<string, unknown> = {};
    for (const [key, entry] of node.entries) object[key] = await this.place(entry.node, memberSchemas(schemas, key), [...path, key]);
    return object;
  }

  async #resolve(reference: SecretReference, path: SpecPath): Promise<Secret> {
    const [kind, name] = 'env' in reference ? (['env', reference.env] as const) : (['file', reference.file] as const);
    const source = `${kind}:${name}`;
    if (this.#source === undefined) return new UnresolvedSecret(source);
    const pending = this.#looked.get(source) ?? lookUp(this.#source, kind, name);
    this.#looked.set(source, pending);
    const looked = await pending;
    if ('secret' in looked) return looked.secret;
    this.#collector.add([...path, kind], 'value', looked.error.message, looked.error.hint);
    return new UnresolvedSecret(source);
  }
}

async function lookUp(secrets: SecretSource, kind: 'env' | 'file', name: string): Promise<Looked> {
  try {
    return { secret: await (kind === 'env' ? secrets.fromEnvironment(name) : secrets.fromFile(name)) };
  } catch (error) {
    if (error instanceof HoldfastError && error.kind !== 'bug') return { error };
    throw error;
  }
}
