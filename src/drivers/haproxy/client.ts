/**
 * One command to one HAProxy over its runtime API: a connection, a line, an answer until it closes.
 *
 * HAProxy has no exit codes: a change that was made is answered by an empty line, and every refusal is a sentence. So anything but an empty line is an error here. A command whose answer
 * is lost may have been carried out: SYSTEM_OUTCOME_UNKNOWN.
 */
import { fail, HoldfastError } from '../../base/errors.ts';
import type { Host, TcpConnection } from '../../host/host.ts';
import { type AdminAddress, formatAdminAddress } from './options.ts';

/** All that the driver needs of the outside: what a simulated load balancer stands in for. */
export type HaproxyHost = Pick<Host, 'clock'> & { readonly net: Pick<Host['net'], 'connectTcp' | 'connectUnix'> };

export interface CommandLimits {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

const answerBytesMax = 4 * 1024 * 1024;

/** The answer without the empty lines around it. An answer that is a refusal is an error. */
export async function readByCommand(host: HaproxyHost, address: AdminAddress, command: string, limits: CommandLimits): Promise<string> {
  const answer = await exchange(host, address, command, limits, (why, cause) => unanswered(address, command, why, cause));
  const refusal = refusalOf(address, command, answer);
  if (refusal !== undefined) throw refusal;
  return answer;
}

/** Returns once HAProxy has said, by an empty line, that it has made the change. */
export async function changeByCommand(host: HaproxyHost, address: AdminAddress, command: string, limits: CommandLimits): Promise<void> {
  const answer = await exchange(host, address, command, limits, (why, cause) =>
    fail('SYSTEM_OUTCOME_UNKNOWN', {
      message: `"${command}" was sent to ${formatAdminAddress(address)}: ${why}`,
      ...(cause === undefined ? {} : { cause }),
    }),
  );
  if (answer === '') return;
  throw (
    refusalOf(address, command, answer) ??
    fail('SYSTEM_REFUSED', {
      message: `${formatAdminAddress(address)} answers "${command}" with: ${firstLine(answer)}`,
      details: { answer: firstLine(answer) },
    })
  );
}

/** The sentences by which HAProxy refuses, each as the error that it means; undefined for any other answer. */
function refusalOf(address: AdminAddress, command: string, answer: string): HoldfastError | undefined {
  const from = formatAdminAddress(address);
  const details = { answer: firstLine(answer) };
  if (/^No such server/.test(answer))
    return fail('NOT_FOUND', {
      message: `${from} has no such server: ${command}`,
      hint: 'Set server of the site to the name on its server line in the backend.',
      details,
    });
  if (/^(No such backend|Can't find backend|No such proxy)/.test(answer)) {
    return fail('NOT_FOUND', {
      message: `${from} has no such backend: ${command}`,
      hint: 'Set backend to the name of a backend section of that HAProxy.',
      details,
    });
  }
  if (/^Permission denied/.test(answer)) {
    return fail('SYSTEM_WRONG_CREDENTIALS', {
      message: `${from} does not permit "${command}"`,
      hint: 'The line "stats socket" in its configuration needs "level admin".',
      details,
    });
  }
  if (/static LB algorithm/.test(answer)) {
    return fail('SYSTEM_REFUSED', {
      message: `${from} can't change weights: the backend balances by a static algorithm`,
      hint: 'Use balance roundrobin or leastconn, or a consistent hash; static-rr, source and uri with map-based hashing know only 0 % and 100 %.',
      details,
    });
  }
  if (/^Unknown command/.test(answer))
    return fail('SYSTEM_WRONG_ANSWER', { message: `${from} does not know "${command}"`, hint: 'Is this HAProxy 2.4 or newer?', details });
  if (/^HTTP\/1/.test(answer))
    return fail('SYSTEM_WRONG_ANSWER', {
      message: `${from} speaks HTTP: it is no runtime API`,
      hint: 'Use the address of the line "stats socket", not of a frontend.',
      details,
    });
  return undefined;
}

function unanswered(address: AdminAddress, command: string, why: string, cause: unknown): HoldfastError {
  const kind = why.startsWith('no answer') ? 'timeout' : cause instanceof HoldfastError ? cause.details.cause : 'other';
  const parts = {
    message: `${formatAdminAddress(address)} did not answer "${command}": ${why}`,
    details: { cause: kind ?? 'other' },
    ...(cause === undefined ? {} : { cause }),
  };
  return kind === 'timeout' ? fail('TIMED_OUT', parts) : fail('SYSTEM_UNREACHABLE', parts);
}

async function exchange(
  host: HaproxyHost,
  address: AdminAddress,
  command: string,
  limits: CommandLimits,
  ended: (why: string, cause?: unknown) => HoldfastError,
): Promise<string> {
  const connection =
    address.kind === 'unix'
      ? await host.net.connectUnix({ path: address.path, ...limits })
      : await host.net.connectTcp({ host: address.host, port: address.port, ...limits });
  try {
    return (await receive(host, connection, `${command}\n`, limits, ended)).trim();
  } finally {
    connection.close();
  }
}

function receive(
  host: HaproxyHost,
  connection: TcpConnection,
  request: string,
  limits: CommandLimits,
  ended: (why: string, cause?: unknown) => HoldfastError,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const pieces: Uint8Array[] = [];
    let receivedBytes = 0;
    const settle = (action: () => void) => {
      cancel();
      limits.signal.removeEventListener('abort', onAbort);
      action();
    };
    const onAbort = () => settle(() => reject(ended('interrupted', limits.signal.reason)));
    const cancel = host.clock.after(limits.timeoutMs, () => settle(() => reject(ended(`no answer in ${limits.timeoutMs} ms`))));
    limits.signal.addEventListener('abort', onAbort);
    connection.onData((data) => {
      pieces.push(data);
      receivedBytes += data.length;
      if (receivedBytes > answerBytesMax) settle(() => reject(ended(`the answer is longer than ${answerBytesMax} bytes`)));
    });
    connection.onClose((error) =>
      settle(() => {
        // Every answer has at least an empty line: a connection that closes without one was cut.
        if (error !== undefined || receivedBytes === 0) reject(ended('the connection was closed before the answer came', error));
        else resolve(Buffer.concat(pieces).toString('utf8'));
      }),
    );
    if (limits.signal.aborted) onAbort();
    else connection.write(request);
  });
}

function firstLine(answer: string): string {
  return (answer.split('\n')[0] ?? '').slice(0, 200);
}
