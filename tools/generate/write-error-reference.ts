/** The text of docs/errors.md, from the catalogue that the program itself uses. */
import type { ErrorKind, errorCatalogue } from '../../src/base/error-catalogue.ts';
import { markdownTable } from './markdown.ts';

const kinds: Readonly<Record<ErrorKind, string>> = {
  invalid: 'You must change something: the command, the spec, the machine. Never retried.',
  transient: 'It may pass by itself. Retried within the time that the step has.',
  refused: 'A system, or Holdfast itself, said no. Never retried; the answer is shown.',
  'unknown-outcome': 'Sent, and no answer came back. Holdfast inspects before it does anything else and never retries blindly.',
  bug: 'Holdfast is wrong. It stops; please report it.',
};

export function writeErrorReference(catalogue: typeof errorCatalogue): string {
  const entries = Object.entries(catalogue);
  const sections = entries.map(([code, { kind, title, hint }]) => `### ${code}\n\n${capitalised(title)}. *${kind}*\n\n${hint}\n`);
  return `# Errors

<!-- Written by "npm run generate" from src/base/error-catalogue.ts; changes made here are lost. -->

Every error has a code, a kind, a message and a hint. With \`--json\` all four are in the answer. The kind decides what Holdfast does next:

${markdownTable(
  ['kind', 'what it means', 'codes'],
  Object.entries(kinds).map(([kind, meaning]) => [
    `\`${kind}\``,
    meaning,
    String(entries.filter(([, entry]) => entry.kind === kind).length),
  ]),
)}

## Codes

The hint below is shown where the place that raises the error knows no better one.

${sections.join('\n')}`;
}

function capitalised(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
