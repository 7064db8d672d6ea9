/**
 * Templates of a driver's files: `{{name}}`, `{{Name}}`, `{{title}}` and `{{kind}}` stand for words, and the lines between `//: if KIND KIND` and `//: end` are only for those kinds. They are
 * not nested deeper than what one `//: end` can tell: each closes the last one that was opened.
 */
import type { Kind } from './driver-names.ts';

export interface Words {
  readonly name: string;
  readonly kind: Kind;
}

export function renderTemplate(template: string, { name, kind }: Words): string {
  const parts = name.split('-').map((part) => part.charAt(0).toUpperCase() + part.slice(1));
  const words: Readonly<Record<string, string>> = { name, kind, Name: parts.join(''), title: parts.join(' ') };
  const kept: string[] = [];
  const open: boolean[] = [];
  for (const line of template.split('\n')) {
    const condition = /^\/\/: if (.+)$/.exec(line)?.[1];
    if (condition !== undefined) open.push(condition.split(' ').includes(kind));
    else if (line === '//: end') open.pop();
    else if (open.every(Boolean)) kept.push(line);
  }
  if (open.length > 0) throw new Error(`a template has ${open.length} conditions that are not closed`);
  return kept.join('\n').replace(/\{\{(\w+)\}\}/g, (_, word: string) => {
    const text = words[word];
    if (text === undefined) throw new Error(`a template has the unknown word ${word}`);
    return text;
  });
}
