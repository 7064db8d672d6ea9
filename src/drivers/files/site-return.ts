/** Puts a restored directory in the place of the site's own, which was moved aside: whoever uses the files finds them under the same path. */
import type { DirectoryReturn } from '../../contracts/site-return.ts';
import type { FilesContext } from './backup-source.ts';

export function openReturn({ site }: FilesContext): DirectoryReturn {
  return {
    kind: 'directory',
    directory: site.path,
    // Whoever has files of before open goes on with those: they lie aside, whole.
    stop: async () => {},
    serve: async () => {},
    serves: async () => true,
  };
}
