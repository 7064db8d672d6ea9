/** How to tell whose log a file is, by driver. Written by "npm run generate" from the folders of src/drivers; changes made here are lost. */
import type { DriverBackups } from './contracts/backup.ts';

type IdentifyLog = NonNullable<DriverBackups<never, never>['identifyLog']>;

export const logIdentifiers: Readonly<Record<string, (() => Promise<{ readonly identifyLog: IdentifyLog }>) | undefined>> = {
  postgresql: () => import('./drivers/postgresql/backups/identify-log.ts'),
};
