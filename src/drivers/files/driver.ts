/**
 * A directory of files: watched, backed up, restored. For FAISS indices, uploads, configuration: what has no server of its own to ask.
 *
 * Its kind is `check`: it has no roles and nothing to promote. In a failover it takes no part: what is lost with a region comes back from its backups. It holds no state; what a dying
 * controller leaves behind is said in backup-source.ts and restore.ts.
 */
import { defineDriver, type Site } from '../../contracts/driver.ts';
import { type FilesContext, openBackupSource } from './backup-source.ts';
import { observeDirectory } from './observe.ts';
import { componentOptions, type FilesOptions, type FilesSiteOptions, siteOptions } from './options.ts';
import { openRestorer } from './restore.ts';
import { openReturn } from './site-return.ts';

function openSite(context: FilesContext): Site {
  return { observe: (signal) => observeDirectory(context, signal), verbs: {}, close: async () => {} };
}

export const driver = defineDriver<FilesOptions, FilesSiteOptions>({
  name: 'files',
  title: 'Files',
  summary: 'Watches a directory and backs it up; knows FAISS indices by the heads of their files.',
  kind: 'check',
  verbs: [],
  hasCanary: false,
  componentOptions,
  siteOptions,
  open: openSite,
  openReturn,
  backups: {
    kinds: [{ what: 'files', summary: 'All files of the directory, each as it was at one instant, as a tar archive.', continuous: false }],
    openSource: openBackupSource,
    openRestorer,
  },
});
