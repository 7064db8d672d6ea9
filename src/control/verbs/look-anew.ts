/** Looks taken now, so that what is decided next does not rest on how things were half a second ago. */
import type { ComponentSpec } from '../../spec/spec.ts';
import type { PlatformParts } from './platform-verb.ts';

/** A site that is there answers well within this; nobody should wait longer for one that stays silent: then what was seen before stands. */
const lookMaxMs = 250;

export async function lookAnew(parts: PlatformParts, region: string, which: (component: ComponentSpec) => boolean): Promise<void> {
  const components = [...parts.spec.components.values()].filter((component) => component.sites.has(region) && which(component));
  await orLongEnough(parts, Promise.all(components.map((component) => parts.watch.probeNow(component.name, region))));
}

/** Which canaries were acknowledged, by the state, and which of them have come to the other sites: whoever has only just begun to watch knows of none. */
export async function readCanariesAnew(parts: PlatformParts): Promise<void> {
  await parts.watch.adoptCanaries();
  await orLongEnough(parts, parts.watch.readCanaries());
}

async function orLongEnough(parts: PlatformParts, look: Promise<unknown>): Promise<void> {
  const { promise: longEnough, resolve } = Promise.withResolvers<void>();
  const cancel = parts.host.clock.after(lookMaxMs, resolve);
  await Promise.race([look, longEnough]);
  cancel();
}
