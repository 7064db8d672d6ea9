/**
 * What is wrong (or merely worth knowing) at one place of the spec's text, and how it is shown to people.
 *
 * Invariant: no secret is shown. A value that stands where a secret's reference belongs carries `conceal`, and the line printed for it, or for any other fault on
 * the same line, has the value covered; so have passwords inside of addresses and values of keys that are named like secrets, for a file that can't even be parsed
 * has no schema that could tell.
 */
import { HoldfastError } from '../base/errors.ts';
import type { JsonObject } from '../base/json.ts';

export interface FaultPlace extends JsonObject {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** From 1, in UTF-16 units, as editors count. */
  readonly column: number;
  /** `components.orders-db.sites.us-east-1.url`; empty for the file as a whole. */
  readonly path: string;
}

export interface Fault extends FaultPlace {
  readonly message: string;
  readonly hint: string;
  /** Of a contradiction: the place that says otherwise. */
  readonly other?: FaultPlace;
  /** Where the text that begins at this place ends, when that text may be a secret. */
  readonly conceal?: { readonly line: number; readonly column: number };
}

export type SpecPath = readonly (string | number)[];

export function formatPath(path: SpecPath): string {
  return path.map((part, index) => (typeof part === 'number' ? `[${part}]` : index === 0 ? part : `.${part}`)).join('');
}

/** The faults that a SPEC_INVALID of the loader carries; empty for any other error. */
export function faultsOf(error: unknown): readonly Fault[] {
  if (!(error instanceof HoldfastError) || error.code !== 'SPEC_INVALID' || !Array.isArray(error.details.faults)) return [];
  return error.details.faults as readonly Fault[];
}

const mask = '[redacted]';

/** `password: hunter2`, but not `password: { env: NAME }`, an alias or an anchor. */
const secretLikeValue =
  /((?:password|passphrase|secret|token|credential|key|webhook)["']?\s*:\s+)(?![{&*|>#])("(?:[^"\\]|\\.)*"?|'[^']*'?|[^\s,}#][^,}#]*)/gi;
/** The text without passwords inside of addresses: `postgresql://user:[redacted]@host`. */
export function concealAddressPasswords(text: string): string {
  return text.replace(addressPassword, `$1${mask}`);
}

const addressPassword = /(:\/\/[^:@/\s]*:)([^@/\s]+)(?=@)/g;

type Stretch = readonly [from: number, to: number];

/** The stretches of a line that must not be shown: in order, none touching another. */
function concealedStretches(text: string, lineNumber: number, file: string, faults: readonly Fault[]): readonly Stretch[] {
  const found: Stretch[] = [];
  for (const fault of faults) {
    if (fault.conceal === undefined || fault.file !== file || fault.line > lineNumber || lineNumber > fault.conceal.line) continue;
    found.push([
      fault.line === lineNumber ? fault.column - 1 : 0,
      fault.conceal.line === lineNumber ? fault.conceal.column - 1 : text.length,
    ]);
  }
  for (const shape of [addressPassword, secretLikeValue]) {
    for (const match of text.matchAll(shape)) {
      const from = match.index + (match[1] as string).length;
      found.push([from, from + (match[2] as string).trimEnd().length]);
    }
  }
  const merged: [number, number][] = [];
  for (const [from, to] of found.sort((left, right) => left[0] - right[0])) {
    const last = merged.at(-1);
    if (last !== undefined && from <= last[1]) last[1] = Math.max(last[1], to);
    else if (to > from) merged.push([from, to]);
  }
  return merged;
}

/** The line as it may be shown, and where in it the column has gone. */
function concealLine(text: string, column: number, stretches: readonly Stretch[]): { readonly shown: string; readonly column: number } {
  let shown = '';
  let end = 0;
  let moved = column;
  for (const [from, to] of stretches) {
    shown += text.slice(end, from) + mask;
    if (column - 1 >= to) moved += mask.length - (to - from);
    else if (column - 1 > from) moved -= column - 1 - from;
    end = to;
  }
  return { shown: shown + text.slice(end), column: moved };
}

const widestLine = 160;

/** The line with a caret below the column; a very long line is cut around it. */
function drawLine({ shown, column }: { readonly shown: string; readonly column: number }, lineNumber: number): string[] {
  const number = String(lineNumber);
  const start = Math.max(0, Math.min(column - 1 - widestLine / 2, shown.length - widestLine));
  const text = `${start > 0 ? '…' : ''}${shown.slice(start, start + widestLine)}${shown.length > start + widestLine ? '…' : ''}`.replaceAll(
    '\t',
    ' ',
  );
  const offset = Math.min(column - 1, shown.length) - start + (start > 0 ? 1 : 0);
  return [`  ${number} | ${text}`, `  ${' '.repeat(number.length)} | ${' '.repeat(Math.max(0, offset))}^`];
}

/** For people: `file:line:column  message`, the line itself with a caret (of a contradiction both lines), and the hint. `sources` maps file names to their texts; a file that is not in it is shown without its line. */
export function formatFaults(faults: readonly Fault[], sources: ReadonlyMap<string, string>): string {
  const lines = new Map([...sources].map(([file, text]) => [file, text.split(/\r?\n/)]));
  const drawn = ({ file, line, column }: FaultPlace): string[] => {
    const text = lines.get(file)?.[line - 1];
    return text === undefined ? [] : drawLine(concealLine(text, column, concealedStretches(text, line, file, faults)), line);
  };
  const blocks = faults.map((fault) =>
    [
      `${fault.file}:${fault.line}:${fault.column}  ${fault.message}`,
      ...drawn(fault),
      ...(fault.other ? drawn(fault.other) : []),
      ...(fault.hint === '' ? [] : [`  hint: ${fault.hint}`]),
    ].join('\n'),
  );
  return blocks.join('\n\n');
}
