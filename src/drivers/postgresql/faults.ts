/** What a look at a server shows to stand in the way of surviving a disaster. */
import type { Reading } from '../../contracts/observation.ts';
import type { Access } from './access.ts';
import type { ServerStatus } from './ports.ts';
import { computeSynchronousState } from './synchronous.ts';

type Fault = NonNullable<Reading['faults']>[number];

export function findFaults(status: ServerStatus, access: Access): readonly Fault[] {
  const faults = [...settingFaults(status)];
  faults.push(...(status.inRecovery ? standbyFaults(status, access) : primaryFaults(status, access)));
  return faults;
}

function* settingFaults({ settings, seesEverything }: ServerStatus): Generator<Fault> {
  if (!seesEverything) {
    yield {
      severity: 'problem',
      message: 'our role lacks pg_monitor: the state of the standbys is hidden from us',
      hint: 'GRANT pg_monitor TO the user of the url.',
    };
  }
  if (settings.wal_log_hints === 'off' && settings.data_checksums === 'off') {
    yield {
      severity: 'warning',
      message: 'wal_log_hints and data checksums are off: a former primary can not be rewound, it has to be copied anew',
      hint: 'Set wal_log_hints = on (needs a restart).',
    };
  }
  if (settings.full_page_writes === 'off') {
    yield {
      severity: 'problem',
      message: 'full_page_writes is off: a crash can damage pages, and a former primary can not be rewound',
      hint: 'Set full_page_writes = on.',
    };
  }
  if (settings.fsync === 'off') {
    yield { severity: 'warning', message: 'fsync is off: the loss of the machine can destroy this copy', hint: 'Set fsync = on.' };
  }
  if (settings.wal_level === 'minimal') {
    yield { severity: 'problem', message: 'wal_level is minimal: no standby can follow', hint: 'Set wal_level = replica.' };
  }
}

function* primaryFaults(status: ServerStatus, access: Access): Generator<Fault> {
  const synchronous = computeSynchronousState(status);
  const listed = status.settings.synchronous_standby_names ?? '';
  if (synchronous.configured && !synchronous.effective) {
    yield {
      severity: 'problem',
      message: `writes wait for a standby that does not answer: synchronous_standby_names is "${listed}" and no such standby is in sync`,
      hint: 'Bring the standby back, or make it an explicit decision to go on without: holdfast reprotect.',
    };
  }
  if (synchronous.names.includes('*') && access.context.replication === 'synchronous') {
    yield {
      severity: 'warning',
      message: 'synchronous_standby_names takes the word of anybody: a dead primary can not be proven fenced by cutting its standbys off',
      hint: 'Name the standbys.',
    };
  }
  yield* memberFaults(status, access);
  yield* slotFaults(status, access);
}

function* memberFaults(status: ServerStatus, access: Access): Generator<Fault> {
  const nameless = status.standbys.filter((standby) => standby.member === 'walreceiver' || standby.member === '');
  if (nameless.length > 0) {
    yield {
      severity: 'problem',
      message: `${nameless.length} standby without a name: it can never be synchronous`,
      hint: `Set application_name in its primary_conninfo, for example ${access.member(access.otherRegions()[0] ?? access.region)}.`,
    };
  }
}

function* slotFaults(status: ServerStatus, access: Access): Generator<Fault> {
  const warnAt = BigInt(Math.round(access.context.options['slot-warning']));
  const members = new Set(access.otherRegions().map((region) => access.member(region)));
  for (const slot of status.slots) {
    if (slot.walStatus === 'lost') {
      yield {
        severity: 'problem',
        message: `slot ${slot.name} has lost log that its standby needs`,
        hint: 'The standby has to be copied anew: holdfast reprotect.',
      };
    } else if (slot.retainedBytes !== null && BigInt(slot.retainedBytes) > warnAt) {
      yield {
        severity: 'problem',
        message: `slot ${slot.name} makes this server keep ${slot.retainedBytes} bytes of its log`,
        hint: 'Bring its standby back or drop the slot, before the disk is full.',
      };
    }
  }
  for (const standby of status.standbys) {
    const known = members.has(standby.member) && access.context.options.slots;
    if (known && !status.slots.some((slot) => slot.active)) {
      yield {
        severity: 'warning',
        message: `${standby.member} streams without a slot: after a long break it may have to be copied anew`,
        hint: 'holdfast reprotect makes the slot.',
      };
    }
  }
}

function* standbyFaults(status: ServerStatus, access: Access): Generator<Fault> {
  if (status.paused) {
    yield { severity: 'problem', message: 'replay is paused on this standby', hint: 'SELECT pg_wal_replay_resume().' };
  }
  const conninfo = status.settings.primary_conninfo;
  // Null: only a superuser may read it.
  if (conninfo === '') {
    yield {
      severity: 'problem',
      message: 'this standby has no primary_conninfo: it follows nobody',
      hint: 'holdfast reprotect makes it follow.',
    };
  } else if (conninfo !== null && !/\bapplication_name\s*=/.test(conninfo)) {
    yield {
      severity: 'warning',
      message: 'primary_conninfo has no application_name: this standby can not be synchronous',
      hint: `Add application_name=${access.member()}.`,
    };
  }
}
