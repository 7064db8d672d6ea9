/** What each command is given, and how it answers. */
import type { Json } from '../../base/json.ts';
import { toJson } from '../../watch/watch-records.ts';
import type { GlobalOptions } from '../session.ts';
import { type Palette, paletteOf } from '../terminal.ts';
import type { Wiring } from '../wiring.ts';

/** 0 done · 1 failed · 2 bad usage or spec · 3 not ready, at risk */
export type ExitCode = 0 | 1 | 2 | 3;

export class CommandContext {
  readonly wiring: Wiring;
  readonly options: GlobalOptions;
  readonly palette: Palette;
  exitCode: ExitCode = 0;

  constructor(wiring: Wiring, options: GlobalOptions) {
    this.wiring = wiring;
    this.options = options;
    this.palette = paletteOf(options.json ? { color: false } : wiring.terminal);
  }

  /** The command's answer: text for people, or with --json one object as the last line. */
  answer(text: string, json: unknown): void {
    this.wiring.terminal.out(this.options.json ? JSON.stringify(toJson(json)) : text);
  }

  /** A line of progress; with --json it goes beside the answer. */
  progress(text: string): void {
    if (this.options.json) this.wiring.terminal.err(text);
    else this.wiring.terminal.out(text);
  }
}

/** Makes a command's action of a function that is given its context first. */
export type Bind = <A extends unknown[]>(
  act: (context: CommandContext, ...args: A) => Promise<void> | void,
) => (...all: unknown[]) => Promise<void>;

export type JsonAnswer = Json;
