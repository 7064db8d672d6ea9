/** Backups of Redis from servers that misbehave: streams that are cut, lie or fall silent. */
import { createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { freePort } from '../systems/ports.ts';
import { takeBackup } from './kept-backup.ts';
import { failureOf, host, sourceOf } from './redis-backup-source.ts';

describe('backups of Redis from servers that misbehave', () => {
  const servers: { readonly server: Server; readonly sockets: Set<Socket> }[] = [];
  afterEach(() => {
    for (const { server, sockets } of servers.splice(0)) {
      for (const socket of sockets) socket.destroy();
      server.close();
    }
  });

  /** Answers as Redis does up to the snapshot; then as it is told. */
  async function startLiar(snapshot: (socket: Socket) => void): Promise<number> {
    const port = await freePort();
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      sockets.add(socket.on('error', () => {}));
      socket.on('data', (data) => {
        for (const command of String(data).matchAll(/\*\d+\r\n\$\d+\r\n([A-Z]+)\r\n/g)) {
          const name = command[1] as string;
          const info =
            'redis_version:7.0.15\r\nrole:master\r\nmaster_replid:0123456789012345678901234567890123456789\r\nmaster_repl_offset:5\r\n';
          if (name === 'INFO') socket.write(`$${info.length}\r\n${info}\r\n`);
          else if (name === 'GET') socket.write('$-1\r\n');
          else if (name === 'TIME') socket.write('*2\r\n$10\r\n1700000000\r\n$1\r\n0\r\n');
          else if (name === 'CONFIG') socket.write('*0\r\n');
          else if (name === 'PSYNC') snapshot(socket);
          else if (name !== 'SYNC') socket.write('+OK\r\n');
        }
      });
    });
    servers.push({ server, sockets });
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    return port;
  }

  const full = '+FULLRESYNC 0123456789012345678901234567890123456789 5\r\n';
  const mark = 'abcdefghijabcdefghijabcdefghijabcdefghij';

  it.each([
    ['a stream cut before its length', (socket: Socket) => socket.end(`${full}$1000\r\nREDIS0010`), 'BACKUP_INCOMPLETE'],
    [
      'a stream cut before its end mark',
      (socket: Socket) => socket.end(`${full}\n\n$EOF:${mark}\r\nREDIS0010${mark.slice(0, 39)}`),
      'BACKUP_INCOMPLETE',
    ],
    ['a snapshot without its end', (socket: Socket) => socket.write(`${full}$20\r\nREDIS0010xxxxxxxxxxx`), 'BACKUP_INCOMPLETE'],
    ['something that is no snapshot', (socket: Socket) => socket.write(`${full}$EOF:${mark}\r\nhello, world${mark}`), 'BACKUP_INCOMPLETE'],
    [
      'a BGSAVE that failed',
      (socket: Socket) => socket.write(`${full}-ERR BGSAVE failed, replication can't continue\r\n`),
      'BACKUP_TOOL_FAILED',
    ],
    ['a refusal', (socket: Socket) => socket.write('-NOPERM this user has no permissions to run psync\r\n'), 'SYSTEM_WRONG_CREDENTIALS'],
    [
      'a replica without its primary',
      (socket: Socket) => socket.write("-NOMASTERLINK Can't SYNC while not connected with my master\r\n"),
      'SYSTEM_REFUSED',
    ],
    ['an answer of another protocol', (socket: Socket) => socket.write('HTTP/1.1 400 Bad Request\r\n'), 'SYSTEM_WRONG_ANSWER'],
    ['silence before the snapshot', () => {}, 'TIMED_OUT'],
    ['silence within the snapshot', (socket: Socket) => socket.write(`${full}$1000\r\nREDIS0010`), 'TIMED_OUT'],
  ])('rejects %s', async (_name, snapshot, code) => {
    const port = await startLiar(snapshot as (socket: Socket) => void);
    const error = await failureOf(takeBackup(sourceOf(port, { silenceMs: 300 }), host, 'snapshot'));
    expect(error.code).toBe(code);
  });

  it('takes an end mark that comes in pieces, and a server that answers only SYNC', async () => {
    const rdb = Buffer.concat([Buffer.from('REDIS0009'), Buffer.from([0xff, 1, 2, 3, 4, 5, 6, 7, 8])]);
    const inPieces = await startLiar((socket) => {
      socket.write(`${full}\n$EOF:${mark}\r\n`);
      const bytes = Buffer.concat([rdb, Buffer.from(mark)]);
      let at = 0;
      const next = () => {
        socket.write(bytes.subarray(at, at + 7));
        at += 7;
        if (at < bytes.length) setTimeout(next, 3);
      };
      next();
    });
    const backup = await takeBackup(sourceOf(inPieces), host, 'snapshot');
    expect(backup.parts.get('dump.rdb')).toEqual(rdb);
    const old = await startLiar((socket) => {
      socket.write("-ERR unknown command 'PSYNC'\r\n");
      socket.once('data', (data) => {
        if (String(data).includes('SYNC')) socket.write(Buffer.concat([Buffer.from(`\n$${rdb.length}\r\n`), rdb]));
      });
    });
    const other = await takeBackup(sourceOf(old), host, 'snapshot');
    expect(other.parts.get('dump.rdb')).toEqual(rdb);
    expect(other.facts?.more).toMatchObject({ offset: '5' });
  });

  it('a server that accepts and never answers is out of time', async () => {
    const port = await freePort();
    const sockets = new Set<Socket>();
    const server = createServer((socket) => void sockets.add(socket));
    servers.push({ server, sockets });
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    expect((await failureOf(takeBackup(sourceOf(port), host, 'snapshot'))).kind).toMatch(/transient|unknown-outcome/);
  });
});
