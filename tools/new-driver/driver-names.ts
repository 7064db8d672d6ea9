/** Which names a new driver may have: one that the house's rules allow, and that stands for nothing yet. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { checkNames } from '../tidy/names.ts';

export const kinds = ['data', 'workload', 'route', 'check'] as const;
export type Kind = (typeof kinds)[number];

export interface Refusal {
  readonly message: string;
  readonly hint: string;
}

const kebabCase = /^[a-z][a-z0-9]*(?:-[a-z0-9]+)*$/;
const lengthMax = 40;

export const folderOf = (name: string): string => join('src', 'drivers', name);
export const testOf = (name: string): string => join('test', 'conformance', `${name}.test.ts`);

/** What stands against the name, or undefined. */
export function refusalOfName(root: string, name: string): Refusal | undefined {
  if (!kebabCase.test(name) || name.length > lengthMax)
    return {
      message: `"${name}" can not name a driver`,
      hint: `Small letters, digits and single hyphens, a letter first, ${lengthMax} characters at most: tcp-banner.`,
    };
  const [finding] = checkNames({ paths: [`${folderOf(name)}/driver.ts`], sources: [], unparsed: [], readText: () => '' });
  if (finding) return { message: `"${name}" can not name a driver`, hint: `The rules for names: ${finding.message}.` };
  for (const path of [folderOf(name), testOf(name)]) {
    if (existsSync(join(root, path)))
      return { message: `${path} is there already`, hint: 'Take another name, or remove what was written before.' };
  }
  return undefined;
}
