#!/usr/bin/env node
/**
 * holdfast-restore: brings backups back from a Holdfast repository with nothing but this file, Node 22.15 or newer, and the key. It shares no code with Holdfast and needs no control
 * plane, no spec, no database: it is written from docs/reference/repository-format.md, which it also checks in that way. It only reads the repository.
 *
 *   holdfast-restore list    REPOSITORY
 *   holdfast-restore verify  REPOSITORY [COMPONENT [BACKUP]]
 *   holdfast-restore restore REPOSITORY COMPONENT [BACKUP] --into DIR [--to INSTANT] [--up-to-gap] [--bin-directory DIR]
 *
 * REPOSITORY is a directory, or s3://bucket/prefix (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION, AWS_ENDPOINT_URL).
 * The key (recovery key, machine key or passphrase) comes from --key-file FILE, from HOLDFAST_KEY, or is asked for on the terminal.
 *
 * Invariant: no byte is written that was not checked against the manifest, and the manifest against its digest and the key. DIR must be empty or not there. Dying leaves files in DIR
 * and nothing else; begin again with an empty one.
 */
import { execFile, spawn } from 'node:child_process';
import { createHash, createHmac, hkdfSync, scryptSync, webcrypto } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { appendFile, mkdir, open, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { parseArgs, promisify } from 'node:util';
import zlib from 'node:zlib';

const formatVersion = 1;
const piecesAhead = 4;

class RestoreError extends Error {
  constructor(code, message, hint = '') {
    super(message);
    this.code = code;
    this.hint = hint;
  }
}
const damaged = (message) => new RestoreError('BACKUP_DAMAGED', message, 'Restore another backup: "list" shows what there is.');

// ---- where the objects are

function openDirectory(root) {
  return {
    name: root,
    async get(name) {
      try {
        return await readFile(join(root, name));
      } catch (error) {
        if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
        throw new RestoreError('STORE_UNREACHABLE', `${join(root, name)} can not be read: ${error.message}`);
      }
    },
    /** Names of all objects below a prefix that ends with a slash, in order. */
    async list(prefix) {
      const names = [];
      const walk = async (path) => {
        const entries = await readdir(join(root, path), { withFileTypes: true }).catch((error) => {
          if (error.code === 'ENOENT') return [];
          throw new RestoreError('STORE_UNREACHABLE', `${join(root, path)} can not be read: ${error.message}`);
        });
        for (const entry of entries) {
          if (entry.isDirectory()) await walk(`${path}${entry.name}/`);
          else if (!entry.name.startsWith('.')) names.push(path + entry.name);
        }
      };
      await walk(prefix);
      return names.sort();
    },
    async folders(prefix) {
      const entries = await readdir(join(root, prefix), { withFileTypes: true }).catch(() => []);
      return entries
        .filter((entry) => entry.isDirectory())
        .map((entry) => entry.name)
        .sort();
    },
  };
}

const percentEncoded = (text) =>
  encodeURIComponent(text).replace(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`);

/** The headers of a GET without a body, signed as version 4 wants it. */
function signGet({ url, canonicalPath, canonicalQuery, region, id, secret, token }) {
  const sha = (data) => createHash('sha256').update(data).digest('hex');
  const hmac = (key, data) => createHmac('sha256', key).update(data).digest();
  const time = new Date().toISOString().replace(/[-:]|\.\d{3}/g, '');
  const scope = `${time.slice(0, 8)}/${region}/s3/aws4_request`;
  const headers = {
    host: url.host,
    'x-amz-content-sha256': sha(''),
    'x-amz-date': time,
    ...(token ? { 'x-amz-security-token': token } : {}),
  };
  const names = Object.keys(headers).sort();
  const signedHeaders = names.join(';');
  const lines = names.map((name) => `${name}:${headers[name]}\n`).join('');
  const canonicalRequest = ['GET', canonicalPath, canonicalQuery, lines, signedHeaders, sha('')].join('\n');
  const key = [time.slice(0, 8), region, 's3', 'aws4_request'].reduce(hmac, `AWS4${secret}`);
  const signature = hmac(key, ['AWS4-HMAC-SHA256', time, scope, sha(canonicalRequest)].join('\n')).toString('hex');
  const { host: _, ...sent } = headers;
  return { ...sent, authorization: `AWS4-HMAC-SHA256 Credential=${id}/${scope}, SignedHeaders=${signedHeaders}, Signature=${signature}` };
}

/** Answers the body, or undefined for 404. A service that does not answer is tried a few times. */
function openBucketRequests(bucket, environment) {
  const region = environment.AWS_REGION ?? environment.AWS_DEFAULT_REGION ?? 'us-east-1';
  const url = new URL(environment.AWS_ENDPOINT_URL ?? `https://s3.${region}.amazonaws.com`);
  const { AWS_ACCESS_KEY_ID: id, AWS_SECRET_ACCESS_KEY: secret, AWS_SESSION_TOKEN: token } = environment;
  if (!id || !secret) throw new RestoreError('STORE_NOT_ALLOWED', 'AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set');
  const once = async (canonicalPath, canonicalQuery) => {
    const headers = signGet({ url, canonicalPath, canonicalQuery, region, id, secret, token });
    const query = canonicalQuery === '' ? '' : `?${canonicalQuery}`;
    const answer = await fetch(`${url.origin}${canonicalPath}${query}`, { headers, signal: AbortSignal.timeout(120_000) });
    if (answer.status === 404) return undefined;
    if (answer.status === 403)
      throw new RestoreError('STORE_NOT_ALLOWED', `the bucket ${bucket} refuses us: ${(await answer.text()).slice(0, 300)}`);
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    return Buffer.from(await answer.arrayBuffer());
  };
  return async (path, query) => {
    const parts = path.split('/').filter((part) => part !== '');
    const canonicalPath = `/${[bucket, ...parts].map(percentEncoded).join('/')}`;
    const names = Object.keys(query).sort();
    const canonicalQuery = names.map((name) => `${percentEncoded(name)}=${percentEncoded(query[name])}`).join('&');
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await once(canonicalPath, canonicalQuery);
      } catch (error) {
        if (error instanceof RestoreError) throw error;
        if (attempt === 4)
          throw new RestoreError('STORE_UNREACHABLE', `${url.host} does not answer: ${error.cause?.message ?? error.message}`);
        await new Promise((done) => setTimeout(done, 250 * 2 ** attempt));
      }
    }
  };
}

