/** What stands in the state at each moment, followed by its watch: the checkers look here, and never disturb whoever works with the state. */
import type { Json } from '../../src/base/json.ts';
import type { StateStore } from '../../src/contracts/state-store.ts';
import type { Plan } from '../../src/plans/plan.ts';
import type { ExecutionHeader } from '../../src/state/execution-state.ts';
import type { JournalEvent } from '../../src/state/journal-events.ts';
import type { PlatformState } from '../../src/state/platform-state.ts';
import type { Place } from './network.ts';

export interface MirroredExecution {
  readonly header: ExecutionHeader<Plan>;
  readonly events: JournalEvent[];
}

export interface MirrorListener {
  onPlatform(before: PlatformState | undefined, now: PlatformState): void;
  onEvent(execution: MirroredExecution, event: JournalEvent): void;
  onBegun(execution: MirroredExecution): void;
  onText(key: string, text: string): void;
}

export class StateMirror {
  readonly executions = new Map<string, MirroredExecution>();
  platform: PlatformState | undefined;
  readonly #open = new Map<string, MirroredExecution>();

  constructor(store: StateStore, listener: MirrorListener) {
    store.watch('', ({ key, value }) => {
      if (value === undefined) return;
      listener.onText(key, JSON.stringify(value));
      if (key === 'platform') {
        const before = this.platform;
        this.platform = value as PlatformState;
        listener.onPlatform(before, this.platform);
      } else if (key.startsWith('executions/')) this.#execution(key.split('/'), value, listener);
    });
  }

  #execution([, id = '', part]: readonly string[], value: Json, listener: MirrorListener): void {
    if (part === undefined) {
      const begun = { header: value as unknown as ExecutionHeader<Plan>, events: [] };
      this.executions.set(id, begun);
      this.#open.set(id, begun);
      listener.onBegun(begun);
    } else if (part === 'events') {
      const execution = this.executions.get(id);
      if (!execution) return;
      const event = value as unknown as JournalEvent;
      execution.events.push(event);
      if (event.type === 'finished') this.#open.delete(id);
      listener.onEvent(execution, event);
    }
  }

  get open(): MirroredExecution[] {
    return [...this.#open.values()];
  }
}

export function hasEnded(execution: MirroredExecution, stepId: string): boolean {
  return execution.events.some((event) => 'stepId' in event && event.stepId === stepId && event.type === 'step-done');
}

/** Where the process stands that runs it now. */
export function placeOf({ events }: MirroredExecution): Place {
  const runner = events.findLast((event) => event.type === 'started' || event.type === 'runner-changed');
  const holder = runner?.type === 'started' || runner?.type === 'runner-changed' ? runner.data.holder : '';
  return holder.includes('/') ? (holder.split('/')[0] as Place) : 'outside';
}
