/** What has to be known before a server is made a primary again: every other site of its component was just seen to be a standby, under no higher epoch. One that can't be seen proves nothing. */
import { fail } from '../../base/errors.ts';
import type { StepContext } from '../../contracts/verbs.ts';
import type { Access } from './access.ts';

export async function proveNobodyTookOver(access: Access, context: StepContext): Promise<void> {
  const limit = access.limit(context.signal);
  for (const region of access.otherRegions()) {
    const { status, known } = await access.read(
      'verb',
      limit,
      async (connection) => ({
        status: await connection.readStatus(limit),
        known: await connection.readEpoch(access.context.component, limit),
      }),
      region,
    );
    if (!status.inRecovery || (known?.epoch ?? 0) > context.epoch) {
      throw fail('EXECUTION_NOT_ALLOWED', {
        subject: access.subject,
        message: status.inRecovery
          ? `${region} has seen epoch ${known?.epoch}, ours is ${context.epoch}`
          : `${region} is a primary now: starting ${access.subject} as well would make two`,
        hint: `Make ${access.region} follow ${region} instead: holdfast reprotect.`,
      });
    }
  }
}