function openBucket(place, environment) {
  const { hostname: bucket, pathname } = new URL(place);
  const base = pathname.replace(/^\/+|\/+$/g, '');
  const request = openBucketRequests(bucket, environment);
  const full = (name) => (base === '' ? name : `${base}/${name}`);
  const text = (xml) =>
    xml
      .replace(/&lt;/g, '<')
      .replace(/&gt;/g, '>')
      .replace(/&quot;/g, '"')
      .replace(/&#39;|&apos;/g, "'")
      .replace(/&amp;/g, '&');
  const pages = async (prefix, extra, pattern) => {
    const found = [];
    let token;
    do {
      const more = token === undefined ? {} : { 'continuation-token': token };
      const answer = await request('', { 'list-type': '2', prefix: full(prefix), ...extra, ...more });
      if (answer === undefined) throw new RestoreError('STORE_MISSING_PLACE', `there is no bucket ${bucket}`);
      const page = answer.toString();
      for (const match of page.matchAll(pattern)) found.push(text(match[1]).slice(full('').length));
      token = /<IsTruncated>true/.test(page) ? text(/<NextContinuationToken>([^<]*)/.exec(page)[1]) : undefined;
    } while (token !== undefined);
    return found.sort();
  };
  return {
    name: place,
    get: (name) => request(full(name), {}),
    list: (prefix) => pages(prefix, {}, /<Key>([^<]*)<\/Key>/g),
    folders: async (prefix) => {
      const below = await pages(prefix, { delimiter: '/' }, /<CommonPrefixes>\s*<Prefix>([^<]*)<\/Prefix>/g);
      return below.map((name) => name.slice(prefix.length, -1));
    },
  };
}

// ---- digests, keys, sealing

const { subtle } = webcrypto;
const hex = (bytes) => Buffer.from(bytes).toString('hex');
const sha256 = async (bytes) => hex(await subtle.digest('SHA-256', bytes));
const derive = (key, info, salt = new Uint8Array(0)) => Buffer.from(hkdfSync('sha256', key, salt, info, 32));
const decompress = promisify(zlib.zstdDecompress);

async function unseal(key, sealed, nonce, words) {
  try {
    const aes = await subtle.importKey('raw', key, 'AES-GCM', false, ['decrypt']);
    return Buffer.from(
      await subtle.decrypt({ name: 'AES-GCM', iv: Buffer.from(nonce, 'base64'), additionalData: Buffer.from(words) }, aes, sealed),
    );
  } catch {
    return undefined;
  }
}

async function expand(codec, body, plainBytes) {
  if (body === undefined) return undefined;
  if (codec === 'none') return body.length === plainBytes ? body : undefined;
  try {
    const plain = await decompress(body, { maxOutputLength: Math.max(plainBytes, 1), chunkSize: Math.max(plainBytes, 64) });
    return plain.length === plainBytes ? plain : undefined;
  } catch {
    return undefined;
  }
}

async function digestPlain(key, bytes) {
  if (key === undefined) return await sha256(bytes);
  const hmacKey = await subtle.importKey('raw', key, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);
  return hex(await subtle.sign('HMAC', hmacKey, bytes));
}

/** Keys sorted at every depth, no spaces: one text for one value. */
function canonical(value) {
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  return `{${Object.keys(value)
    .sort()
    .map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`)
    .join(',')}}`;
}

function encodeName(text) {
  let encoded = '';
  for (const byte of Buffer.from(text)) {
    const character = String.fromCharCode(byte);
    encoded += /[A-Za-z0-9._-]/.test(character) ? character : `=${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return encoded.startsWith('.') ? `=2E${encoded.slice(1)}` : encoded;
}
const decodeName = (encoded) =>
  Buffer.from(
    encoded.replace(/=([0-9A-F]{2})/g, (_, digits) => String.fromCharCode(Number.parseInt(digits, 16))),
    'latin1',
  ).toString();

function parseRecoveryKey(text) {
  const alphabet = '0123456789abcdefghjkmnpqrstvwxyz';
  const characters = text.trim().toLowerCase().slice(5).replace(/[\s-]/g, '').replace(/o/g, '0').replace(/[il]/g, '1');
  let bits = '';
  for (const character of characters) bits += alphabet.indexOf(character).toString(2).padStart(5, '0');
  const bytes = Buffer.from((bits.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)));
  const key = bytes.subarray(0, 32);
  const check = createHash('sha256').update('holdfast/1/recovery-key').update(key).digest().subarray(0, 3);
  if (characters.length !== 56 || !check.equals(bytes.subarray(32)))
    throw new RestoreError('KEY_WRONG', 'the recovery key is mistyped: its checksum does not fit');
  return key;
}

