/**
 * A file beside the controller with what it last read of the shared state: so that commands on its machine have something to go by when the state can't be reached.
 *
 * Invariant: nothing is decided from it. It is written whole or not at all; it may be old, and says how old.
 */

import { asHoldfastError } from '../../base/errors.ts';
import type { Json, JsonObject } from '../../base/json.ts';
import type { Entry, StateStore } from '../../contracts/state-store.ts';
import type { Clock, Files, Log } from '../../host/host.ts';
import { canaryPrefix, toJson } from '../../watch/watch-records.ts';
import { opinionPrefix } from './opinion-records.ts';

const writeEveryMs = 5_000;
const prefixes = ['platform', opinionPrefix, canaryPrefix, 'recoveries/'] as const;

export interface LastKnown {
  readonly platform: string;
  /** When the state was read. */
  readonly atMs: number;
  /** Who read it. */
  readonly controller: string;
  readonly region: string;
  readonly entries: readonly Entry[];
}

export interface KeepLastKnownParts {
  readonly store: StateStore;
  readonly files: Files;
  readonly clock: Clock;
  readonly log: Log;
  readonly path: string;
  readonly of: Pick<LastKnown, 'platform' | 'controller' | 'region'>;
}

export class KeepLastKnown {
  readonly #parts: KeepLastKnownParts;
  #writtenAtMonotonicMs: number | undefined;

  constructor(parts: KeepLastKnownParts) {
    this.#parts = parts;
  }

  /** Cheap to call often. Rejects when the state can't be read; a file that can't be written is told to the log. */
  async turn(): Promise<void> {
    const { store, files, clock, log, path, of } = this.#parts;
    const nowMs = clock.monotonicMs();
    if (this.#writtenAtMonotonicMs !== undefined && nowMs - this.#writtenAtMonotonicMs < writeEveryMs) return;
    const entries = (await Promise.all(prefixes.map((prefix) => store.range(prefix)))).flat();
    this.#writtenAtMonotonicMs = nowMs;
    const known: LastKnown = { ...of, atMs: clock.nowMs(), entries };
    try {
      await files.writeAtomically(path, JSON.stringify(toJson(known)), { mode: 0o600 });
    } catch (thrown) {
      log.warn('fleet.last-known-not-kept', { path, message: asHoldfastError(thrown).message });
    }
  }
}

/** Undefined where there is none of this platform, or none that can be understood. */
export async function readLastKnown(files: Files, path: string, platform: string): Promise<LastKnown | undefined> {
  let parsed: Json;
  try {
    if (!(await files.exists(path))) return undefined;
    parsed = JSON.parse(await files.readText(path)) as Json;
  } catch {
    // It only helps; what it would have told is said to be unknown.
    return undefined;
  }
  const known = parsed as JsonObject as unknown as LastKnown;
  return known?.platform === platform && Array.isArray(known.entries) ? known : undefined;
}
