/** The controllers in a few lines: who is there, who leads, whose word counts, and from where this was looked at. */
import { formatDuration } from '../../base/durations.ts';
import { formatInstant } from '../../base/instants.ts';
import type { ControllerStatus, FleetStatus } from '../../control/fleet/fleet-status.ts';
import type { Palette } from '../terminal.ts';
import { faultLine } from './fault-text.ts';

function controllerLine(controller: ControllerStatus, cutOff: boolean, palette: Palette): string {
  const { region, present, leads, counted, notCounted, version, specDigest, says } = controller;
  const name = controller.controller ?? 'nobody';
  if (cutOff) return `  ${region}  ${palette.dim(`${name}, as it was last known`)}`;
  if (!present) return `  ${region}  ${palette.warn(`not there: ${notCounted}`)}`;
  const word = counted
    ? Object.entries(says ?? {})
        .map(([of, state]) => `${of} ${state}`)
        .join(', ')
    : palette.warn(`does not count: ${notCounted}`);
  const what = version === undefined ? '' : palette.dim(`  version ${version}, spec ${specDigest?.slice(0, 8)}`);
  return `  ${region}  ${name}${leads ? palette.strong(' leads') : ''}  ${word}${what}`;
}

export function fleetLines(fleet: FleetStatus, palette: Palette): string[] {
  const { cutOff, view, controllers, needed } = fleet;
  const from = `seen from ${view.region ?? 'this machine'} by ${view.by}, now`;
  const head = cutOff
    ? [
        palette.bad(
          `CUT OFF: this is this machine's own view; ${cutOff.asOfMs === undefined ? 'nothing is known here of the state' : `what it knows of the state is of ${formatInstant(cutOff.asOfMs)}, ${formatDuration(Math.max(0, view.atMs - cutOff.asOfMs))} ago`}`,
        ),
      ]
    : [];
  return [
    ...head,
    `${palette.dim(from)}`,
    `controllers (${needed} of ${controllers.length} make a majority):`,
    ...controllers.map((each) => controllerLine(each, cutOff !== undefined, palette)),
    ...fleet.faults.map((fault) => faultLine(fault, palette)),
  ];
}
