/**
 * Files of backups in the server's own directory, read and written through its HTTP interface by the table function `file`.
 *
 * A .tar is made of blocks of 512 bytes, so it is a table of one column of 256 bytes a row: byte for byte, streamed, and without hands on the server's machine. SQL can't remove a file: it is
 * emptied down to one row. What dies on the way leaves a file, which the next backup with the same prefix empties.
 */
import { fail } from '../../base/errors.ts';
import { type ClickhouseClient, literal, type QueryLimits } from './client.ts';

const rowBytes = 256;
const structure = `'RowBinary', 'c FixedString(${rowBytes})'`;
const pieceBytes = 4 * 1_048_576;

export interface ServerFile {
  readonly path: string;
  readonly bytes: number;
}

const asTable = (path: string): string => `file(${literal(path)}, ${structure})`;

/** Names with wildcards: those that match and have something in them. */
export async function findFiles(client: ClickhouseClient, pattern: string, limits: QueryLimits): Promise<readonly ServerFile[]> {
  const rows = await client.query(`SELECT DISTINCT _path AS path, _size AS bytes FROM file(${literal(pattern)}, 'One')`, limits);
  return rows.map(({ path, bytes }) => ({ path: String(path), bytes: Number(bytes) })).filter(({ bytes }) => bytes > rowBytes);
}

export async function emptyFile(client: ClickhouseClient, path: string, limits: QueryLimits): Promise<void> {
  await client.run(`INSERT INTO FUNCTION ${asTable(path)} SETTINGS engine_file_truncate_on_insert = 1 SELECT ''`, limits);
}

export async function* readFile(client: ClickhouseClient, { path, bytes }: ServerFile, limits: QueryLimits): AsyncIterable<Uint8Array> {
  const sql = `SELECT c FROM ${asTable(path)} SETTINGS max_threads = 1, input_format_parallel_parsing = 0 FORMAT RowBinary`;
  let seen = 0;
  for await (const piece of await client.stream(sql, limits)) {
    seen += piece.length;
    yield piece;
  }
  if (seen !== bytes)
    throw fail('BACKUP_INCOMPLETE', {
      message: `${client.name} gave ${seen} bytes of ${path}, which has ${bytes}`,
      hint: 'See the log of the server.',
    });
}

/** Writes a new file. One of the name that has anything in it is emptied first: what a former try has left there would come before it. */
export async function writeFile(
  client: ClickhouseClient,
  path: string,
  content: AsyncIterable<Uint8Array>,
  limits: QueryLimits,
): Promise<void> {
  let isFirst = true;
  const write = async (piece: Uint8Array): Promise<void> => {
    const settings = `max_insert_threads = 1, input_format_parallel_parsing = 0, engine_file_truncate_on_insert = ${isFirst ? 1 : 0}`;
    await client.insert(`INSERT INTO FUNCTION ${asTable(path)} SETTINGS ${settings} FORMAT RowBinary`, piece, limits);
    isFirst = false;
  };
  let held: Uint8Array[] = [];
  let heldBytes = 0;
  for await (const bytes of content) {
    limits.signal.throwIfAborted();
    held.push(bytes);
    heldBytes += bytes.length;
    if (heldBytes < pieceBytes) continue;
    const whole = Buffer.concat(held, heldBytes);
    const rest = heldBytes % rowBytes;
    await write(whole.subarray(0, heldBytes - rest));
    held = rest === 0 ? [] : [whole.subarray(heldBytes - rest)];
    heldBytes = rest;
  }
  if (heldBytes % rowBytes !== 0)
    throw fail('BACKUP_DAMAGED', { message: `the archive is not made of whole blocks: ${heldBytes % rowBytes} bytes are left over` });
  if (heldBytes > 0) await write(Buffer.concat(held, heldBytes));
}
