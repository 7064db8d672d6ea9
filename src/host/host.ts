/**
 * The only door outside. Everything that is not a pure computation (time, chance, files, network, processes, logging, secrets) comes through
 * a Host, so that the simulator can put its own world behind it. `host/node/` is the real one. Lint bans the raw forms elsewhere in src/.
 */
import type { JsonObject } from '../base/json.ts';
import type { Secret } from '../base/secret.ts';

/** Which start of which machine this is. */
export interface MachineBoot {
  /** Differs after each start of the machine. */
  readonly id: string;
  /** Processes with the same text here read the very same `monotonicMs`: their readings may be compared with each other. */
  readonly monotonicDomain: string;
}

export interface Clock {
  /** Absent where the system does not tell: then nothing is known of other processes' monotonic clocks. */
  readonly boot?: MachineBoot;
  /** Wall-clock time, milliseconds since 1970 UTC. May jump. */
  nowMs(): number;
  /** Milliseconds of a clock that never jumps; only differences mean something. */
  monotonicMs(): number;
  /** As `monotonicMs`, but it also counts the time in which the machine was suspended. Absent where the system does not tell. */
  bootMs?(): number;
  /** Resolves after the time, or rejects with the signal's reason when aborted before. */
  sleep(durationMs: number, signal?: AbortSignal): Promise<void>;
  /** Calls back once after the time; the returned function cancels. */
  after(durationMs: number, callback: () => void): () => void;
}

export interface Random {
  /** A number in [0, 1). */
  next(): number;
  /** Unpredictable bytes, fit for keys. */
  bytes(count: number): Uint8Array;
}

export interface Files {
  readText(path: string): Promise<string>;
  readBytes(path: string): Promise<Uint8Array>;
  /** Writes a new file beside, makes it durable, then renames it over: readers see the old or the new whole. */
  writeAtomically(path: string, content: string | Uint8Array, options?: { mode?: number }): Promise<void>;
  exists(path: string): Promise<boolean>;
  /** With its parents; nothing happens where it exists. `mode` is for what is newly made. */
  makeDirectory(path: string, options?: { mode?: number }): Promise<void>;
  list(path: string): Promise<readonly string[]>;
  /** A file, or a directory with all that is in it; nothing happens where there is none. */
  remove(path: string): Promise<void>;
}

export interface FileFacts {
  /** Relative to what was walked; for `stat` the path itself. */
  readonly path: string;
  readonly kind: 'file' | 'directory' | 'link' | 'other';
  readonly sizeBytes: number;
  readonly modifiedMs: number;
  /** Permission bits. */
  readonly mode: number;
  /** Tells two files of one path apart: a file that was renamed over another has another one. */
  readonly identity: string;
}

