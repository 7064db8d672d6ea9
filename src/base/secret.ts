/**
 * A value that must never be seen. It prints `[redacted]` however it is printed: as text, as JSON, in a log or by the inspector.
 * `reveal()` is the only way to the value: call it at the last moment, in the place that hands it to a system.
 */
export class Secret {
  readonly #value: string;
  /** Where it came from, to be named in messages: `env:ORDERS_DB_PASSWORD`. */
  readonly source: string;

  constructor(value: string, source: string) {
    this.#value = value;
    this.source = source;
  }

  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return '[redacted]';
  }

  toJSON(): string {
    return '[redacted]';
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return `[redacted ${this.source}]`;
  }
}
