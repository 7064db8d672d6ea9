/** The keys that Holdfast keeps in a data set, one per component and purpose; they replicate and persist like any other. */

export interface HoldfastKeys {
  /** The newest canary row, as JSON. */
  readonly canary: string;
  /** The epoch of the newest promotion. */
  readonly epoch: string;
  /** Names the data set: made once, by chance. An empty server at the same address does not have it. */
  readonly dataset: string;
  /** Never written: deleting it asks whether writes are taken, and changes nothing. */
  readonly probe: string;
}

export function keysOf(component: string): HoldfastKeys {
  return {
    canary: `holdfast:canary:${component}`,
    epoch: `holdfast:epoch:${component}`,
    dataset: `holdfast:dataset:${component}`,
    probe: `holdfast:probe:${component}`,
  };
}
