/**
 * Brings a server back from a restored copy, at a site whose own data directory was moved aside.
 *
 * Invariant: the copy starts with this machine's own configuration where there was one, and as a primary on the timeline that its recovery began: nothing of what made the copy harmless
 * (archiving off, no standbys) stays in it. Each script can be run again: it goes by what it finds.
 */
import { HoldfastError } from '../../base/errors.ts';
import type { SiteContext } from '../../contracts/driver.ts';
import type { DirectoryReturn } from '../../contracts/site-return.ts';
import type { StepContext } from '../../contracts/verbs.ts';
import { Access } from './access.ts';
import { connectWith } from './client.ts';
import { handsMachine } from './machine.ts';
import type { ComponentOptions, SiteOptions } from './options.ts';
import type { Machine } from './ports.ts';
import { commandFailed } from './run-script.ts';

const scriptTimeoutMs = 60_000;
const startTimeoutMs = 600_000;

/** Arguments 1 and 2: the data directory, and where the one of before lies, or an empty text. */
const adoptScript = `set -eu
here=$1; before=$2
own='archive_mode|synchronous_standby_names|primary_conninfo|primary_slot_name'
if [ -n "$before" ] && [ -e "$before/PG_VERSION" ]; then
  for file in postgresql.conf postgresql.auto.conf pg_hba.conf pg_ident.conf; do
    [ ! -e "$before/$file" ] || cp -p -- "$before/$file" "$here/$file"
  done
  own='synchronous_standby_names|primary_conninfo|primary_slot_name'
fi
conf=$here/postgresql.auto.conf
if [ -e "$conf" ]; then
  umask 077
  { grep -v -E "^[[:space:]]*($own)[[:space:]]*=" "$conf" || :; } >"$conf.holdfast"
  mv -- "$conf.holdfast" "$conf"
fi
rm -f -- "$here/standby.signal" "$here/recovery.signal"
sync
`;
const foundScript = '[ ! -e "$1/PG_VERSION" ] || echo yes';

export function openReturn(context: SiteContext<ComponentOptions, SiteOptions>): DirectoryReturn | undefined {
  const { hands, site, host } = context;
  const directory = site['data-directory'];
  const machine = hands && handsMachine(hands, site, host);
  if (!hands || !machine || directory === undefined) return undefined;
  const sh = async (script: string, args: readonly string[], { signal }: StepContext): Promise<string> => {
    const result = await hands.run({ program: 'sh', args: ['-c', script, 'holdfast', ...args], timeoutMs: scriptTimeoutMs, signal });
    if (result.exitCode !== 0) throw commandFailed(hands, 'a command', result);
    return result.stdout;
  };
  const limitOf = ({ signal }: StepContext) => ({ timeoutMs: startTimeoutMs, signal });
  return {
    kind: 'directory',
    directory,
    async stop(step) {
      if ((await sh(foundScript, [directory], step)) === '') return;
      await stopFor(machine, limitOf(step));
    },
    async serve(before, step) {
      // It may run already: then it has been made fit, and its own lock file is no left-over.
      if (await takesWrites(context, step)) return;
      await sh(adoptScript, [directory, before ?? ''], step);
      await machine.start(limitOf(step));
    },
    serves: (step) => takesWrites(context, step),
  };
}

async function stopFor(machine: Machine, limit: { timeoutMs: number; signal: AbortSignal }): Promise<void> {
  try {
    await machine.stop('orderly', limit);
  } catch (thrown) {
    // What is in the way is moved aside, not thrown away: it need not end in an orderly way.
    if (!(thrown instanceof HoldfastError) || thrown.kind === 'bug') throw thrown;
  }
  await machine.stop('now', limit);
}

async function takesWrites(context: SiteContext<ComponentOptions, SiteOptions>, step: StepContext): Promise<boolean> {
  const access = new Access(context, connectWith(context.host), undefined);
  const limit = { timeoutMs: context.probeTimeoutMs, signal: step.signal };
  try {
    return await access.read('verb', limit, async (connection) => !(await connection.readStatus(limit)).inRecovery);
  } catch (thrown) {
    if (!(thrown instanceof HoldfastError) || thrown.kind === 'bug') throw thrown;
    return false;
  } finally {
    await access.close();
  }
}
