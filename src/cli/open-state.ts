/**
 * Opens the state for a command. Where several controllers share it and it can't be reached, a command that can do without gets what was last known of it on this machine
 * instead, and is told so; any other fails.
 */
import { join } from 'node:path';
import { asHoldfastError, type HoldfastError } from '../base/errors.ts';
import type { Entry, StateStore } from '../contracts/state-store.ts';
import { cutOffStore } from '../control/fleet/cut-off-store.ts';
import type { CutOff } from '../control/fleet/fleet.ts';
import { readLastKnown } from '../control/fleet/last-known.ts';
import { stateIsAway } from '../control/fleet/state-is-away.ts';
import type { Host } from '../host/host.ts';
import type { Spec } from '../spec/spec.ts';
import type { Wiring } from './wiring.ts';

export interface OpenedState {
  readonly store: StateStore;
  readonly cutOff?: CutOff;
}

export interface OpenStateParts {
  readonly spec: Spec;
  readonly host: Host;
  readonly directory: string;
  readonly wiring: Wiring;
  /** Whether the command has something to say without the state, and says that it is without. */
  readonly evenCutOff: boolean;
}

export const lastKnownFile = (directory: string): string => join(directory, 'last-known.json');

export async function openState({ spec, host, directory, wiring, evenCutOff }: OpenStateParts): Promise<OpenedState> {
  const { state, name } = spec;
  let store: StateStore | undefined;
  try {
    store = await wiring.openStore({ directory, host, platform: name, ...(state ? { state } : {}) });
    // One that opens without asking anybody is asked here.
    if (state && evenCutOff) await store.get('platform');
    return { store };
  } catch (thrown) {
    const error = asHoldfastError(thrown);
    await store?.close();
    if (!state || !evenCutOff || !stateIsAway(error)) throw thrown;
    return cutOffFrom(error, spec, host, directory);
  }
}

async function cutOffFrom(error: HoldfastError, spec: Spec, host: Host, directory: string): Promise<OpenedState> {
  const known = await readLastKnown(host.files, lastKnownFile(directory), spec.name);
  const activeRegion = [...spec.regions.values()].find((region) => region.role === 'active')?.name ?? '';
  // Without anything that is known, the spec's word is all that there is: epoch 0 says that nobody knows.
  const guess: Entry = { key: 'platform', value: { platform: spec.name, activeRegion, epoch: 0 }, revision: 0 };
  const entries = known?.entries.some((entry) => entry.key === 'platform') ? known.entries : [guess, ...(known?.entries ?? [])];
  return {
    store: cutOffStore(entries, error.message),
    cutOff: { message: error.message, ...(known ? { asOfMs: known.atMs } : {}) },
  };
}
