/** The controllers as people are shown them: who is there, who leads, whose word counts, and what is wrong with that. Pure. */
import type { ReadinessFault } from '../../watch/readiness.ts';
import type { RegionState } from '../../watch/verdict.ts';
import type { CutOff, FleetView, Member } from './fleet.ts';

export interface ControllerStatus {
  readonly region: string;
  readonly controller?: string;
  readonly present: boolean;
  readonly leads: boolean;
  readonly counted: boolean;
  readonly notCounted?: string;
  readonly version?: string;
  readonly specDigest?: string;
  readonly startedAtMs?: number;
  /** When it last had something new to say, by its own clock. */
  readonly saidAtMs?: number;
  /** What it says of each region. */
  readonly says?: Readonly<Record<string, RegionState>>;
  /** What keeps each region from taking over, as it sees it. */
  readonly faults?: Readonly<Record<string, readonly string[]>>;
}

export interface FleetStatus {
  readonly controllers: readonly ControllerStatus[];
  /** How many words make a majority. */
  readonly needed: number;
  readonly lead?: string;
  /** Set where the state can't be reached. */
  readonly cutOff?: CutOff;
  /** Whose look at the sites this is. */
  readonly view: { readonly by: string; readonly region?: string; readonly atMs: number };
  readonly faults: readonly ReadinessFault[];
}

export interface FleetStatusInput {
  readonly fleet: FleetView;
  readonly cutOff: CutOff | undefined;
  readonly view: FleetStatus['view'];
}

export function computeFleetStatus({ fleet, cutOff, view }: FleetStatusInput): FleetStatus {
  return {
    controllers: fleet.members.map((member) => statusOf(member, fleet.lead)),
    needed: fleet.needed,
    ...(fleet.lead === undefined ? {} : { lead: fleet.lead }),
    ...(cutOff === undefined ? {} : { cutOff }),
    view,
    faults: cutOff ? [cutOffFault(cutOff)] : faultsOf(fleet),
  };
}

function statusOf({ region, controller, present, notCounted, opinion }: Member, lead: string | undefined): ControllerStatus {
  return {
    region,
    ...(controller === undefined ? {} : { controller }),
    present,
    leads: present && controller !== undefined && controller === lead,
    counted: notCounted === undefined,
    ...(notCounted === undefined ? {} : { notCounted }),
    ...(opinion
      ? {
          version: opinion.version,
          specDigest: opinion.specDigest,
          startedAtMs: opinion.startedAtMs,
          saidAtMs: opinion.atMs,
          says: Object.fromEntries(Object.entries(opinion.votes).map(([of, vote]) => [of, vote.says])),
          faults: opinion.faults,
        }
      : {}),
  };
}

const cutOffFault = ({ message }: CutOff): ReadinessFault => ({
  severity: 'problem',
  message: `cut off: the state can not be reached from here (${message}); who is there and what is under way is not known`,
  hint: 'Mend the way to etcd, or ask on the machine of another controller. Nothing can be started from here.',
});

function faultsOf({ members, needed, lead }: FleetView): readonly ReadinessFault[] {
  const counted = members.filter((member) => member.notCounted === undefined).length;
  const faults: ReadinessFault[] = [];
  if (counted < needed)
    faults.push({
      severity: 'problem',
      message: `${counted} of ${members.length} controllers count, and a majority is ${needed}: no failover can start by itself`,
      hint: 'See why the others do not count, below.',
    });
  for (const { region, present, notCounted, controller } of members) {
    if (notCounted === undefined) continue;
    faults.push(
      present
        ? {
            severity: 'problem',
            region,
            message: `what ${controller} says does not count here: ${notCounted}`,
            hint: 'Give all controllers the same spec and the same version, then start them again one by one.',
          }
        : {
            severity: 'warning',
            region,
            message: `the controller of ${region} is not there: ${notCounted}`,
            hint: `Start it there: holdfast serve --region ${region}.`,
          },
    );
  }
  if (lead === undefined)
    faults.push({
      severity: 'problem',
      message: 'no controller leads: nothing is decided, and no schedule runs',
      hint: 'One takes the lead within seconds; if not, see the log of each controller.',
    });
  return faults;
}
