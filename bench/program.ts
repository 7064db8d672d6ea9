/** Which Holdfast is measured: the program as users install it (built into a directory of its own), or from source as it is developed. */
import { cp } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildPackage } from '../tools/build.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

/** What people start. Installed, it lies below `directory`, where there is neither source nor a library. */
export async function findProgram(installed: boolean, directory: string): Promise<string> {
  if (!installed) return join(root, 'bin', 'holdfast');
  for (const name of ['bin', 'package.json']) await cp(join(root, name), join(directory, 'package', name), { recursive: true });
  await buildPackage(join(directory, 'package', 'dist'));
  return join(directory, 'package', 'bin', 'holdfast');
}

/** With the Node that runs this first on the PATH. */
export const programEnvironment = { ...process.env, PATH: `${dirname(process.execPath)}:${process.env.PATH}` };
