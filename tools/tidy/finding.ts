/** What a check has to say about a file. An error fails the run; a note is only shown. */
export interface Finding {
  readonly rule: 'layers' | 'cycles' | 'sizes' | 'names' | 'doors' | 'unfinished' | 'wording' | 'openings';
  readonly severity: 'error' | 'note';
  /** Relative to the repository. */
  readonly file: string;
  readonly line?: number;
  readonly message: string;
}

export function formatFinding({ rule, file, line, message }: Finding): string {
  return `${line === undefined ? file : `${file}:${line}`}: ${message} [${rule}]`;
}
