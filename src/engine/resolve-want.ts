/**
 * Replaces references to the outputs of earlier steps in what a step wants: `{ "$from": "<step id>", "field": "position" }`. Pure; the resolved want is journalled with the
 * intent, so a runner that takes over works towards the very same state.
 */
import { fail } from '../base/errors.ts';
import type { Json, JsonObject } from '../base/json.ts';

/** STEP_FAILED when the step named has no such output (it was skipped, failed, or has not run). */
export function resolveWant(want: JsonObject, output: (stepId: string) => JsonObject | undefined, subject: string): JsonObject {
  return resolveMembers(want, output, subject);
}

function resolveMembers(object: JsonObject, output: (stepId: string) => JsonObject | undefined, subject: string): JsonObject {
  return Object.fromEntries(
    Object.entries(object).map(([key, value]) => [key, value === undefined ? undefined : resolveValue(value, output, subject)]),
  );
}

function resolveValue(value: Json, output: (stepId: string) => JsonObject | undefined, subject: string): Json {
  if (value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) return (value as readonly Json[]).map((item) => resolveValue(item, output, subject));
  const object = value as JsonObject;
  if (typeof object.$from !== 'string') return resolveMembers(object, output, subject);
  const found = output(object.$from)?.[String(object.field)];
  if (found === undefined) {
    throw fail('STEP_FAILED', {
      subject,
      message: `it needs "${String(object.field)}" of step "${object.$from}", which has not given it`,
      hint: 'Bring that step to its end first, or skip this one with a reason.',
    });
  }
  return found;
}
