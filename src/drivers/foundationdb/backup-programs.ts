/** fdbbackup and fdbrestore, as they are called at a site. */
import { fail } from '../../base/errors.ts';
import { endOfOutput } from '../../contracts/site-command.ts';
import { asUnknownOutcome, type CallOptions, runProgram } from './client.ts';
import type { FdbSite } from './site.ts';

/** To its end: what it printed, or SYSTEM_REFUSED with its last words. */
export async function runBackupProgram(
  { context, hands }: FdbSite,
  program: 'fdbbackup' | 'fdbrestore',
  args: readonly string[],
  call: CallOptions & { readonly changes?: boolean },
): Promise<string> {
  const running = runProgram(hands, [...context.site[program], ...args], call);
  const result = await (call.changes === true ? running.catch(asUnknownOutcome) : running);
  if (result.exitCode !== 0)
    throw fail('SYSTEM_REFUSED', {
      message: `${program} ${args[0]} at ${hands.name} ended with ${result.exitCode}: ${endOfOutput(result)}`,
    });
  return result.stdout;
}

/** Where its keys are, for those verbs that go to the store. */
export const credentialArguments = ({ context }: FdbSite): readonly string[] => {
  const file = context.site['blob-credentials'];
  return file === undefined ? [] : ['--blob-credentials', file];
};
