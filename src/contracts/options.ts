/** Building blocks of drivers' option schemas, so that all of them read alike and give the same messages. */
import { z } from 'zod';
import { parseDurationMs } from '../base/durations.ts';
import { HoldfastError } from '../base/errors.ts';
import { parseShare, parseSizeBytes } from '../base/sizes.ts';

function parsed<T>(parse: (text: string) => T, description: string, examples: string[]): z.ZodType<T, string> {
  return z
    .string()
    .meta({ description, examples })
    .transform((text, context) => {
      try {
        return parse(text);
      } catch (error) {
        if (!(error instanceof HoldfastError)) throw error;
        context.addIssue({ code: 'custom', message: error.message, params: { hint: error.hint } });
        return z.NEVER;
      }
    });
}

/** `10s` in the spec, milliseconds in the program. */
export const duration = (description: string) => parsed(parseDurationMs, description, ['250ms', '10s', '5m', '1h30m']);
/** `16MiB` in the spec, bytes in the program. */
export const size = (description: string) => parsed(parseSizeBytes, description, ['512KiB', '16MiB', '1.5GB']);
/** `80%` in the spec, 0.8 in the program. */
export const share = (description: string) => parsed(parseShare, description, ['80%']);

/** A program and its arguments, as a list; a single text is refused, for it would need a shell. */
export const commandLine = (description: string) => z.array(z.string()).min(1).describe(description);
