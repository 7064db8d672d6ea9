/**
 * YAML 1.2 text -> located nodes, or faults with their places.
 *
 * Invariant: what comes out is a finite tree of at most `maxNestingDepth` levels whose aliases, once followed, add at most `maxAliasedNodes` nodes, so that whatever
 * walks it ends soon. A text that can't be parsed gives syntax faults only: what follows from them would be guesses.
 */
import { type Document, isAlias, isMap, isScalar, isSeq, type Pair, parseAllDocuments, Scalar, type YAMLError } from 'yaml';
import { type Fault, formatPath, type SpecPath } from './fault.ts';
import {
  entriesOf,
  type LocatedEntry,
  type LocatedNode,
  lineAndColumn,
  makeList,
  makeMap,
  makeScalar,
  makeSourceText,
  type Place,
  type SourceText,
} from './located-node.ts';

const maxNestingDepth = 64;
const maxAliasedNodes = 100_000;

export interface ParsedYaml {
  readonly source: SourceText;
  /** Undefined where the text has faults that leave nothing sound to go on with. */
  readonly root: LocatedNode | undefined;
  readonly faults: readonly Fault[];
}

/** One mistake makes the parser stumble many times: each line is reported once, and a text that is no spec at all only so far. */
const maxSyntaxFaults = 20;

const hints: Readonly<Record<string, string>> = {
  TAB_AS_INDENT: 'Indent with spaces.',
  BAD_INDENT: 'Line it up with the keys or items of the same level; use spaces.',
  MISSING_CHAR: 'Look for a quote, bracket or colon that is missing on this line or the one before.',
  BAD_SCALAR_START: 'Put the value in quotes.',
  BAD_DQ_ESCAPE: 'Double the backslash, or use single quotes.',
  MULTILINE_IMPLICIT_KEY: 'Look for a colon or a quote that is missing on this line or the one before.',
  BLOCK_AS_IMPLICIT_KEY: 'A value can not begin on the line of another key: put it on a line of its own, or in quotes.',
  BLOCK_IN_FLOW: 'Inside of { } and [ ] everything is written in that form: close the bracket, or separate with commas.',
  TAG_RESOLVE_FAILED: 'Take the tag (the word that begins with !) away, or put the value in quotes.',
  RESOURCE_EXHAUSTION: 'Nest less deeply.',
};

function makeFault(place: Place, path: SpecPath, message: string, hint: string): Fault {
  return { file: place.source.file, ...lineAndColumn(place.source, place.start), path: formatPath(path), message, hint };
}

function makeSyntaxFault(source: SourceText, error: YAMLError): Fault {
  const start = Math.min(error.pos[0], source.text.length);
  const words = error.message
    .replace(/\s+at line \d+.*$/s, '')
    .replace(/["']quote$/, 'quote')
    .trim();
  const message = error.code === 'RESOURCE_EXHAUSTION' ? 'nested too deeply to be read' : words;
  return makeFault({ source, start, end: start }, [], `this is not well-formed YAML: ${message}`, hintFor(error));
}

/** The parser notices an open bracket only where something else begins, and calls that an indentation. */
function hintFor(error: YAMLError): string {
  const bracket = /^Flow (?:map|sequence) .* end with a ([}\]])/.exec(error.message)?.[1];
  if (bracket !== undefined)
    return `A ${bracket === '}' ? '{' : '['} before this place is not closed: write the ${bracket} that belongs to it.`;
  return hints[error.code] ?? 'Look at this line and the one before.';
}

/** Ends the conversion of a file: the fault leaves no tree. */
class Unusable extends Error {
  readonly fault: Fault;
  constructor(fault: Fault) {
    super(fault.message);
    this.fault = fault;
  }
}

class Conversion {
  readonly faults: Fault[] = [];
  readonly #source: SourceText;
  readonly #anchors = new Map<string, LocatedNode>();
  #aliasedNodes = 0;

