/** Everything besides the spec that a plan depends on, as values. */
import type { Observation } from '../contracts/observation.ts';
import type { SiteVerb } from '../contracts/verbs.ts';

export interface VerbTiming {
  readonly ms: number;
  readonly from: 'measured' | 'guess';
}

export interface Situation {
  readonly nowMs: number;
  readonly activeRegion: string;
  readonly epoch: number;
  /** The newest observation of a site. */
  observation(component: string, region: string): Observation | undefined;
  /** The newest observation of a site in which it was up. */
  lastUp(component: string, region: string): Observation | undefined;
  /** Whether the site, as it is configured, can do the verb. */
  can(component: string, region: string, verb: SiteVerb): boolean;
  /** Whether the site can be brought back from a backup of the component. */
  canBringBack(component: string, region: string): boolean;
  /** How long the verb takes at such a site. */
  timing(component: string, verb: SiteVerb): VerbTiming;
  /** What would be lost of a component if the source vanished now, in milliseconds; undefined: unproven. */
  estimatedLossMs(component: string): number | undefined;
}
