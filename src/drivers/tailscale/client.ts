/**
 * Asks Tailscale on a site's machine how its peers are, and the machine itself whether it gets through to a port. The only file that does.
 *
 * Invariant: what is read is the JSON of `tailscale status`; an answer that lacks what is judged is refused, never filled in. Each call ends within its time limit.
 * https://tailscale.com/kb/1080/cli#status
 */
import { z } from 'zod';
import { fail, HoldfastError } from '../../base/errors.ts';
import type { Hands } from '../../contracts/hands.ts';
import { endOfOutput } from '../../contracts/site-command.ts';
import { parseBody } from '../../contracts/workload/answer-check.ts';

const peerShape = z.looseObject({
  DNSName: z.string(),
  TailscaleIPs: z.array(z.string()).nullish(),
  Online: z.boolean(),
  LastSeen: z.string().optional(),
  /** Left out where the key never ends. */
  KeyExpiry: z.string().optional(),
  Expired: z.boolean().default(false),
  CurAddr: z.string().default(''),
  Relay: z.string().default(''),
});

const statusShape = z.looseObject({
  Version: z.string(),
  BackendState: z.string(),
  Self: peerShape.nullish(),
  Health: z.array(z.string()).nullish(),
  CurrentTailnet: z.looseObject({ Name: z.string() }).nullish(),
  Peer: z.record(z.string(), peerShape).nullish(),
});

export type TailscaleStatus = z.output<typeof statusShape>;
export type Peer = z.output<typeof peerShape>;

const statusMaxBytes = 64 * 1_048_576;

export async function readStatus(hands: Hands, program: string, timeoutMs: number, signal: AbortSignal): Promise<TailscaleStatus> {
  const result = await hands.run({ program, args: ['status', '--json'], timeoutMs, signal, maxOutputBytes: statusMaxBytes });
  if (result.exitCode !== 0) {
    const words = endOfOutput(result);
    throw fail(/failed to connect to local tailscaled/i.test(words) ? 'SYSTEM_NOT_SERVING' : 'COMMAND_FAILED', {
      message: `${program} status on ${hands.name} ended with exit code ${result.exitCode}: ${words}`,
    });
  }
  const parsed = statusShape.safeParse(parseBody(result.stdout));
  if (parsed.success) return parsed.data;
  throw fail('SYSTEM_WRONG_ANSWER', {
    message: `${program} status on ${hands.name} did not answer as Tailscale does: ${parsed.error.issues[0]?.path.join('.') || 'no JSON'}`,
  });
}

export type Reach = 'open' | 'refused' | 'silent' | 'no-way';

/** From the machine of the site, by the shell's own TCP: what the regions must reach is seen from there, not from the controller. */
export async function tryPort(hands: Hands, address: string, port: number, timeoutMs: number, signal: AbortSignal): Promise<Reach> {
  try {
    const { exitCode, stderr } = await hands.run({
      program: 'bash',
      args: ['-c', 'exec 3<>"/dev/tcp/$1/$2"', 'holdfast', address, String(port)],
      timeoutMs,
      signal,
    });
    if (exitCode === 0) return 'open';
    if (/refused/i.test(stderr)) return 'refused';
    return /timed out/i.test(stderr) ? 'silent' : 'no-way';
  } catch (error) {
    if (error instanceof HoldfastError && error.code === 'TIMED_OUT') return 'silent';
    throw error;
  }
}