export interface FileWriter {
  /** Resolves when the bytes were handed to the system. */
  write(bytes: Uint8Array): Promise<void>;
  /** Puts bytes at a place of their own, several at a time: past the system's cache where they lie in `directMemory`. Not together with `write`. */
  writeAt(bytes: Uint8Array, at: number): Promise<void>;
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** Files too large to be held whole, and what a store of objects needs of a file system. */
export interface FileStreams {
  /** Undefined where there is nothing. A link is not followed. */
  stat(path: string): Promise<FileFacts | undefined>;
  /** The bytes as they are read: at most `chunkBytes` (default 1 MiB) at a time, no further than the consumer has come. `to` is exclusive. */
  read(path: string, options?: { from?: number; to?: number; chunkBytes?: number; signal?: AbortSignal }): AsyncIterable<Uint8Array>;
  /** A new file (an existing one is an error, code FILE_EXISTS) or, with `append`, the end of an existing one. */
  openWriter(path: string, options?: { mode?: number; append?: boolean }): Promise<FileWriter>;
  /**
   * Puts a whole new file in its place at once, never over another one: `exists` where there is one already. Not durable before `syncFileSystem`. It is written beside under another
   * name, or in `temporaryIn` (a directory of the same file system), where what a killed process left is easily found.
   */
  createOnce(path: string, content: Uint8Array, options?: { readonly temporaryIn?: string }): Promise<'created' | 'exists'>;
  /**
   * Memory from which large files go to the disk, and into which they come, without a copy in the system's cache: `createOnce`, `writeAt`, `readInto`. It pays for what is used again and
   * again, piece by piece, each piece at a multiple of 4,096 bytes; it can't be moved to a thread or given back by hand.
   */
  directMemory(bytes: number): Uint8Array;
  /** The content of a file from its beginning, as far as the memory goes. Resolves to the number of bytes. */
  readInto(path: string, memory: Uint8Array): Promise<number>;
  /** One file or directory is durable, with what was written to it before. */
  sync(path: string): Promise<void>;
  /** Everything written to the file system of this path before is durable. */
  syncFileSystem(path: string): Promise<void>;
  /** Everything below a directory, parents before their content, each directory in ascending order of names. Never holds more than one directory's names. */
  walk(directory: string): AsyncIterable<FileFacts>;
  rename(from: string, to: string): Promise<void>;
  link(target: string, path: string): Promise<void>;
  /** A new symbolic link at the path; the target is kept as it is written and need not exist. */
  symbolicLink(target: string, path: string): Promise<void>;
  readLink(path: string): Promise<string>;
  setMode(path: string, mode: number): Promise<void>;
  freeBytes(path: string): Promise<number>;
  /** Removes a directory that has nothing in it. False where it was not empty, or not there. */
  removeEmptyDirectory(path: string): Promise<boolean>;
}

export interface TcpConnection {
  write(data: Uint8Array | string): void;
  /** Everything received from now on; called with each piece. */
  onData(listener: (data: Uint8Array) => void): void;
  /** Called once when the connection is over, with the error that ended it if there was one. */
  onClose(listener: (error?: Error) => void): void;
  /** Between these no data are taken from the network, so that the sender waits. */
  pause?(): void;
  resume?(): void;
  close(): void;
}

/** How the other side is known, and how we are known to it. */
export interface TlsTrust {
  /** PEM of the certificate authority to trust besides the system's. */
  readonly ca?: string;
  /** PEM of our own certificate and its key, where the other side asks for one. */
  readonly certificate?: string;
  readonly key?: Secret;
}

export interface HttpRequest extends TlsTrust {
  readonly method?: string;
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  /** A Unix socket of this machine to send it over: host and port of the url are for its header only. */
  readonly socketPath?: string;
  /** The answer's body is cut after this many bytes. Default 1 MiB. */
  readonly maxBodyBytes?: number;
}

export interface HttpResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** An answer whose body is used while it arrives. */
export interface HttpStream {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** No further read than the consumer has come. A body that is cut off rejects. To stop reading ends the request. */
  readonly body: AsyncIterable<Uint8Array>;
}

export interface Listener {
  /** No more connections; those that there are end. The socket's file is removed. */
  close(): Promise<void>;
}

export interface HttpQuestion {
  readonly method: string;
  /** Without what follows a question mark. */
  readonly path: string;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface HttpListening {
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
  /** One that rejects is answered by 500 and the code of the error. */
  onQuestion(question: HttpQuestion): Promise<HttpAnswer>;
  /** How long a question may take to come in. Default 5 s. */
  readonly questionTimeoutMs?: number;
  /** How long a connection may last in all, however slowly its other end reads. Default 30 s. */
  readonly connectionTimeoutMs?: number;
}

export interface HttpListener extends Listener {
  /** The one that it got. */
  readonly port: number;
}

/** A socket, as Node has it, that gives no new memory for each piece that comes, once it was taken over: a stream of gigabytes costs no garbage. */
export interface SocketWithBuffer {
  /** A `net.Socket` that is not connected. Until it is taken over it does what any does. */
  readonly socket: object;
  /** From now on what comes is handed on from the one buffer, and is good only during the call. False: no more is read before the socket's `resume`. */
  takeOver(onBytes: (bytes: Uint8Array) => boolean): void;
}

/** Errors of Net are HoldfastErrors; `details.cause` is one of `refused`, `reset`, `timeout`, `unreachable`, `name`, `tls`, `other`. */
export interface Net {
  /** With `tls` the connection is encrypted and the other side's certificate was checked against its host name. */
  connectTcp(target: { host: string; port: number; timeoutMs: number; signal?: AbortSignal; tls?: TlsTrust }): Promise<TcpConnection>;
  connectUnix(target: { path: string; timeoutMs: number; signal?: AbortSignal }): Promise<TcpConnection>;
  /**
   * Answers on a socket in the file system, which its owner and its group may use. What a killed process left at the path is replaced; a live one's is an error (SYSTEM_REFUSED).
   * Absent where the world has no sockets.
   */
  listenUnix?(options: { readonly path: string; onConnection(connection: TcpConnection): void }): Promise<Listener>;
  /** Answers over HTTP, one question a connection. SYSTEM_REFUSED where the address can't be had. Absent where the world has no sockets. */
  listenHttp?(listening: HttpListening): Promise<HttpListener>;
  /** A socket for client libraries that want to connect one themselves. Absent where the world has no sockets. */
  socketWithBuffer?(bufferBytes: number): SocketWithBuffer;
  /** Connections are kept open between requests to the same origin. */
  http(request: HttpRequest): Promise<HttpResponse>;
  /**
   * For answers and bodies too large to be held. `timeoutMs` is for the head, and again for each piece of the body, in either direction. `input` instead of `body`: read no faster than
   * the other side takes it; where it fails the request is cut off, and its error is thrown. On a connection of its own.
   */
  httpStream?(request: Omit<HttpRequest, 'maxBodyBytes'> & { readonly input?: AsyncIterable<Uint8Array> }): Promise<HttpStream>;
  /** Sends one datagram and waits for the first answer that `accept` takes. */
  udpExchange(request: {
    host: string;
    port: number;
    data: Uint8Array;
    timeoutMs: number;
    accept: (answer: Uint8Array) => boolean;
    signal?: AbortSignal;
  }): Promise<Uint8Array>;
}

export interface ProcessRequest {
  readonly program: string;
  readonly args: readonly string[];
  /** Added to a small safe environment (PATH, HOME, LANG, TZ); secrets are revealed only here. */
  readonly env?: Readonly<Record<string, string | Secret>>;
  readonly cwd?: string;
  readonly stdin?: string | Uint8Array;
  /** Instead of `stdin`: read no faster than the program takes it. A stream that fails ends the program, and its error is the result; a program that ends early gives the stream up. */
  readonly input?: AsyncIterable<Uint8Array>;
  /** After it the whole process group is killed and the error is TIMED_OUT. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  /** Each stream is cut after this many bytes. Default 1 MiB. */
  readonly maxOutputBytes?: number;
  /** Lets what the program started live on after it ended (for servers): output is not waited for beyond its exit. */
  readonly leaveChildren?: boolean;
}

export interface ProcessResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunningProcess {
  readonly pid: number;
  /** As the program writes it; not read further than the consumer has come. */
  readonly stdout: AsyncIterable<Uint8Array>;
  /** Resolves when there is room for more. */
  write(bytes: Uint8Array): Promise<void>;
  /** No more input. */
  endInput(): void;
  /** Once it has ended, and its output was read or given up. The end of its stderr (64 KiB). */
  readonly ended: Promise<{ readonly exitCode: number; readonly stderr: string }>;
  /** The signal goes to the whole group. */
  signal(name: 'SIGTERM' | 'SIGINT' | 'SIGKILL' | 'SIGQUIT'): void;
}

export interface Processes {
  /** Runs to the end. A non-zero exit is a result; a program that is not there is HANDS_NO_PROGRAM, a time-out TIMED_OUT. */
  run(request: ProcessRequest): Promise<ProcessResult>;
  /** Starts a program whose streams are used while it runs. It is killed when the signal is aborted or the time is over. Lives no longer than this process needs it: a server for good is not started so. */
  start?(
    request: Omit<ProcessRequest, 'stdin' | 'input' | 'maxOutputBytes' | 'leaveChildren'> & { readonly withInput?: boolean },
  ): Promise<RunningProcess>;
  /** Which process this is, in words that another process of the same boot can ask `isGone` about. Absent where the system does not tell. */
  readonly self?: string;
  /** True only where it is certain that the process of that name has ended; false while it lives, and wherever that can't be told. */
  isGone?(self: string): boolean;
}

export interface ThreadRequest {
  /** Of a module of the program: `unpack`. */
  readonly name: string;
  readonly request: JsonObject;
  /** Its memory is moved to the thread: whoever yields a piece does not use it again. */
  readonly input: AsyncIterable<Uint8Array>;
  onProgress(amount: number): void;
}

export interface Threads {
  /** Resolves to what the module made of its input, or rejects as it did; where the input fails, as that did. The input is read a few pieces ahead, no further. */
  run(request: ThreadRequest): Promise<JsonObject>;
}

export interface Log {
  debug(event: string, fields?: JsonObject): void;
  info(event: string, fields?: JsonObject): void;
  warn(event: string, fields?: JsonObject): void;
  error(event: string, fields?: JsonObject): void;
  /** A log whose every line carries these fields. */
  with(fields: JsonObject): Log;
}

export interface SecretSource {
  /** Throws SECRET_MISSING when the variable is unset or empty. */
  fromEnvironment(name: string): Promise<Secret>;
  /** The file's text without a trailing line end. Throws SECRET_MISSING when it can't be read or is empty. */
  fromFile(path: string): Promise<Secret>;
}

export interface Host {
  readonly clock: Clock;
  readonly random: Random;
  readonly files: Files;
  readonly fileStreams: FileStreams;
  readonly net: Net;
  /** Absent where everything runs in one thread. */
  readonly threads?: Threads;
  readonly processes: Processes;
  readonly log: Log;
  readonly secrets: SecretSource;
}
