/** Where a process answers, as a person writes it: `9484`, `10.0.1.7:9484`, `[::1]:9484`. */
export interface ListenAddress {
  readonly host: string;
  /** 0: any port that is free. */
  readonly port: number;
}

const loopback = '127.0.0.1';

/** Undefined where the text is no address. A port alone is one of this machine only: who wants to be reached from elsewhere says so. */
export function parseListenAddress(text: string): ListenAddress | undefined {
  const [, bracketed, plain, digits] = /^(?:(?:\[([0-9a-fA-F:.]+)\]|([\w.-]+)):)?(\d{1,5})$/.exec(text.trim()) ?? [];
  const port = Number(digits);
  if (digits === undefined || port > 65_535) return undefined;
  return { host: bracketed ?? plain ?? loopback, port };
}

export function formatListenAddress({ host, port }: ListenAddress): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