function parseJson(bytes, object) {
  try {
    return JSON.parse(bytes.toString());
  } catch {
    throw new RestoreError('REPOSITORY_DAMAGED', `${object} is not the JSON that it should be`);
  }
}

function refuseNewer(value, object) {
  if (typeof value?.format === 'number' && value.format > formatVersion)
    throw new RestoreError(
      'REPOSITORY_NEWER_FORMAT',
      `${object} has format ${value.format}; this program reads ${formatVersion}`,
      'Take the holdfast-restore of the Holdfast that wrote it.',
    );
}

/** The repository key, by the first slot that opens. */
async function openSlots(store, repository, readSecret) {
  const revoked = new Set((await store.list('keys-revoked/')).map((name) => name.slice('keys-revoked/'.length)));
  const slots = [];
  for (const name of await store.list('keys/')) {
    const slot = parseJson(await store.get(name), name);
    refuseNewer(slot, name);
    if (slot.repository === repository.id && !revoked.has(slot.slot)) slots.push(slot);
  }
  if (slots.length === 0)
    throw new RestoreError(
      'KEY_MISSING',
      'the repository is encrypted and has no key slots',
      'Bring the objects under keys/ back from a copy.',
    );
  const secret = (await readSecret()).trim();
  const isKey = secret.toLowerCase().startsWith('hfk1-');
  const key = isKey ? parseRecoveryKey(secret) : undefined;
  for (const slot of slots.filter(({ kind }) => (isKey ? kind !== 'passphrase' : kind === 'passphrase'))) {
    const { name, salt, N, r, p } = slot.derivation;
    const saltBytes = Buffer.from(salt, 'base64');
    let under;
    if (name === 'hkdf-sha256' && isKey) under = derive(key, `holdfast/1/slot-key\n${slot.slot}`, saltBytes);
    else if (name === 'scrypt' && !isKey) under = scryptSync(secret.normalize('NFC'), saltBytes, 32, { N, r, p, maxmem: 256 * N * r });
    else continue;
    const words = ['holdfast/1/slot', slot.repository, slot.slot, slot.kind].join('\n');
    const opened = await unseal(under, Buffer.from(slot.wrapped.sealed, 'base64'), slot.wrapped.nonce, words);
    if (opened !== undefined) return opened;
  }
  throw new RestoreError('KEY_WRONG', `the ${isKey ? 'recovery key' : 'passphrase'} opens none of the repository's key slots`);
}

// ---- the repository

async function openRepository(store, readSecret) {
  const bytes = await store.get('repo');
  if (bytes === undefined) throw new RestoreError('REPOSITORY_MISSING', `there is no repository in ${store.name}`);
  const facts = parseJson(bytes, 'repo');
  refuseNewer(facts, 'repo');
  if (facts.holdfast !== 'repository') throw new RestoreError('REPOSITORY_DAMAGED', 'the object "repo" is not a Holdfast repository');
  const key = facts.suite === 'plain' ? undefined : await openSlots(store, facts, readSecret);
  return { store, facts, key };
}

const mac = (key, digest) => createHmac('sha256', derive(key, 'holdfast/1/manifest-mac')).update(digest).digest('hex');

/** Undefined where there is none. */
async function readManifest({ store, facts, key }, component, backup) {
  const object = `backups/${encodeName(component)}/${encodeName(backup)}/manifest`;
  const bytes = await store.get(object);
  if (bytes === undefined) return undefined;
  const text = bytes.toString();
  const start = text.lastIndexOf('\n', text.length - 2) + 1;
  const body = text.slice(0, start);
  const lines = body.split('\n').slice(0, -1);
  let head;
  try {
    head = JSON.parse(lines[0] ?? text);
  } catch {
    throw damaged(`${object} has no head`);
  }
  refuseNewer(head, object);
  const digest = createHash('sha256').update(body).digest('hex');
  const end = { lines: lines.length, digest, ...(key === undefined ? {} : { mac: mac(key, digest) }) };
  if (!Buffer.from(body).equals(bytes.subarray(0, Buffer.byteLength(body))) || text.slice(start) !== `${canonical({ end })}\n`)
    throw damaged(`${object} is cut short, was altered, or was written without the key of this repository`);
  if (head.repository !== facts.id || head.platform !== facts.platform)
    throw new RestoreError(
      'REPOSITORY_OTHER_PLATFORM',
      `${object} was written for "${head.platform}", in the repository ${head.repository}`,
    );
  if (head.component !== component || head.backup !== backup)
    throw damaged(`${object} is the manifest of ${head.component} ${head.backup}`);
  const [, factsLine, ...rest] = lines.map((line) => JSON.parse(line));
  const prefix = object.slice(0, -'manifest'.length);
  const chapters = rest.filter((line) => 'chapter' in line);
  return {
    head,
    facts: factsLine.facts,
    chapters,
    parts: rest.filter((line) => 'part' in line),
    prefix,
    ...(await backupKeys(head, facts, key)),
  };
}

