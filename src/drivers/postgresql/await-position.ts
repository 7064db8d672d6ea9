/** Waits until a standby has received and applied everything up to a position. Only looks: nothing is applied, so nothing is left behind when the process dies. */
import { fail } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import type { Position } from '../../contracts/observation.ts';
import type { Verb } from '../../contracts/verbs.ts';
import type { Access } from './access.ts';
import { formatLsn, parseLsn, positionAt } from './lsn.ts';

export function awaitPositionVerb(access: Access): Verb {
  return {
    async inspect(want, context) {
      const position = wantedPosition(want);
      const limit = access.limit(context.signal);
      const status = await access.read('verb', limit, (connection) => connection.readStatus(limit));
      if (status.systemIdentifier !== position.history) {
        throw fail('SYSTEM_WRONG_IDENTITY', {
          subject: access.subject,
          message: `the position belongs to system ${position.history}; ${access.subject} is system ${status.systemIdentifier}`,
        });
      }
      const received = parseLsn(status.lsn);
      const applied = status.inRecovery ? parseLsn(status.replayLsn ?? '0/0') : received;
      const target = BigInt(position.offset);
      if (received >= target && applied >= target) {
        return { state: 'done', output: { position: positionAt(status.systemIdentifier, status.timeline, applied) } };
      }
      const held = status.paused ? '; replay is paused' : status.inRecovery && !status.receiver ? '; it receives from nobody' : '';
      return { state: 'pending', why: `applied ${formatLsn(applied)}, received ${formatLsn(received)} of ${position.text}${held}` };
    },
    async apply() {
      throw fail('BUG_BROKEN_BELIEF', { message: 'await-position only waits: there is nothing to apply' });
    },
  };
}

function wantedPosition(want: JsonObject): Position {
  const position = want['position'] as (Position & JsonObject) | undefined;
  if (typeof position?.offset !== 'string' || typeof position.history !== 'string') {
    throw fail('BUG_BROKEN_BELIEF', { message: `await-position needs a position, not ${JSON.stringify(want['position'])}` });
  }
  return position;
}
