/**
 * Whose state lies below a prefix, in which cluster, and what this machine remembers of it.
 *
 * Invariant: a machine never takes a state for its own that is another platform's, lies in another cluster than where it was made, or is older than what any process of this machine has
 * seen of it. The memory is a file in the state directory; it is written at most every few seconds, so a machine that loses its power remembers a revision that is as much older.
 *
 * `generation` counts how often a person has accepted a state that had gone back; machines that remember an earlier generation begin to count anew. Tokens of leases are `tokenBase` plus a
 * revision: the base is raised whenever revisions may have gone back, so that tokens never do.
 */
import { z } from 'zod';
import { fail, type HoldfastError } from '../../base/errors.ts';
import type { Host } from '../../host/host.ts';

const identitySchema = z.looseObject({
  format: z.int(),
  platform: z.string(),
  stateId: z.string(),
  clusterId: z.string(),
  tokenBase: z.int(),
  generation: z.int(),
});
export type Identity = z.output<typeof identitySchema>;

const memorySchema = z.looseObject({
  prefix: z.string(),
  stateId: z.string(),
  clusterId: z.string(),
  generation: z.int(),
  tokenBase: z.int(),
  highestRevision: z.int(),
});
export type Memory = z.output<typeof memorySchema>;

export const identityFormat = 1;

export function parseIdentity(value: Buffer, prefix: string): Identity {
  const found = identitySchema.safeParse(parseJson(value.toString('utf8')));
  if (found.success) return found.data;
  throw fail('STATE_DAMAGED', {
    message: `${prefix}identity in etcd is not a record of Holdfast`,
    subject: prefix,
    hint: 'Name another state.etcd.prefix: this one is not touched.',
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // What is no JSON is no record: the schema says so.
    return undefined;
  }
}

export interface Found {
  readonly identity: Identity;
  readonly clusterId: string;
  readonly revision: number;
}

/** What speaks against taking this state for ours; undefined: nothing. */
export function faultOf(found: Found, platform: string, memory: Memory | undefined, prefix: string): HoldfastError | undefined {
  const { identity } = found;
  if (identity.format > identityFormat)
    return fail('STATE_NEWER_FORMAT', {
      message: `the state below ${prefix} has format ${identity.format}; this version knows ${identityFormat}`,
      subject: prefix,
    });
  if (identity.platform !== platform)
    return fail('STATE_OTHER_PLATFORM', {
      message: `the state below ${prefix} is that of "${identity.platform}", not of "${platform}"`,
      subject: prefix,
      hint: 'Give each platform a state.etcd.prefix of its own.',
      details: { platform: identity.platform },
    });
  if (memory !== undefined && memory.stateId !== identity.stateId)
    return fail('STATE_OTHER_CLUSTER', {
      message: `another state than the one that this machine has worked with lies below ${prefix}`,
      subject: prefix,
      details: { stateId: identity.stateId, remembered: memory.stateId },
    });
  if (identity.clusterId !== found.clusterId)
    return fail('STATE_OTHER_CLUSTER', {
      message: `the state below ${prefix} was made in cluster ${identity.clusterId}, and this is cluster ${found.clusterId}: a snapshot was restored, or copied`,
      subject: prefix,
      details: { clusterId: found.clusterId, madeIn: identity.clusterId },
    });
  if (memory === undefined || identity.generation > memory.generation) return undefined;
  return identity.generation < memory.generation || found.revision < memory.highestRevision
    ? wentBack(prefix, found.revision, memory.highestRevision)
    : undefined;
}

export function wentBack(prefix: string, revision: number, highestRevision: number): HoldfastError {
  return fail('STATE_WENT_BACK', {
    message: `etcd is at revision ${revision}, and this machine has seen revision ${highestRevision}`,
    subject: prefix,
    details: { revision, highestRevision },
  });
}

export function emptied(prefix: string, { highestRevision }: Memory): HoldfastError {
  return fail('STATE_WENT_BACK', {
    message: `there is no state below ${prefix} any more, and this machine has seen its revision ${highestRevision}`,
    subject: prefix,
    details: { revision: 0, highestRevision },
  });
}

/** The file of what this machine has seen. All processes of a state directory share it. */
export class MemoryFile {
  readonly #host: Host;
  readonly #directory: string;
  readonly #prefix: string;

  constructor(host: Host, directory: string, prefix: string) {
    this.#host = host;
    this.#directory = directory;
    this.#prefix = prefix;
  }

  get #path(): string {
    return `${this.#directory}/etcd.json`;
  }

  async read(): Promise<Memory | undefined> {
    if (!(await this.#host.files.exists(this.#path))) return undefined;
    const read = memorySchema.safeParse(parseJson(await this.#host.files.readText(this.#path)));
    if (!read.success)
      throw fail('STATE_DAMAGED', {
        message: `${this.#path} does not say what was seen of the shared state`,
        subject: this.#path,
        hint: 'If etcd was not restored from a snapshot lately, remove the file.',
      });
    return read.data.prefix === this.#prefix ? read.data : undefined;
  }

  async write(identity: Identity, highestRevision: number): Promise<void> {
    await this.#host.files.makeDirectory(this.#directory, { mode: 0o700 });
    const before = await this.read();
    const isSame = before?.stateId === identity.stateId && before.generation === identity.generation;
    const memory: Memory = {
      prefix: this.#prefix,
      stateId: identity.stateId,
      clusterId: identity.clusterId,
      generation: identity.generation,
      tokenBase: identity.tokenBase,
      highestRevision: Math.max(highestRevision, isSame ? before.highestRevision : 0),
    };
    await this.#host.files.writeAtomically(this.#path, `${JSON.stringify(memory)}\n`, { mode: 0o600 });
  }
}