async function backupKeys(head, facts, key) {
  const names = [facts.id, encodeName(head.component), encodeName(head.backup)];
  if (key === undefined) return { names };
  const words = ['holdfast/1/backup-key', ...names].join('\n');
  const backupKey = await unseal(derive(key, 'holdfast/1/wrap-backup'), Buffer.from(head.key.sealed, 'base64'), head.key.nonce, words);
  if (backupKey === undefined) throw damaged(`the key of ${head.component} ${head.backup} does not open`);
  return { names, pieceKey: derive(backupKey, 'holdfast/1/pieces'), digestKey: derive(backupKey, 'holdfast/1/plain-digests') };
}

async function* piecesOf({ store }, manifest, part) {
  const digest = createHash('sha256');
  let next = 0;
  for (let chapter = part.firstChapter; next < part.pieces; chapter += 1) {
    const line = manifest.chapters[chapter];
    const object = `${manifest.prefix}chapters/${line?.chapter}`;
    const bytes = line === undefined ? undefined : await store.get(object);
    if (bytes === undefined || (await sha256(bytes)) !== line.chapter) throw damaged(`${object} is missing or was altered`);
    for (const piece of bytes
      .toString()
      .split('\n')
      .slice(0, -1)
      .map((text) => JSON.parse(text))) {
      if (piece.part !== part.part) continue;
      if (piece.position !== next) throw damaged(`the part ${part.part} lists piece ${piece.position} in the place of ${next}`);
      next += 1;
      digest.update(piece.plain);
      yield piece;
    }
  }
  if (next !== part.pieces || digest.digest('hex') !== part.digest)
    throw damaged(`the pieces of the part ${part.part} do not add up to it`);
}

async function readPiece({ store }, manifest, piece) {
  const object = `${manifest.prefix}pieces/${piece.stored}`;
  const where = `piece ${piece.position} of the part ${piece.part} (${object})`;
  const stored = await store.get(object);
  if (stored === undefined) throw damaged(`${where} is missing`);
  if (stored.length !== piece.storedBytes || (await sha256(stored)) !== piece.stored)
    throw damaged(`${where} has other bytes than were stored`);
  const words = ['holdfast/1/piece', ...manifest.names, piece.part, piece.position].join('\n');
  const body = manifest.pieceKey === undefined ? stored : await unseal(manifest.pieceKey, stored, piece.nonce, words);
  const plain = await expand(piece.codec, body, piece.plainBytes);
  if (plain === undefined || (await digestPlain(manifest.digestKey, plain)) !== piece.plain)
    throw damaged(`${where} does not hold what was backed up there`);
  return plain;
}

/** The bytes of a part, each checked; a few pieces are fetched ahead. */
async function* readPart(repository, manifest, part) {
  const ahead = [];
  for await (const piece of piecesOf(repository, manifest, part)) {
    const under = readPiece(repository, manifest, piece);
    under.catch(() => undefined);
    ahead.push(under);
    if (ahead.length >= piecesAhead) yield await ahead.shift();
  }
  while (ahead.length > 0) yield await ahead.shift();
}

async function listBackups(repository, component) {
  const found = [];
  const components = component === undefined ? (await repository.store.folders('backups/')).map(decodeName) : [component];
  for (const each of components)
    for (const folder of await repository.store.folders(`backups/${encodeName(each)}/`)) {
      const backup = decodeName(folder);
      const manifest = await readManifest(repository, each, backup).catch((error) => {
        if (error.code === 'STORE_UNREACHABLE') throw error;
        found.push({ component: each, backup, error });
      });
      if (manifest !== undefined) found.push({ component: each, backup, manifest });
    }
  return found.sort((a, b) => (a.manifest?.facts.consistentAtMs ?? 0) - (b.manifest?.facts.consistentAtMs ?? 0));
}

// ---- the archive

