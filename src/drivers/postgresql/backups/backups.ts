/** What the PostgreSQL driver can back up, archive, restore and prove. */
import { fail } from '../../../base/errors.ts';
import type { BackupSource, DriverBackups } from '../../../contracts/backup.ts';
import type { ComponentOptions, SiteOptions } from '../options.ts';
import { archiveLog } from './archive-log.ts';
import { identifyLog } from './identify-log.ts';
import type { PostgresqlSite } from './postgresql-site.ts';
import { PostgresqlRestorer } from './restorer.ts';
import { takeBase } from './take-base.ts';
import { takeDump } from './take-dump.ts';

export const backups: DriverBackups<ComponentOptions, SiteOptions> = {
  kinds: [
    {
      what: 'base',
      summary: 'all files of the server, to be recovered to any instant that its log reaches',
      continuous: false,
      isDefault: true,
    },
    {
      what: 'increment',
      summary: 'what has changed since the last base or increment (PostgreSQL 17 or newer, with summarize_wal)',
      continuous: false,
      buildsOn: ['base', 'increment'],
    },
    {
      what: 'dump',
      summary: 'pg_dump of every database, and the roles: for other versions and machines, without recovery to an instant',
      continuous: false,
    },
    { what: 'wal', summary: 'its log, streamed as it is written', continuous: true },
  ],
  openSource,
  identifyLog,
  openRestorer: (context) => new PostgresqlRestorer(context),
};

function openSource(site: PostgresqlSite): BackupSource {
  return {
    take(what, sink, options, context) {
      if (what === 'base') return takeBase(site, sink, options, context);
      if (what === 'increment') return takeBase(site, sink, options, context, { increment: true });
      if (what === 'dump') return takeDump(site, sink, options, context);
      throw fail('NOT_FOUND', { message: `PostgreSQL has no backup "${what}"` });
    },
    archive: (openArchive, options, context) => archiveLog(site, openArchive, options, context),
    close: async () => {},
  };
}
