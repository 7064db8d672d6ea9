import { fail } from './errors.ts';

/** States what the code relies on. Stays on in production: a broken belief must stop the step, not spread. */
export function assert(condition: unknown, belief: string): asserts condition {
  if (!condition) throw fail('BUG_BROKEN_BELIEF', { message: `this should always hold: ${belief}` });
}

/** For the end of an exhaustive switch: the type checker proves that it is not reached, the run says so if it is. */
export function unreachable(value: never): never {
  throw fail('BUG_BROKEN_BELIEF', { message: `no case for ${JSON.stringify(value)}` });
}
