/** Runs one verb as the engine does: inspect, apply after `absent`, inspect until done; notes survive a controller that is started again. */
import type { Json, JsonObject } from '../../src/base/json.ts';
import type { Site } from '../../src/contracts/driver.ts';
import type { Inspection, SiteVerb, StepContext, Verb } from '../../src/contracts/verbs.ts';
import type { Host } from '../../src/host/host.ts';

export class Step {
  readonly #host: Host;
  readonly #verb: SiteVerb;
  readonly #want: JsonObject;
  readonly #epoch: number;
  readonly #timeoutMs: number;
  note: Json | undefined;
  applied = 0;
  /** What happens before a note is kept: the process was held up there. */
  beforeNote: () => Promise<void> = async () => {};

  constructor(host: Host, verb: SiteVerb, want: JsonObject = {}, options: { epoch?: number; timeoutMs?: number } = {}) {
    this.#host = host;
    this.#verb = verb;
    this.#want = want;
    this.#epoch = options.epoch ?? 2;
    this.#timeoutMs = options.timeoutMs ?? 60_000;
  }

  #context(): StepContext {
    return {
      executionId: 'conformance-1',
      stepId: this.#verb,
      epoch: this.#epoch,
      signal: AbortSignal.timeout(this.#timeoutMs),
      log: this.#host.log,
      progress: () => undefined,
      note: this.note,
      keepNote: async (note) => {
        await this.beforeNote();
        this.note = JSON.parse(JSON.stringify(note)) as Json;
      },
    };
  }

  #of(site: Site): Verb {
    const verb = site.verbs[this.#verb];
    if (!verb) throw new Error(`the site has no verb ${this.#verb}`);
    return verb;
  }

  inspect(site: Site): Promise<Inspection> {
    return this.#of(site).inspect(this.#want, this.#context());
  }

  async apply(site: Site): Promise<void> {
    this.applied += 1;
    await this.#of(site).apply(this.#want, this.#context());
  }

  /** Until done; resolves to the output. */
  async run(site: Site): Promise<JsonObject> {
    const { clock } = this.#host;
    const startedMs = clock.monotonicMs();
    for (;;) {
      const seen = await this.inspect(site);
      if (seen.state === 'done') return seen.output;
      if (seen.state === 'unknown') throw new Error(`${this.#verb}: ${seen.why}`);
      if (clock.monotonicMs() - startedMs > this.#timeoutMs || this.applied > 3) throw new Error(`${this.#verb} is not done: ${seen.why}`);
      if (seen.state === 'absent') await this.apply(site);
      else await clock.sleep(20);
    }
  }
}
