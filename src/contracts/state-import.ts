/** A state that comes from elsewhere as a whole, into a store that has none yet. Nobody takes it for a state before `finish`. */
import type { Json } from '../base/json.ts';

export interface ImportedEntry {
  readonly key: string;
  readonly value: Json;
}

export interface StateImport {
  /** For people: which store, and where in it. */
  readonly place: string;
  /**
   * `ready`: there is nothing, or what an earlier try of this very copy left, which is removed first · `finished`: this very copy is the state there already. STATE_NOT_EMPTY when there is
   * anything else.
   */
  begin(copyId: string): Promise<'ready' | 'finished'>;
  add(entries: readonly ImportedEntry[]): Promise<void>;
  /** What is there now, by key. */
  read(): Promise<readonly ImportedEntry[]>;
  /** From here on it is the state. Tokens of its leases are larger than any that an embedded state has given. */
  finish(copyId: string): Promise<void>;
  close(): Promise<void>;
}
