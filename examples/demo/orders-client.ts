/**
 * The demo's customer: places numbered orders, one after the other, at whatever address the platform's DNS name has now, and remembers each acknowledgement with its time. An order that
 * fails is placed again until it is acknowledged; numbers are idempotent, so nothing is counted twice.
 */
import { Resolver } from 'node:dns/promises';
import { Agent, request } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';

export interface Acknowledgement {
  readonly number: number;
  readonly atMs: number;
  readonly region: string;
}

export interface OrdersClientOptions {
  readonly nameServer: string;
  readonly name: string;
  readonly port: number;
  readonly everyMs: number;
}

const attemptTimeoutMs = 1_000;
const retryEveryMs = 20;

export class OrdersClient {
  readonly #options: OrdersClientOptions;
  readonly #resolver: Resolver;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  readonly acknowledgements: Acknowledgement[] = [];
  lastError = '';
  #address: string | undefined;
  #resolvedUntilMs = 0;
  #stopped = false;
  #running: Promise<void> | undefined;

  constructor(options: OrdersClientOptions) {
    this.#options = options;
    this.#resolver = new Resolver({ timeout: 500, tries: 2 });
    this.#resolver.setServers([options.nameServer]);
  }

  start(): void {
    this.#running = this.#placeOrders();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
    this.#agent.destroy();
  }

  get last(): Acknowledgement | undefined {
    return this.acknowledgements.at(-1);
  }

  /** The first acknowledgement after an instant. */
  firstAfter(atMs: number): Acknowledgement | undefined {
    return this.acknowledgements.find((each) => each.atMs > atMs);
  }

  /** The longest time without an acknowledgement between two instants, in milliseconds. */
  longestGapMs(fromMs: number, toMs: number): number {
    const times = [fromMs, ...this.acknowledgements.map((each) => each.atMs).filter((atMs) => atMs > fromMs && atMs < toMs), toMs];
    return Math.max(...times.slice(1).map((atMs, index) => atMs - (times[index] as number)));
  }

  async #placeOrders(): Promise<void> {
    for (let number = 1; !this.#stopped; number += 1) {
      while (!this.#stopped) {
        try {
          const region = await this.#place(number);
          this.acknowledgements.push({ number, atMs: Date.now(), region });
          break;
        } catch (error) {
          this.lastError = error instanceof Error ? error.message : String(error);
          await delay(retryEveryMs);
        }
      }
      await delay(this.#options.everyMs);
    }
  }

  /** As a resolver would: the answer is kept for its TTL, and asked for again after that. */
  async #resolve(): Promise<string> {
    if (this.#address !== undefined && Date.now() < this.#resolvedUntilMs) return this.#address;
    const [answer] = await this.#resolver.resolve4(this.#options.name, { ttl: true });
    if (!answer) throw new Error(`${this.#options.name} has no address`);
    this.#address = answer.address;
    this.#resolvedUntilMs = Date.now() + answer.ttl * 1_000;
    return answer.address;
  }

  async #place(number: number): Promise<string> {
    const host = await this.#resolve();
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const body = JSON.stringify({ number });
    const sent = request(
      {
        host,
        port: this.#options.port,
        method: 'POST',
        path: '/orders',
        agent: this.#agent,
        timeout: attemptTimeoutMs,
        headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
      },
      (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (piece: string) => {
          text += piece;
        });
        response.on('end', () => {
          if (response.statusCode !== 200) return reject(new Error(`HTTP ${response.statusCode}: ${text.slice(0, 200)}`));
          resolve(String((JSON.parse(text) as { region?: unknown }).region));
        });
        response.on('error', reject);
      },
    );
    sent.on('timeout', () => sent.destroy(new Error(`no answer within ${attemptTimeoutMs} ms`)));
    sent.on('error', reject);
    sent.end(body);
    return promise;
  }
}