  constructor(source: SourceText) {
    this.#source = source;
  }

  convert(node: unknown, path: SpecPath, fallback: Place): LocatedNode {
    const place = this.#placeOf(node, fallback);
    if (path.length > maxNestingDepth)
      throw new Unusable(makeFault(place, path, `nested more than ${maxNestingDepth} levels deep`, 'Nest less deeply.'));
    if (isAlias(node)) return this.#follow(node.source, place, path);
    let converted: LocatedNode;
    if (isMap(node)) converted = this.#convertMap(node.items, path, place);
    else if (isSeq(node))
      converted = makeList(
        place,
        node.items.map((item, index) => this.convert(item, [...path, index], place)),
      );
    else converted = makeScalar(place, isScalar(node) ? this.#scalarValue(node.value, place, path) : null);
    const anchor = isMap(node) || isSeq(node) || isScalar(node) ? node.anchor : undefined;
    if (anchor !== undefined) this.#anchors.set(anchor, converted);
    return converted;
  }

  #placeOf(node: unknown, fallback: Place): Place {
    const range =
      node !== null && typeof node === 'object' && 'range' in node ? (node.range as readonly number[] | null | undefined) : undefined;
    return range ? { source: this.#source, start: range[0] ?? fallback.start, end: range[1] ?? fallback.end } : fallback;
  }

  /** An alias stands where it is written, what is inside of it where the anchor is. */
  #follow(name: string, place: Place, path: SpecPath): LocatedNode {
    const target = this.#anchors.get(name);
    if (target === undefined) {
      this.faults.push(
        makeFault(
          place,
          path,
          `there is no anchor &${name} before this alias`,
          `Write &${name} before the value that is meant, further up in the same file.`,
        ),
      );
      return makeScalar(place, null);
    }
    this.#aliasedNodes += target.size;
    if (this.#aliasedNodes > maxAliasedNodes)
      throw new Unusable(
        makeFault(
          place,
          path,
          'the aliases of this file multiply it beyond any use',
          `Use fewer aliases: all of them together may stand for ${maxAliasedNodes} values.`,
        ),
      );
    return { ...target, place };
  }

  #scalarValue(value: unknown, place: Place, path: SpecPath): string | number | boolean | null {
    if (value === null || typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return value;
    this.faults.push(makeFault(place, path, 'this is no text, number, true or false', 'Put the value in quotes.'));
    return null;
  }

  #convertMap(pairs: readonly Pair[], path: SpecPath, place: Place): LocatedNode {
    const entries = new Map<string, LocatedEntry>();
    const merged: LocatedNode[] = [];
    for (const pair of pairs) {
      const keyPlace = this.#placeOf(pair.key, place);
      const name = this.#keyName(pair.key, keyPlace, path);
      if (name === undefined) continue;
      const child = this.convert(pair.value, [...path, name], { source: this.#source, start: keyPlace.end, end: keyPlace.end });
      if (name === '<<' && isScalar(pair.key) && pair.key.type === Scalar.PLAIN) {
        merged.push(...(child.kind === 'list' ? child.items : [child]));
        continue;
      }
      const earlier = entries.get(name);
      if (earlier === undefined) entries.set(name, { key: keyPlace, node: child });
      else
        this.faults.push(
          makeFault(
            keyPlace,
            [...path, name],
            `"${name}" is given twice`,
            `It is also on line ${lineAndColumn(this.#source, earlier.key.start).line}: keep one of the two.`,
          ),
        );
    }
    for (const source of merged) {
      if (source.kind !== 'map')
        this.faults.push(
          makeFault(source.place, path, '"<<" takes an alias of a map', 'Write <<: *NAME, where &NAME marks a map further up.'),
        );
      for (const [name, entry] of entriesOf(source)) if (!entries.has(name)) entries.set(name, entry);
    }
    return makeMap(place, entries);
  }

  #keyName(key: unknown, place: Place, path: SpecPath): string | undefined {
    if (!isScalar(key) || key.value === null || typeof key.value === 'object') {
      this.faults.push(makeFault(place, path, 'a key must be a word', 'Write it as KEY: VALUE.'));
      return undefined;
    }
    const name = typeof key.value === 'string' ? key.value : (key.source ?? String(key.value));
    if (name === '__proto__') {
      this.faults.push(makeFault(place, path, `"${name}" can not be a name`, 'Choose another name.'));
      return undefined;
    }
    return name;
  }
}

function firstOfEachLine(faults: readonly Fault[]): readonly Fault[] {
  const lines = new Set<number>();
  return faults.filter((fault) => !lines.has(fault.line) && lines.add(fault.line)).slice(0, maxSyntaxFaults);
}

function parseDocuments(source: SourceText): { readonly documents: readonly Document[]; readonly faults: readonly Fault[] } {
  try {
    const parsed = parseAllDocuments(source.text, { version: '1.2', uniqueKeys: false, prettyErrors: false, logLevel: 'silent' });
    const documents = [...parsed] as unknown as readonly Document[];
    const errors = [
      'empty' in parsed ? parsed.errors : [],
      ...documents.map((document) => [...document.errors, ...document.warnings]),
    ].flat();
    const exhausted = errors.find((error) => error.code === 'RESOURCE_EXHAUSTION');
    return { documents, faults: firstOfEachLine((exhausted ? [exhausted] : errors).map((error) => makeSyntaxFault(source, error))) };
  } catch (error) {
    // The parser descends by recursion: a text of nothing but brackets uses up the stack before any limit of ours is reached.
    if (!(error instanceof RangeError)) throw error;
    return { documents: [], faults: [makeFault({ source, start: 0, end: 0 }, [], 'nested too deeply to be read', 'Nest less deeply.')] };
  }
}

function checkDocuments(source: SourceText, documents: readonly Document[]): Fault[] {
  const faults: Fault[] = [];
  const whole: Place = { source, start: 0, end: 0 };
  const [first, second] = documents;
  if (second !== undefined) {
    const from = second.range?.[0] ?? 0;
    const marker = source.text.lastIndexOf('---', from);
    faults.push(
      makeFault(
        { ...whole, start: marker >= (first?.range?.[1] ?? 0) ? marker : from },
        [],
        'a second document begins here',
        'Keep one document in a file: take the --- away, or move what follows to a file of its own and name both files.',
      ),
    );
  }
  if (first?.directives?.yaml.explicit && first.directives.yaml.version !== '1.2')
    faults.push(
      makeFault(
        whole,
        [],
        `this file says that it is YAML ${first.directives.yaml.version}`,
        'Take the %YAML line away: specs are YAML 1.2.',
      ),
    );
  return faults;
}

export function parseYaml(file: string, text: string): ParsedYaml {
  const source = makeSourceText(file, text);
  const { documents, faults: syntaxFaults } = parseDocuments(source);
  const faults = [...syntaxFaults, ...checkDocuments(source, documents)];
  if (faults.length > 0) return { source, root: undefined, faults };
  const whole: Place = { source, start: 0, end: 0 };
  const contents = documents[0]?.contents ?? null;
  if (contents === null)
    return {
      source,
      root: undefined,
      faults: [makeFault(whole, [], 'the file is empty', 'Begin it with "holdfast: v1", or let holdfast init write a first one.')],
    };
  const conversion = new Conversion(source);
  try {
    const root = conversion.convert(contents, [], whole);
    if (root.kind !== 'map')
      return {
        source,
        root: undefined,
        faults: [
          ...conversion.faults,
          makeFault(root.place, [], 'a spec is a map of keys and values', 'Begin the file with "holdfast: v1".'),
        ],
      };
    return { source, root, faults: conversion.faults };
  } catch (error) {
    if (!(error instanceof Unusable)) throw error;
    return { source, root: undefined, faults: [...conversion.faults, error.fault] };
  }
}
