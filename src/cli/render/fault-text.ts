/** One fault, with what helps against it. */
import type { ReadinessFault } from '../../watch/readiness.ts';
import type { Palette } from '../terminal.ts';

export function faultLine({ severity, message, hint }: ReadinessFault, palette: Palette): string {
  return `  ${severity === 'problem' ? palette.bad('problem') : palette.warn('warning')}  ${message}\n           ${palette.dim(hint)}`;
}
