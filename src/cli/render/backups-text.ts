/** Backups for people: the table, one of them whole, and which instants can be reached. Pure. */

import { type CatalogueEntry, provenLevel } from '../../backups/records.ts';
import { formatDuration } from '../../base/durations.ts';
import { formatInstant } from '../../base/instants.ts';
import { formatSize } from '../../base/sizes.ts';
import type { BackupListing, BackupRow } from '../../control/backups/list-backups.ts';
import { type Palette, table } from '../terminal.ts';

const agoText = (atMs: number, nowMs: number): string => `${formatDuration(Math.max(0, nowMs - atMs))} ago`;

function provenText(row: BackupRow, nowMs: number, palette: Palette): string {
  if (row.level === 'none') return palette.warn('unproven');
  return `${palette.good(row.level)} ${palette.dim(row.provenAtMs === undefined ? '' : agoText(row.provenAtMs, nowMs))}`;
}

function keptText(row: BackupRow): string {
  const reasons = [
    ...(row.going ? ['going'] : row.keptBy.slice(0, 2)),
    ...(row.leased ? ['in use'] : []),
    ...(row.lockedUntilMs === undefined ? [] : [`locked until ${formatInstant(row.lockedUntilMs)}`]),
  ];
  return reasons.length === 0 ? 'nothing: it goes at the next prune' : reasons.join('; ');
}

export function listingText(listing: BackupListing, nowMs: number, palette: Palette): string {
  const rows = listing.backups.map((row) => [
    formatInstant(row.atMs),
    row.component,
    row.what,
    row.backupId,
    row.repository,
    formatSize(row.storedBytes),
    provenText(row, nowMs, palette),
    palette.dim(keptText(row)),
  ]);
  const head = ['leads back to', 'component', 'what', 'id', 'in', 'size', 'proven', 'kept by'].map(palette.dim);
  const windows = listing.windows.map(({ component, fromMs, toMs, endsAt, repository }) =>
    fromMs === toMs
      ? `  ${component} from ${repository}: ${formatInstant(fromMs)} only`
      : `  ${component} from ${repository}: any instant from ${formatInstant(fromMs)} to ${formatInstant(toMs)}${endsAt === 'gap' ? palette.bad(' (a gap ends it)') : ''}`,
  );
  return [
    rows.length === 0 ? 'there are no backups yet' : table([head, ...rows]),
    ...(windows.length === 0 ? [] : ['', 'within reach:', ...windows]),
    ...listing.gaps
      .filter(({ byRetention }) => !byRetention)
      .map((gap) => palette.bad(`gap in the log of ${gap.component}: ${gap.from} to ${gap.to} (${gap.why})`)),
    ...listing.unreadable.map(({ object, why }) => palette.bad(`can not be read: ${object}: ${why}`)),
    ...listing.troubles.flatMap(({ repository, message, hint }) => [palette.bad(`${repository}: ${message}`), `  ${hint}`]),
  ].join('\n');
}

export function backupText(entry: CatalogueEntry, repository: string, palette: Palette): string {
  const { backup, proofs, tombstone, leases } = entry;
  const { facts } = backup;
  const archive = facts.archive ? [`  log        from ${facts.archive.first} to ${facts.archive.last} at the least`] : [];
  return [
    `${palette.strong(backup.backupId)}  ${backup.what} of ${backup.component}, in ${repository}`,
    `  leads to   ${formatInstant(facts.consistentAtMs)}${facts.position ? ` (${facts.position.text})` : ''}`,
    `  taken      ${formatInstant(backup.startedAtMs)}, in ${formatDuration(backup.endedAtMs - backup.startedAtMs)}`,
    `  size       ${formatSize(facts.dataBytes)} of data, ${formatSize(backup.storedBytes)} stored in ${backup.pieces} pieces`,
    `  system     ${facts.engine} ${facts.engineVersion}, history ${facts.identity}`,
    ...archive,
    ...(facts.fingerprint ? [`  content    fingerprints of ${facts.fingerprint.entries.length} parts`] : []),
    ...(tombstone ? [palette.warn(`  going      since ${formatInstant(tombstone.atMs)}: ${tombstone.because}`)] : []),
    ...leases.map((lease) => `  in use     by ${lease.holder} (${lease.what}) until ${formatInstant(lease.untilMs)}`),
    `  proven     ${provenLevel(entry) === 'none' ? palette.warn('not yet') : palette.good(provenLevel(entry))}`,
    ...proofs.flatMap((proof) => [
      `  ${formatInstant(proof.atMs)}  wanted ${proof.wanted}, reached ${proof.ok ? palette.good(proof.reached) : palette.bad(proof.reached)}: ${proof.target}${proof.inconclusive ? ` (inconclusive: ${proof.inconclusive})` : ''}`,
      ...proof.checks.map(
        (check) =>
          `      ${check.ok ? palette.good('ok') : palette.bad('failed')}  ${check.level}  ${check.name}: ${palette.dim(check.detail)}`,
      ),
    ]),
  ].join('\n');
}
