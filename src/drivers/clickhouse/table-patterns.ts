/** Which tables a pattern such as `gold.*` means. Looked up at each backup, so that a new table is in the next one without anybody thinking of it. */

/** Made by the server itself, or by Holdfast. */
export const foreignDatabases = ['system', 'information_schema', 'INFORMATION_SCHEMA', 'holdfast'] as const;

export interface TableName {
  readonly database: string;
  readonly name: string;
}

export const nameOf = ({ database, name }: TableName): string => `${database}.${name}`;

export function findPatternFault(pattern: string): string | undefined {
  const [database, ...rest] = pattern.split('.');
  if (!database || rest.join('.') === '') return 'must be DATABASE.TABLE, for instance gold.* or silver.campaign_metrics';
  return (foreignDatabases as readonly string[]).includes(database) ? `the database ${database} is not backed up` : undefined;
}

export interface ResolvedTables<T extends TableName> {
  readonly tables: readonly T[];
  /** Patterns that mean nothing: a name that was mistyped looks so. */
  readonly empty: readonly string[];
}

export function resolvePatterns<T extends TableName>(patterns: readonly string[], all: readonly T[]): ResolvedTables<T> {
  const own = all.filter(({ database, name }) => !(foreignDatabases as readonly string[]).includes(database) && !name.startsWith('.inner'));
  const matchers = patterns.map((pattern) => ({ pattern, matches: matcherOf(pattern) }));
  return {
    tables: own.filter((table) => matchers.some(({ matches }) => matches(table))),
    empty: matchers.filter(({ matches }) => !own.some(matches)).map(({ pattern }) => pattern),
  };
}

function matcherOf(pattern: string): (table: TableName) => boolean {
  const dot = pattern.indexOf('.');
  const [database, name] = [globOf(pattern.slice(0, dot)), globOf(pattern.slice(dot + 1))];
  return (table) => database.test(table.database) && name.test(table.name);
}

const globOf = (text: string): RegExp =>
  new RegExp(
    `^${text
      .replace(/[.+^${}()|[\]\\]/g, '\\$&')
      .replaceAll('*', '.*')
      .replaceAll('?', '.')}$`,
    's',
  );