function openArchive({ store, facts, key }, component, identity) {
  const prefix = `wal/${encodeName(component)}/${encodeName(identity)}/`;
  const archiveKey =
    key === undefined ? undefined : derive(key, ['holdfast/1/archive', encodeName(component), encodeName(identity)].join('\n'));
  const sealKey = archiveKey === undefined ? undefined : derive(archiveKey, 'holdfast/1/logs');
  const digestKey = archiveKey === undefined ? undefined : derive(archiveKey, 'holdfast/1/plain-digests');
  const block = async (objectName) => {
    const object = prefix + objectName;
    const content = await store.get(object);
    if (content === undefined) throw damaged(`${object} is missing`);
    const lineEnd = content.indexOf(10);
    const header = parseJson(content.subarray(0, Math.max(lineEnd, 0)), object);
    refuseNewer(header, object);
    const payload = content.subarray(lineEnd + 1);
    const words = ['holdfast/1/log', facts.id, encodeName(component), encodeName(identity), objectName].join('\n');
    const body = sealKey === undefined ? payload : await unseal(sealKey, payload, header.nonce ?? '', words);
    if (header.object !== object || header.repository !== facts.id || body === undefined || (await sha256(payload)) !== header.stored)
      throw damaged(`${object} is not what was archived`);
    if (header.slices !== undefined) return { header, plain: body };
    const plain = await expand(header.codec, body, header.bytes);
    if (plain === undefined || (await digestPlain(digestKey, plain)) !== header.digest) throw damaged(`${object} is not what was archived`);
    return { header, plain };
  };
  const whole = async (objectName) => {
    const { header, plain } = await block(objectName);
    if (header.slices === undefined) return plain;
    const slices = [];
    for (let slice = 0; slice < header.slices; slice += 1)
      slices.push((await block(`${objectName}.slice-${String(slice).padStart(4, '0')}`)).plain);
    const bytes = Buffer.concat(slices);
    if (bytes.length !== header.bytes || (await digestPlain(digestKey, bytes)) !== header.digest)
      throw damaged(`${prefix}${objectName} does not add up`);
    return bytes;
  };
  const parts = async (objectNames) => {
    const bytes = [];
    let reached = 0;
    for (const objectName of objectNames) {
      const [, from, to] = /\.part-([0-9a-f]{12})-([0-9a-f]{12})$/.exec(objectName).map((digits) => Number.parseInt(digits, 16));
      if (from > reached || to <= reached) continue;
      bytes.push((await block(objectName)).plain.subarray(reached - from));
      reached = to;
    }
    return Buffer.concat(bytes);
  };
  return {
    /** Each log with a function that reads it, in order of names. */
    async logs() {
      const found = new Map();
      for (const object of await store.list(prefix)) {
        const objectName = object.slice(prefix.length);
        if (/\.slice-\d{4}$/.test(objectName)) continue;
        const base = objectName.replace(/\.part-[0-9a-f]{12}-[0-9a-f]{12}$/, '');
        const entry = found.get(base) ?? { name: decodeName(base), isWhole: false, partNames: [] };
        if (base === objectName) entry.isWhole = true;
        else entry.partNames.push(objectName);
        entry.read = () => (entry.isWhole ? whole(base) : parts(entry.partNames));
        found.set(base, entry);
      }
      return [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
    },
    async gaps() {
      const gaps = [];
      for (const object of await store.list(`gaps/${encodeName(component)}/${encodeName(identity)}/`)) {
        const { digest, mac: written, ...envelope } = parseJson(await store.get(object), object);
        const right =
          createHash('sha256').update(canonical(envelope)).digest('hex') === digest && (key === undefined || written === mac(key, digest));
        if (!right) throw damaged(`${object} was altered`);
        gaps.push(envelope.record);
      }
      return gaps;
    },
  };
}

const isSegment = (name) => /^[0-9A-F]{24}$/.test(name);

/** The first segment that is missing between those that are there, or that a recorded gap begins with. */
function findHole(names, gaps, first, segmentBytes) {
  const perLog = Math.floor(2 ** 32 / segmentBytes);
  const number = (name) => Number.parseInt(name.slice(8, 16), 16) * perLog + Number.parseInt(name.slice(16), 16);
  const holes = gaps.filter((gap) => gap.to >= first).map((gap) => ({ at: gap.from, why: gap.why }));
  const segments = names.filter((name) => isSegment(name) && name >= first);
  for (let index = 1; index < segments.length; index += 1) {
    const [before, after] = [segments[index - 1], segments[index]];
    // A later timeline begins where the one before it was left, or earlier.
    if (number(after) > number(before) + 1) holes.push({ at: after, why: `nothing between ${before} and ${after} was archived` });
  }
  if (segments[0] !== first) holes.push({ at: segments[0] ?? first, why: `${first}, with which the backup begins, was not archived` });
  return holes.sort((a, b) => (a.at < b.at ? -1 : 1))[0];
}

async function exportArchive(repository, manifest, directory, upToGap) {
  const { head, facts } = manifest;
  const archive = openArchive(repository, head.component, facts.identity);
  const logs = await archive.logs();
  const first = facts.archive?.first ?? '';
  const needed = logs.filter(({ name }) => name >= first || name.endsWith('.history'));
  const segmentBytes = facts.more?.segmentBytes;
  const hole =
    facts.engine === 'postgresql' && facts.archive !== undefined
      ? findHole(
          needed.map(({ name }) => name),
          await archive.gaps(),
          first,
          segmentBytes ?? 16_777_216,
        )
      : undefined;
  if (hole !== undefined && !upToGap)
    throw new RestoreError(
      'ARCHIVE_GAP',
      `the archive has a gap before ${hole.at}: ${hole.why}`,
      'With --up-to-gap, what lies before the gap is restored; a newer backup may lie behind it.',
    );
  const kept = needed.filter(({ name }) => hole === undefined || name < hole.at || name.endsWith('.history'));
  if (kept.length > 0) await mkdir(directory, { recursive: true });
  for (const { name, isWhole, read } of kept) {
    const bytes = await read();
    // PostgreSQL takes segments of the full length only; what was not written yet is zeros, as in its own directory.
    const padded =
      isSegment(name) && !isWhole && segmentBytes > bytes.length
        ? Buffer.concat([bytes, Buffer.alloc(segmentBytes - bytes.length)])
        : bytes;
    await writeFile(join(directory, name.replaceAll('/', '_')), padded, { mode: 0o600 });
  }
  return kept.length;
}

// ---- restoring

async function refuseUnlessEmpty(directory) {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const [found] = await readdir(directory);
  if (found !== undefined) throw new RestoreError('RESTORE_TARGET_NOT_EMPTY', `${directory} is not empty: it holds ${found}`);
}

async function unpack(stream, name, into) {
  await mkdir(into, { recursive: true, mode: 0o700 });
  const tar = spawn('tar', ['-x', '-f', '-', '-C', into], { stdio: ['pipe', 'inherit', 'pipe'] });
  let said = '';
  tar.stderr.on('data', (data) => {
    said = (said + data).slice(-2_000);
  });
  const ended = new Promise((done, failed) => {
    tar.on('error', failed);
    tar.on('close', done);
  });
  const stages = name.endsWith('.zst') ? [zlib.createZstdDecompress()] : name.endsWith('.gz') ? [zlib.createGunzip()] : [];
  const piped = pipeline(Readable.from(stream, { objectMode: false }), ...stages, tar.stdin).catch((error) => error);
  const [failure, code] = await Promise.all([piped, ended]);
  // A pipe that tar has closed only repeats what its exit code says: it ends as soon as it has read all.
  const isOfPipe = failure?.code === 'EPIPE' || failure?.code === 'ERR_STREAM_PREMATURE_CLOSE';
  if (failure instanceof Error && !isOfPipe) throw failure;
  if (code !== 0) throw new RestoreError('BACKUP_TOOL_FAILED', `tar ended with ${code} on ${name}: ${said}`);
}

/** Where a part goes: PostgreSQL's own layout, and for everything else a directory for each tar file and a file for each other part. */
function placeOf(engine, name, into) {
  const tar = /^(.*)\.tar(\.zst|\.gz)?$/.exec(name);
  const plain = name.replaceAll(/[^A-Za-z0-9._-]/g, '_').replace(/^\.+/, '_');
  if (engine === 'postgresql') {
    if (tar?.[1] === 'base') return { kind: 'tar', path: join(into, 'data') };
    if (tar !== null && /^\d+$/.test(tar[1])) return { kind: 'tar', path: join(into, 'tablespaces', tar[1]) };
    if (name === 'backup_manifest') return { kind: 'file', path: join(into, 'data', name) };
    const log = /^wal-([0-9A-F]{24}|[0-9A-F]{8}\.history)(\.unfinished)?$/.exec(name);
    if (log !== null) return { kind: 'segment', path: join(into, 'archive', log[1]) };
  }
  return tar === null
    ? { kind: 'file', path: join(into, plain) }
    : { kind: 'tar', path: join(into, plain.replace(/\.tar(\.zst|\.gz)?$/, '')) };
}

/** The backup and everything that it builds on, the full one first. */
async function readLinks(repository, component, { backup, manifest }) {
  const links = [{ backup, manifest }];
  for (let link = links[0]; link.manifest.facts.needs?.length > 0; ) {
    const [below, another] = link.manifest.facts.needs;
    if (link.manifest.facts.engine !== 'postgresql' || another !== undefined)
      throw new RestoreError(
        'USAGE',
        `${link.backup} builds on ${link.manifest.facts.needs.join(', ')}, in a way that this program does not know`,
      );
    const found = await readManifest(repository, component, below).catch((error) => {
      if (error.code === 'BACKUP_DAMAGED') error.message = `${below}, which ${link.backup} builds on: ${error.message}`;
      throw error;
    });
    if (found === undefined || links.some((each) => each.backup === below))
      throw damaged(`${link.backup} builds on ${below}, and there is no backup ${below} of ${component}`);
    link = { backup: below, manifest: found };
    links.unshift(link);
  }
  return links;
}

async function writePart(repository, manifest, part, { kind, path }) {
  await mkdir(join(path, '..'), { recursive: true, mode: 0o700 });
  if (kind === 'tar') return await unpack(readPart(repository, manifest, part), part.part, path);
  await pipeline(
    Readable.from(readPart(repository, manifest, part), { objectMode: false }),
    createWriteStream(path, { flags: 'wx', mode: 0o600 }),
  );
  if (kind === 'segment' && part.part.endsWith('.unfinished')) await pad(path, manifest.facts.more?.segmentBytes);
}

/** Each link below `chain/`, as it was taken, and the log of the last one where PostgreSQL looks for it. Answers the places, in order. */
async function writeLinks(repository, links, into, say) {
  const places = [];
  for (const [index, { backup, manifest }] of links.entries()) {
    const place = join(into, 'chain', `${String(index).padStart(4, '0')}-${encodeName(backup)}`);
    for (const part of manifest.parts) {
      const { kind, path } = placeOf('postgresql', part.part, place);
      if (kind !== 'segment') await writePart(repository, manifest, part, { kind, path });
      else if (index === links.length - 1) await writePart(repository, manifest, part, placeOf('postgresql', part.part, into));
    }
    for (const oid of spacesOf(manifest)) await linkSpace(join(place, 'data'), oid, join(place, 'tablespaces', oid));
    say(`restored ${backup}, ${index + 1} of ${links.length}`);
    places.push(place);
  }
  return places;
}

async function findCombiner(major, binDirectory) {
  const usual = [
    `/usr/lib/postgresql/${major}/bin`,
    `/usr/pgsql-${major}/bin`,
    '/usr/local/pgsql/bin',
    ...(process.env.PATH ?? '').split(':'),
  ];
  for (const directory of binDirectory === undefined ? usual : [binDirectory]) {
    const program = join(directory, 'pg_combinebackup');
    const said = await promisify(execFile)(program, ['--version']).catch(() => undefined);
    if (said !== undefined && Number(/\(PostgreSQL\) (\d+)/.exec(said.stdout)?.[1]) === major) return program;
  }
  return undefined;
}

/** Puts the links together, or says how: only PostgreSQL's own program can. */
async function combine(manifest, places, into, binDirectory, say) {
  const last = places.at(-1);
  const moved = spacesOf(manifest).map((oid) => `--tablespace-mapping=${join(last, 'tablespaces', oid)}=${join(into, 'tablespaces', oid)}`);
  const args = [...moved, `--output=${join(into, 'data')}`, ...places.map((place) => join(place, 'data'))];
  const major = Number(manifest.facts.more?.major);
  const program = await findCombiner(major, binDirectory);
  if (program === undefined) {
    const command = ['pg_combinebackup', ...args]
      .map((word) => (/^[\w/.=:-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`))
      .join(' ');
    return [
      `the increments have to be put together yet, by pg_combinebackup of PostgreSQL ${major}: ${command}`,
      `then remove ${join(into, 'chain')}`,
    ];
  }
  await promisify(execFile)(program, args, { maxBuffer: 2 ** 24 }).catch((error) => {
    throw damaged(`the backups below ${join(into, 'chain')} do not fit together: ${String(error.stderr ?? error.message).slice(-2_000)}`);
  });
  await rm(join(into, 'chain'), { recursive: true });
  say(`put ${places.length} backups together`);
  return [];
}

async function restore(repository, component, backup, options, say) {
  const { manifest } = backup;
  const { facts } = manifest;
  const into = resolve(options.into);
  const links = await readLinks(repository, component, backup);
  await refuseUnlessEmpty(into);
  const places = links.length === 1 ? [into] : await writeLinks(repository, links, into, say);
  if (links.length === 1)
    for (const part of manifest.parts) {
      await writePart(repository, manifest, part, placeOf(facts.engine, part.part, into));
      say(`restored ${part.part} (${part.plainBytes} bytes)`);
    }
  const ownLog = manifest.parts.some(({ part }) => part.startsWith('wal-'));
  const logs =
    facts.engine === 'postgresql' && ownLog ? 0 : await exportArchive(repository, manifest, join(into, 'archive'), options.upToGap);
  if (logs > 0) say(`wrote ${logs} archived logs`);
  if (facts.engine === 'postgresql') await preparePostgresql(manifest, join(places.at(-1), 'data'), into, options.to);
  const joining = links.length === 1 ? [] : await combine(manifest, places, into, options.binDirectory, say);
  const notes =
    facts.engine === 'postgresql'
      ? [
          ...joining,
          `to start it: chown -R postgres ${into}, then pg_ctl -D ${join(into, 'data')} start with PostgreSQL ${facts.engineVersion}`,
        ]
      : [];
  return {
    component,
    backup: backup.backup,
    into,
    engine: facts.engine,
    engineVersion: facts.engineVersion,
    ...(links.length === 1 ? {} : { links: links.map((link) => link.backup), together: joining.length === 0 }),
    parts: links.reduce((sum, link) => sum + link.manifest.parts.length, 0),
    archivedLogs: logs,
    notes,
  };
}

async function pad(path, toBytes) {
  const file = await open(path, 'r+');
  try {
    if (toBytes > (await file.stat()).size) await file.truncate(toBytes);
  } finally {
    await file.close();
  }
}

const spacesOf = (manifest) => manifest.parts.map(({ part }) => /^(\d+)\.tar/.exec(part)?.[1]).filter((oid) => oid !== undefined);

async function linkSpace(data, oid, place) {
  await rm(join(data, 'pg_tblspc', oid), { force: true });
  await symlink(place, join(data, 'pg_tblspc', oid));
}

/** The copy recovers from the exported archive, and reaches out to nobody. An increment's own files say so already, and what is put together has them from there. */
async function preparePostgresql(manifest, data, into, to) {
  const map = [];
  for (const oid of spacesOf(manifest)) {
    const place = join(into, 'tablespaces', oid);
    if (data === join(into, 'data')) await linkSpace(data, oid, place);
    map.push(`${oid} ${place.replaceAll(/[\\\n\r]/g, '\\$&')}\n`);
  }
  if (map.length > 0) await writeFile(join(data, 'tablespace_map'), map.join(''), { mode: 0o600 });
  const archive = join(into, 'archive');
  const quoted = `cp "${archive}/%f" "%p"`.replaceAll("'", "''");
  const settings = [
    "archive_mode = 'off'",
    "primary_conninfo = ''",
    "primary_slot_name = ''",
    "synchronous_standby_names = ''",
    `restore_command = '${quoted}'`,
    ...(to === undefined ? [] : [`recovery_target_time = '${to}'`, "recovery_target_action = 'promote'"]),
  ];
  await appendFile(
    join(data, 'postgresql.auto.conf'),
    `\n# Written by holdfast-restore. The last word on each setting counts.\n${settings.join('\n')}\n`,
  );
  await rm(join(data, 'standby.signal'), { force: true });
  await writeFile(join(data, 'recovery.signal'), '', { mode: 0o600 });
}

async function verify(repository, backups, say) {
  const problems = [];
  for (const { component, backup, manifest, error } of backups) {
    const before = problems.length;
    if (error !== undefined) problems.push(`${component} ${backup}: ${error.message}`);
    for (const part of manifest?.parts ?? []) {
      try {
        for await (const piece of piecesOf(repository, manifest, part))
          await readPiece(repository, manifest, piece).catch((fault) => {
            if (fault.code !== 'BACKUP_DAMAGED') throw fault;
            problems.push(`${component} ${backup}: ${fault.message}`);
          });
      } catch (fault) {
        if (fault.code !== 'BACKUP_DAMAGED') throw fault;
        problems.push(`${component} ${backup}: ${fault.message}`);
      }
    }
    say(`${component} ${backup}: ${problems.length === before ? 'every piece is as it was written' : 'DAMAGED'}`);
  }
  return problems;
}

/** Every archived log of the components: read, opened, and compared with its digest. */
async function verifyArchives(repository, components, say) {
  const problems = [];
  for (const component of components)
    for (const folder of await repository.store.folders(`wal/${encodeName(component)}/`)) {
      const logs = await openArchive(repository, component, decodeName(folder)).logs();
      for (const { name, read } of logs)
        await read().catch((fault) => {
          if (fault.code !== 'BACKUP_DAMAGED') throw fault;
          problems.push(`${component}, archived log ${name}: ${fault.message}`);
        });
      say(`${component}, ${logs.length} archived logs: ${problems.length === 0 ? 'every one is as it was written' : 'DAMAGED'}`);
    }
  return problems;
}

// ---- the command line

async function readSecret(keyFile, environment) {
  if (keyFile !== undefined)
    return await readFile(keyFile, 'utf8').catch((error) =>
      Promise.reject(new RestoreError('KEY_MISSING', `the key file can not be read: ${error.message}`)),
    );
  if (environment.HOLDFAST_KEY) return environment.HOLDFAST_KEY;
  if (!process.stdin.isTTY)
    throw new RestoreError(
      'KEY_MISSING',
      'the repository is encrypted',
      'Give the recovery key or passphrase by --key-file FILE or HOLDFAST_KEY.',
    );
  const lines = createInterface({ input: process.stdin, output: process.stderr, terminal: true });
  process.stderr.write('recovery key or passphrase (not shown): ');
  lines._writeToOutput = () => undefined;
  const answer = await new Promise((done) => lines.question('', done));
  lines.close();
  process.stderr.write('\n');
  return answer;
}

const usage = `holdfast-restore list|verify|restore REPOSITORY [COMPONENT [BACKUP]] [--into DIR] [--to INSTANT] [--up-to-gap] [--bin-directory DIR] [--key-file FILE] [--json]`;

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      into: { type: 'string' },
      to: { type: 'string' },
      'up-to-gap': { type: 'boolean', default: false },
      'bin-directory': { type: 'string' },
      'key-file': { type: 'string' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const [command, place, component, backupId] = positionals;
  if (values.help) return void process.stdout.write(`${usage}\n`);
  if (!['list', 'verify', 'restore'].includes(command) || place === undefined) throw new RestoreError('USAGE', usage);
  if (values.to !== undefined && !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/.test(values.to))
    throw new RestoreError('USAGE', `"${values.to}" is not an instant with its zone, as 2026-11-20T10:00:00Z`);
  const store = place.startsWith('s3://') ? openBucket(place, process.env) : openDirectory(resolve(place));
  const repository = await openRepository(store, () => readSecret(values['key-file'], process.env));
  const say = (line) => process.stderr.write(`${line}\n`);
  const out = (result, lines) =>
    process.stdout.write(values.json ? `${JSON.stringify(result)}\n` : lines.map((line) => `${line}\n`).join(''));
  const backups = (await listBackups(repository, component)).filter(({ backup }) => backupId === undefined || backup === backupId);
  if (command === 'list') {
    const shown = backups.map(({ component: of, backup, manifest, error }) =>
      error === undefined
        ? {
            component: of,
            backup,
            what: manifest.head.what,
            engine: `${manifest.facts.engine} ${manifest.facts.engineVersion}`,
            consistentAt: new Date(manifest.facts.consistentAtMs).toISOString(),
          }
        : { component: of, backup, error: error.message },
    );
    return out(
      shown,
      shown.map((each) => Object.values(each).join('  ')),
    );
  }
  const target = values.to === undefined ? Number.POSITIVE_INFINITY : Date.parse(values.to);
  const good = backups.filter(({ manifest }) => manifest !== undefined && manifest.facts.consistentAtMs <= target);
  if (command === 'verify') {
    if (backups.length === 0) throw new RestoreError('NOT_FOUND', 'there is no such backup');
    const components = backupId === undefined ? [...new Set(backups.map((each) => each.component))] : [];
    const problems = [...(await verify(repository, backups, say)), ...(await verifyArchives(repository, components, say))];
    out(
      { backups: backups.length, problems },
      problems.length === 0 ? [`${backups.length} backups: every piece is as it was written`] : problems,
    );
    if (problems.length > 0) process.exitCode = 1;
    return;
  }
  if (component === undefined || values.into === undefined) throw new RestoreError('USAGE', usage);
  const [broken] = backups.filter(({ error }) => error !== undefined);
  if (backupId !== undefined && broken !== undefined) throw broken.error;
  const chosen = good.at(-1);
  if (chosen === undefined)
    throw new RestoreError(
      'NOT_FOUND',
      `there is no backup of ${component}${backupId === undefined ? '' : ` named ${backupId}`} that leads there`,
    );
  const options = { into: values.into, to: values.to, upToGap: values['up-to-gap'], binDirectory: values['bin-directory'] };
  const result = await restore(repository, component, chosen, options, say);
  out(result, [`restored ${component} ${result.backup} into ${result.into}`, ...result.notes]);
}

main().catch((error) => {
  const { code, message, hint } =
    error instanceof RestoreError ? error : { code: error.code ?? 'BUG_BROKEN_BELIEF', message: error.stack, hint: '' };
  process.stderr.write(`${code}: ${message}\n${hint === '' || hint === undefined ? '' : `  ${hint}\n`}`);
  process.exitCode = code === 'USAGE' || code?.startsWith?.('ERR_PARSE_ARGS') ? 2 : 1;
});
