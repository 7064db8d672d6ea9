/** Numbered rows by which loss is measured. */

/** A numbered, timed row in a data store: what survives of them after a disaster is the measured loss. */
export interface CanaryRow {
  /** Grows by one with each write of a component, across regions. */
  readonly number: number;
  /** Wall-clock time of the writer just before it wrote. */
  readonly atMs: number;
  readonly epoch: number;
}

export interface Canary {
  /**
   * Resolves once the store has acknowledged the row, as durably as it acknowledges a client's. The first write makes the place for it. Keeps at least the newest row (a
   * single row that is overwritten is enough).
   */
  write(row: CanaryRow, signal: AbortSignal): Promise<void>;
  /** The newest row at this site, or undefined where there is none. Works on a standby too. */
  read(signal: AbortSignal): Promise<CanaryRow | undefined>;
}
