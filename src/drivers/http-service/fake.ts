/**
 * A simulated HTTP service with its host: answers behind `Net.http` and obeys behind `Hands`, as a real one does. It can be made to refuse, reset, hang, be slow, fail or
 * answer with a page instead of JSON. Time passes by the clock that it is given.
 *
 * Its host knows two programs: `scale N` and `count`.
 */
import { fail } from '../../base/errors.ts';
import type { Hands, HandsCommand, HandsResult } from '../../contracts/hands.ts';
import type { Clock, HttpRequest, HttpResponse } from '../../host/host.ts';

/** healthy, or what is wrong with it; `checking` answers 200 with components that do not know yet. */
export type FakeServiceMood = 'healthy' | 'checking' | 'failing' | 'html' | 'hung' | 'slow' | 'reset';

export class FakeHttpService implements Hands {
  readonly name = 'simulated host';
  readonly #clock: Clock;
  /** How many run; with none, connections are refused. */
  replicas: number;
  mood: FakeServiceMood = 'healthy';
  slowMs = 200;
  /** While false, the host is cut off: neither answers nor obeys. */
  reachable = true;
  /** How many times it was told to scale. */
  scaleCalls = 0;

  constructor(clock: Clock, replicas: number) {
    this.#clock = clock;
    this.replicas = replicas;
  }

  /** Stands in for `Host.net.http`. */
  readonly http = async (request: HttpRequest): Promise<HttpResponse> => {
    const target = new URL(request.url).host;
    if (!this.reachable || (this.replicas > 0 && this.mood === 'hung')) await this.#silence(request, target);
    if (this.replicas === 0) throw fail('SYSTEM_UNREACHABLE', { message: `${target}: connection refused`, details: { cause: 'refused' } });
    if (this.mood === 'reset') throw fail('SYSTEM_UNREACHABLE', { message: `${target}: connection reset`, details: { cause: 'reset' } });
    if (this.mood === 'slow') {
      if (this.slowMs >= request.timeoutMs) await this.#silence(request, target);
      await this.#clock.sleep(this.slowMs, request.signal);
    }
    return this.#answer(new URL(request.url).pathname);
  };

  #answer(path: string): HttpResponse {
    const json = { 'content-type': 'application/json' };
    if (this.mood === 'failing') return { status: 500, headers: json, body: '{"status":"unhealthy"}' };
    if (this.mood === 'html') return { status: 200, headers: { 'content-type': 'text/html' }, body: '<html><body>Welcome</body></html>' };
    if (path !== '/health/detailed') return { status: 404, headers: json, body: '{}' };
    const status = this.mood === 'checking' ? 'checking...' : 'healthy';
    const body = {
      status: 'healthy',
      components: { database: { status }, cache: { status } },
      replicas: { wanted: this.replicas, ready: this.replicas },
    };
    return { status: 200, headers: json, body: JSON.stringify(body) };
  }

  async #silence(request: HttpRequest, target: string): Promise<never> {
    await this.#clock.sleep(request.timeoutMs, request.signal);
    throw fail('TIMED_OUT', { message: `${target}: no answer within ${request.timeoutMs} ms`, details: { cause: 'timeout' } });
  }

  async run(command: HandsCommand): Promise<HandsResult> {
    await this.check(command.signal);
    if (command.program === 'scale') {
      this.scaleCalls += 1;
      this.replicas = Number(command.args[0]);
      return { exitCode: 0, stdout: '', stderr: '' };
    }
    if (command.program === 'count') return { exitCode: 0, stdout: String(this.replicas), stderr: '' };
    throw fail('HANDS_NO_PROGRAM', { message: `${command.program} is not installed on ${this.name}` });
  }

  async check(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (!this.reachable) throw fail('HANDS_UNREACHABLE', { message: `${this.name} can not be reached` });
  }

  async close(): Promise<void> {
    // Holds nothing open.
  }
}
