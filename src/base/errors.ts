import { type ErrorCode, type ErrorKind, errorCatalogue } from './error-catalogue.ts';
import type { Json, JsonObject } from './json.ts';

export interface ErrorParts {
  /** What happened, concretely: names, numbers, the system's own words. Never a secret. */
  readonly message?: string;
  /** Overrides the catalogue's hint where the place knows better. */
  readonly hint?: string;
  /** What it happened to: `orders-db in us-east-1`, a file, a step. */
  readonly subject?: string;
  readonly details?: JsonObject;
  readonly cause?: unknown;
}

/** The one error of Holdfast. The engine decides by `kind`; people read message and hint. */
export class HoldfastError extends Error {
  readonly code: ErrorCode;
  readonly kind: ErrorKind;
  readonly hint: string;
  readonly subject: string | undefined;
  readonly details: JsonObject;

  constructor(code: ErrorCode, parts: ErrorParts) {
    const entry = errorCatalogue[code];
    super(parts.message ?? entry.title, parts.cause === undefined ? undefined : { cause: parts.cause });
    this.name = 'HoldfastError';
    this.code = code;
    this.kind = entry.kind;
    this.hint = parts.hint ?? entry.hint;
    this.subject = parts.subject;
    this.details = parts.details ?? {};
  }

  toJSON(): Json {
    return {
      code: this.code,
      kind: this.kind,
      message: this.message,
      hint: this.hint,
      ...(this.subject === undefined ? {} : { subject: this.subject }),
      ...(Object.keys(this.details).length === 0 ? {} : { details: this.details }),
    };
  }
}

/** Makes the error; the caller throws it, so that the type checker sees the end of the path. */
export function fail(code: ErrorCode, parts: ErrorParts = {}): HoldfastError {
  return new HoldfastError(code, parts);
}

/** Anything thrown, as a HoldfastError. What nobody mapped is a bug of ours: the place that talks to a system must map its errors. */
export function asHoldfastError(thrown: unknown, subject?: string): HoldfastError {
  if (thrown instanceof HoldfastError) return thrown;
  const message = thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : String(thrown);
  return fail('BUG_BROKEN_BELIEF', { message, cause: thrown, ...(subject === undefined ? {} : { subject }) });
}
