/** What the program's entry joins and hands to the command line: it alone knows which drivers, stores and hands there are. */

import type { HoldfastError } from '../base/errors.ts';
import type { ListenAddress } from '../base/listen-address.ts';
import type { DriverCatalog } from '../contracts/driver.ts';
import type { RepositoryCatalog } from '../contracts/repository-backend.ts';
import type { StateImport } from '../contracts/state-import.ts';
import type { StateStore } from '../contracts/state-store.ts';
import type { MetricsReader } from '../control/metrics/metrics-reader.ts';
import type { OpenHands } from '../control/open-sites.ts';
import type { Host, HttpListener } from '../host/host.ts';
import type { StateSpec } from '../spec/spec.ts';
import type { Terminal } from './terminal.ts';

export interface SharedStateOptions {
  readonly directory: string;
  readonly host: Host;
  readonly platform: string;
  readonly state: StateSpec;
}

export interface Wiring {
  readonly version: string;
  readonly catalog: DriverCatalog;
  readonly repositories: RepositoryCatalog;
  readonly terminal: Terminal;
  readonly pid: number;
  /** The name of who runs the command, where none was given. */
  readonly person: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly workingDirectory?: string;
  /** Where what can be found out anew may be kept for the next time; absent: nothing is kept. */
  readonly cacheDirectory?: string;
  /** Aborted on Ctrl-C and on a request to end. */
  readonly signal: AbortSignal;
  openHost(options: { readonly logLevel: string; readonly logTo: string }): Host;
  /** What is done to a shared state as a whole; absent where there can be none. */
  readonly sharedState?: {
    openImport(options: SharedStateOptions): Promise<StateImport>;
    /** Takes a state that went back for what it is. Resolves to what was the matter with it. */
    accept(options: SharedStateOptions, by: string, reason: string): Promise<HoldfastError>;
  };
  /** The shared state of the spec, or without one the embedded state of the directory. */
  openStore(options: {
    readonly directory: string;
    readonly host: Host;
    readonly platform: string;
    readonly state?: StateSpec;
  }): Promise<StateStore>;
  openHands(host: Host): OpenHands;
  /** How the guard of a region is started: the program and its first arguments. Absent: there are none. */
  readonly guardCommand?: readonly string[];
  /** Answers Prometheus; SYSTEM_REFUSED where the address can't be had. */
  serveMetrics(face: { readonly host: Host; readonly address: ListenAddress; readonly reader: MetricsReader }): Promise<HttpListener>;
}
