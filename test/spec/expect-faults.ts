/** For tests of the spec loader: a sound spec to change, and a way to say in its text where a fault is expected. */
import { expect } from 'vitest';
import { HoldfastError } from '../../src/base/errors.ts';
import { type Fault, faultsOf, formatFaults, loadSpec } from '../../src/spec/load-spec.ts';
import { fakeCatalog, fakeRepositories } from '../fakes/driver-catalog.ts';
import { fakeHost } from '../fakes/host.ts';

/** Three regions, and no components yet. */
export const head = `holdfast: v1
name: orders
regions:
  us-east-1: { role: active }
  us-west-2: { role: standby }
  eu-west-1: { role: witness }
`;
export const db = `  orders-db:
    driver: memory-store
    sites:
      us-east-1: { url: "store://east" }
      us-west-2: { url: "store://west" }
`;
export const good = `${head}components:\n${db}`;

export const env = { DB_PASSWORD: 'correct horse' };

export async function load(files: Record<string, string>, resolveSecrets = true) {
  return loadSpec(Object.keys(files), {
    catalog: fakeCatalog,
    repositories: fakeRepositories,
    host: fakeHost({ env, files }),
    resolveSecrets,
  });
}

/** The faults of files; none when they load. */
export async function faultsIn(files: Record<string, string>): Promise<readonly Fault[]> {
  try {
    await load(files);
  } catch (error) {
    expect(error).toBeInstanceOf(HoldfastError);
    expect((error as HoldfastError).code).toBe('SPEC_INVALID');
    return faultsOf(error);
  }
  return [];
}

/** The notices of a file that loads, each with the line it is shown at. */
export async function noticesIn(text: string) {
  const spec = await load({ 'orders.yaml': text });
  return spec.notices.map(({ line, path, message, hint }) => ({ line, path, message, hint }));
}

/** The text without its marks, and the places that they stood before. */
function takeMarks(marked: string) {
  const places: { line: number; column: number }[] = [];
  const lines = marked.split('\n').map((line, index) => {
    let text = line;
    for (let at = text.indexOf('▲'); at !== -1; at = text.indexOf('▲')) {
      places.push({ line: index + 1, column: at + 1 });
      text = text.slice(0, at) + text.slice(at + 1);
    }
    return text;
  });
  return { text: lines.join('\n'), places };
}

/** Exactly the faults that are expected, at the marks (▲) of the text, in order. */
export async function expectFaults(
  marked: string,
  ...expected: readonly { message: string | RegExp; hint: string | RegExp; path?: string }[]
) {
  const { text, places } = takeMarks(marked);
  const faults = await faultsIn({ 'orders.yaml': text });
  expect(
    faults.map(({ file, line, column }) => ({ file, line, column })),
    formatFaults(faults, new Map([['orders.yaml', text]])),
  ).toEqual(places.map((place) => ({ file: 'orders.yaml', ...place })));
  for (const [index, { message, hint, path }] of expected.entries()) {
    expect(faults[index]?.message).toMatch(message);
    expect(faults[index]?.hint).toMatch(hint);
    if (path !== undefined) expect(faults[index]?.path).toBe(path);
  }
  expect(faults).toHaveLength(expected.length);
}
