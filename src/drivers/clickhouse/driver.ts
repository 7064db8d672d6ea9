/**
 * ClickHouse: watched, backed up by its own BACKUP, proven on a copy, and brought back in another region from a backup.
 *
 * It has no primary: each replica takes writes, and what fails over between replicas is a majority of Keeper. So nothing is promoted here, and nothing is fenced: see README.md.
 */
import { HoldfastError } from '../../base/errors.ts';
import { defineDriver, type Site } from '../../contracts/driver.ts';
import { readingOf } from '../../contracts/workload/net-evidence.ts';
import { openBackupSource } from './backup-source.ts';
import { canaryOf } from './canary.ts';
import type { ClickhouseClient } from './client.ts';
import { observeServer } from './observe.ts';
import { type ClickhouseOptions, type ClickhouseSiteOptions, componentOptions, findFaults, siteOptions } from './options.ts';
import { openRestorer } from './restore.ts';
import { type ClickhouseContext, openClient } from './site-parts.ts';
import { openReturn } from './site-return.ts';

function openSite(context: ClickhouseContext): Site {
  let client: ClickhouseClient | undefined;
  const open = async (): Promise<ClickhouseClient> => {
    client ??= await openClient(context);
    return client;
  };
  return {
    observe: async (signal) => {
      try {
        await open();
      } catch (error) {
        // A file of certificates that can't be read says nothing of the server; it is read again at the next look.
        if (!(error instanceof HoldfastError) || error.kind === 'bug') throw error;
        return readingOf({ kind: 'error', detail: error.message });
      }
      return await observeServer(context, await open(), signal);
    },
    verbs: {},
    canary: canaryOf(context.component, open),
    close: async () => {},
  };
}

export const driver = defineDriver<ClickhouseOptions, ClickhouseSiteOptions>({
  name: 'clickhouse',
  title: 'ClickHouse',
  summary: 'Watches a ClickHouse server, backs its tables up by patterns, and brings them back in another region.',
  kind: 'data',
  verbs: [],
  hasCanary: true,
  componentOptions,
  siteOptions,
  validate: findFaults,
  open: openSite,
  openReturn,
  metrics: {
    clickhouse_readonly_tables: 'Replicated tables that take no writes',
    clickhouse_replication_queue: 'Entries in the replication queues of all tables',
    clickhouse_delay_seconds: 'How far the replicated table that is furthest behind is behind its other replicas',
  },
  backups: {
    kinds: [
      { what: 'full', summary: 'The tables that the patterns mean at that moment, by BACKUP.', continuous: false, isDefault: true },
      {
        what: 'increment',
        summary: 'What has changed in them since the newest full backup (needs keep-base).',
        continuous: false,
        buildsOn: ['full'],
      },
    ],
    openSource: openBackupSource,
    openRestorer,
  },
});
