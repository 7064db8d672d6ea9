/**
 * What a controller and its guard say to each other, one JSON object a line, over a socket that only their user may use. The secrets of the sites go this way and no other.
 *
 * Times are of the machine's steady clock, suspension included: both sides run on one boot of one machine, and the guard refuses whoever reads another clock.
 */
import { fail } from '../../base/errors.ts';
import type { Json, JsonObject } from '../../base/json.ts';
import { Secret } from '../../base/secret.ts';
import type { Replication } from '../../contracts/replication.ts';
import type { Clock, TcpConnection } from '../../host/host.ts';
import type { HandsSpec } from '../../spec/spec.ts';

/** All that is needed to fence a region without the spec, the state and the controller. */
export interface GuardSetup {
  readonly platform: string;
  readonly region: string;
  readonly probeTimeoutMs: number;
  readonly components: readonly GuardedComponent[];
}

export interface GuardedComponent {
  readonly name: string;
  readonly driver: string;
  readonly replication: Replication;
  readonly options: unknown;
  readonly sites: Readonly<Record<string, unknown>>;
  readonly hands: HandsSpec | undefined;
}

export type GuardState = 'idle' | 'armed' | 'fencing' | 'fenced';

export type GuardRequest =
  | { readonly kind: 'configure'; readonly clock: string; readonly setup: Json }
  /** The region may serve until then, under that token. */
  | { readonly kind: 'arm'; readonly token: number; readonly holder: string; readonly deadlineMs: number }
  | { readonly kind: 'fence'; readonly why: string }
  /** The orderly farewell: nothing depends on the fence any more. */
  | { readonly kind: 'dismiss' };

export interface GuardHello extends JsonObject {
  readonly kind: 'hello';
  readonly pid: number;
  readonly state: GuardState;
  readonly token: number;
  readonly holder: string;
}

/** What the guard found when it tried the hands. */
export interface GuardTrial extends JsonObject {
  /** Fenced for certain whenever the guard runs: by hands on the guard's own machine, which die with it or not at all. */
  readonly covered: readonly string[];
  readonly uncovered: { readonly [component: string]: string };
  readonly tookMs: number;
}

export interface FenceReport extends JsonObject {
  readonly why: string;
  /** By the steady clock: when the last covered component was fenced. */
  readonly doneAtMs: number;
  readonly tookMs: number;
  readonly evidence: { readonly [component: string]: string };
}

export function steadyMs(clock: Clock): number {
  return clock.bootMs?.() ?? clock.monotonicMs();
}

/** Who reads the very same steady clock says the same. */
export function clockName(clock: Clock): string {
  return `${clock.boot?.monotonicDomain ?? 'unknown'} ${clock.bootMs === undefined ? 'monotonic' : 'boot'}`;
}

/** Parsed options of drivers are plain values and secrets; what is neither would arrive as something else, and is refused here. */
export function encodeSetup(setup: GuardSetup): Json {
  return encode(setup, 'setup');
}

function encode(value: unknown, where: string): Json {
  if (value instanceof Secret) return { $secret: value.reveal(), source: value.source };
  if (value === null || typeof value === 'string' || typeof value === 'boolean' || Number.isFinite(value)) return value as Json;
  if (Array.isArray(value)) return value.map((item, place) => encode(item, `${where}[${place}]`));
  if (typeof value !== 'object' || Object.getPrototypeOf(value) !== Object.prototype)
    throw fail('BUG_BROKEN_BELIEF', { message: `${where} can not be handed to a guard: it is no plain value` });
  const entries = Object.entries(value).filter(([, member]) => member !== undefined);
  return Object.fromEntries(entries.map(([name, member]) => [name, encode(member, `${where}.${name}`)]));
}

export function decodeSetup(json: Json): GuardSetup {
  return decode(json) as GuardSetup;
}

function decode(json: Json): unknown {
  if (json === null || typeof json !== 'object') return json;
  if (Array.isArray(json)) return json.map(decode);
  const { $secret, source } = json as { $secret?: Json; source?: Json };
  if (typeof $secret === 'string') return new Secret($secret, String(source));
  return Object.fromEntries(Object.entries(json).map(([name, member]) => [name, decode(member as Json)]));
}

/** The other side is a program of ours: a line that is not JSON is an error, and ends the connection. */
export function onLines(connection: TcpConnection, listener: (line: JsonObject) => void): void {
  let text = '';
  const decoder = new TextDecoder();
  connection.onData((data) => {
    text += decoder.decode(data, { stream: true });
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
      const line = text.slice(0, end);
      text = text.slice(end + 1);
      let value: JsonObject;
      try {
        value = JSON.parse(line) as JsonObject;
      } catch {
        connection.close();
        return;
      }
      listener(value);
    }
  });
}

export function sendLine(connection: TcpConnection, value: object): void {
  connection.write(`${JSON.stringify(value)}\n`);
}
