/** A TCP link that brings everything a fixed time late, in both directions; what is under way when it is cut never arrives. */
import { connect, createServer, type Server, type Socket } from 'node:net';

export class LateLink {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly address = '127.0.0.1';
  #cut = false;
  connections = 0;

  private constructor(target: { host: string; port: number; lateMs: number }) {
    this.#server = createServer((near) => {
      if (this.#cut) return void near.destroy();
      this.connections += 1;
      const far = connect(target.port, target.host);
      this.#join(near, far, target.lateMs);
      this.#join(far, near, target.lateMs);
    });
  }

  static async open(target: { host: string; port: number; lateMs: number }): Promise<LateLink> {
    const link = new LateLink(target);
    await new Promise<void>((resolve) => link.#server.listen(0, link.address, resolve));
    return link;
  }

  get port(): number {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('the link is closed');
    return address.port;
  }

  #join(from: Socket, to: Socket, lateMs: number): void {
    this.#sockets.add(from);
    from.on('data', (data) => setTimeout(() => !this.#cut && to.writable && to.write(data), lateMs));
    from.on('close', () => {
      this.#sockets.delete(from);
      setTimeout(() => to.destroy(), lateMs);
    });
    from.on('error', () => {
      // The other end hears of it by the close.
    });
  }

  cut(): void {
    this.#cut = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
