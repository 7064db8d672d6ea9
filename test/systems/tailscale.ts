/**
 * A stand-in for the program `tailscale` on one machine: `status --json` in the shape of the real one (ipnstate.Status of Tailscale 1.7x), read from a file, and the refusals of the real one: no daemon, unknown
 * subcommand, unknown flag, too many words. The addresses of its peers are the tests' own, so that real connections are made to them.
 */
import { chmod, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface StandInPeer {
  readonly name: string;
  readonly address: string;
  readonly online?: boolean;
  readonly keyExpiry?: string;
  readonly expired?: boolean;
}

export interface TailscaleStandIn {
  readonly program: string;
  /** What the daemon says from now on. */
  say(status: {
    readonly peers?: readonly StandInPeer[];
    readonly state?: string;
    readonly health?: readonly string[];
    readonly tailnet?: string;
    readonly self?: StandInPeer;
  }): Promise<void>;
  /** Something that is no status of Tailscale's. */
  sayRaw(text: string): Promise<void>;
  stopDaemon(): Promise<void>;
}

const script = (file: string): string => `#!/bin/sh
if [ "$1" != status ]; then
  echo "tailscale: unknown subcommand: $1" >&2
  exit 1
fi
shift
json=no
for word in "$@"; do
  case "$word" in
    --json|-json) json=yes ;;
    -*) echo "flag provided but not defined: -\${word##*-}" >&2; exit 1 ;;
    *) echo "unexpected non-flag arguments to 'tailscale status': $word" >&2; exit 1 ;;
  esac
done
if [ ! -f '${file}' ]; then
  echo "failed to connect to local tailscaled; it doesn't appear to be running (sudo systemctl start tailscaled ?)" >&2
  exit 1
fi
if [ $json = no ]; then
  echo "100.64.0.1  this-node  someone@  linux  -"
  exit 0
fi
cat '${file}'
`;

export async function makeTailscaleStandIn(directory: string): Promise<TailscaleStandIn> {
  const [program, file] = [join(directory, 'tailscale'), join(directory, 'status.json')];
  await writeFile(program, script(file));
  await chmod(program, 0o755);
  return {
    program,
    say: ({ peers = [], state = 'Running', health = [], tailnet = 'example.com', self }) =>
      writeFile(
        file,
        JSON.stringify({
          Version: '1.76.6-t1edcf9d46',
          TUN: true,
          BackendState: state,
          HaveNodeKey: true,
          AuthURL: '',
          TailscaleIPs: ['100.64.0.1'],
          Self: peerJson(self ?? { name: 'this-node', address: '100.64.0.1' }),
          Health: health.length === 0 ? null : health,
          MagicDNSSuffix: 'tail1234.ts.net',
          CurrentTailnet: { Name: tailnet, MagicDNSSuffix: 'tail1234.ts.net', MagicDNSEnabled: true },
          CertDomains: null,
          Peer: Object.fromEntries(peers.map((peer, at) => [`nodekey:${String(at).padStart(64, '0')}`, peerJson(peer)])),
          User: {},
          ClientVersion: null,
        }),
      ),
    sayRaw: (text) => writeFile(file, text),
    stopDaemon: () => rm(file),
  };
}

function peerJson({ name, address, online = true, keyExpiry, expired }: StandInPeer): object {
  return {
    ID: `n-${name}`,
    HostName: name,
    DNSName: `${name}.tail1234.ts.net.`,
    OS: 'linux',
    UserID: 1,
    TailscaleIPs: [address],
    Addrs: null,
    CurAddr: '',
    Relay: 'fra',
    RxBytes: 0,
    TxBytes: 0,
    Created: '2026-01-01T00:00:00Z',
    LastSeen: '2026-11-20T10:00:00Z',
    Online: online,
    ExitNode: false,
    Active: false,
    ...(keyExpiry === undefined ? {} : { KeyExpiry: keyExpiry }),
    ...(expired ? { Expired: true } : {}),
  };
}
