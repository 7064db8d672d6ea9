/** synchronous: a write is acknowledged only once a standby has it · asynchronous: a standby follows · none: only backups leave the region, and another one is brought back from them */
export const replications = ['synchronous', 'asynchronous', 'none'] as const;
export type Replication = (typeof replications)[number];
