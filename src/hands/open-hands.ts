/** The hands that a site's options ask for. Opening touches nothing; the first command does. */
import type { Hands, HandsOptions } from '../contracts/hands.ts';
import type { Host } from '../host/host.ts';
import { localHands } from './local/local-hands.ts';
import { sshHands } from './ssh/ssh-hands.ts';

export function openHands(options: HandsOptions, parts: { readonly host: Host }): Hands {
  return options.kind === 'local' ? localHands(options, parts.host) : sshHands(options, parts.host);
}
