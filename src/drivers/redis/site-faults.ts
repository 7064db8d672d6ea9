/** What stands in the way of surviving a disaster, told from one look at a server. Pure. */
import type { Reading } from '../../contracts/observation.ts';
import type { RedisContext, ServerView } from './server.ts';
import { readBarrier } from './write-barrier.ts';

type Fault = NonNullable<Reading['faults']>[number];

export function findFaults(view: ServerView, context: RedisContext): readonly Fault[] {
  return [...persistenceFaults(view), ...settingFaults(view, context), ...roleFaults(view)];
}

function persistenceFaults({ state, settings }: ServerView): Fault[] {
  const faults: Fault[] = [];
  if (settings && !state.appendOnly && settings.save === '')
    faults.push({
      severity: 'problem',
      message: 'persistence is off: after a restart the server is empty, and an empty primary wipes its replicas',
      hint: 'CONFIG SET appendonly yes, then CONFIG REWRITE; or set save points.',
    });
  if (!state.appendWriteOk)
    faults.push({
      severity: 'problem',
      message: 'the last write to the append-only file failed',
      hint: 'Look at the space on its disk and at its log.',
    });
  if (!state.snapshotOk)
    faults.push({
      severity: 'problem',
      message: 'the last background save failed',
      hint: 'Look at the space on its disk and at its log; then BGSAVE.',
    });
  if (state.configFile === '')
    faults.push({
      severity: 'problem',
      message: 'the server runs without a configuration file: no role and no fence can outlast a restart',
      hint: 'Start it with a configuration file that it may write.',
    });
  return faults;
}

function settingFaults({ state, settings }: ServerView, context: RedisContext): Fault[] {
  if (settings === undefined)
    return [
      {
        severity: 'problem',
        message: 'CONFIG is not allowed: the site can be watched, and neither fenced nor promoted for good',
        hint: 'Give the user +config, or name one who has it.',
      },
    ];
  const faults: Fault[] = [];
  const bounded = settings.minReplicasToWrite > 0 && settings.minReplicasMaxLagSeconds > 0;
  if (state.role === 'master' && !bounded)
    faults.push({
      severity: 'warning',
      message: 'min-replicas-to-write is 0: cut off, it goes on acknowledging writes, and only a working connection or hands can fence it',
      hint: 'Set min-replicas-to-write: 1 on the component and run holdfast reprotect.',
    });
  if (!settings.serveStaleData)
    faults.push({
      severity: 'warning',
      message: 'replica-serve-stale-data is no: a replica without its primary answers no reads, so what would be lost can not be measured',
      hint: 'CONFIG SET replica-serve-stale-data yes, then CONFIG REWRITE.',
    });
  if (context.replication === 'synchronous' && state.role === 'master')
    faults.push({
      severity: 'warning',
      message: 'Redis acknowledges a write before a replica has it: min-replicas-to-write bounds the loss, it does not rule it out',
      hint: 'Write replication: asynchronous and an honest rpo; clients that need more call WAIT after their writes.',
    });
  if (Number.parseInt(state.version, 10) < 7)
    faults.push({
      severity: 'warning',
      message: `Redis ${state.version} is older than what this driver is tested with`,
      hint: 'Use Redis 7 or Valkey 8.',
    });
  return faults;
}

function roleFaults({ state, settings }: ServerView): Fault[] {
  const faults: Fault[] = [];
  if (state.upstream && !state.upstream.readOnly)
    faults.push({
      severity: 'problem',
      message: 'replica-read-only is no: what is written here is lost at the next copy, and differs from the primary until then',
      hint: 'CONFIG SET replica-read-only yes, then CONFIG REWRITE; holdfast reprotect does both.',
    });
  if (state.upstream?.port === 0)
    faults.push({
      severity: 'problem',
      message: 'it was cut from its former primary and not promoted',
      hint: 'Go on with the failover, or run holdfast reprotect so that it follows again.',
    });
  const barrier = state.role === 'master' && settings ? readBarrier(settings.minReplicasToWrite).barrier : 'none';
  if (barrier !== 'none')
    faults.push({
      severity: 'warning',
      message: barrier === 'fence' ? 'it is fenced: it refuses every write' : 'it is frozen: it refuses every write until it is thawed',
      hint: barrier === 'fence' ? 'Run holdfast reprotect, so that it follows the new primary.' : 'The execution under way thaws it.',
    });
  return faults;
}
