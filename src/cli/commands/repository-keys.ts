/**
 * repository add-key, revoke-key: who may open an encrypted repository. Only key slots are written; the repository's own key, and with it every backup, stays as it is. A new key counts only
 * once it was read back and has opened the repository.
 */
import { fail } from '../../base/errors.ts';
import type { CommandContext } from './context.ts';
import { choose, confirmKey, open } from './repository.ts';

export interface AddKeyOptions {
  readonly recoveryKeyFile?: string;
  readonly passphraseFile?: string;
}

export async function addKey(context: CommandContext, name: string | undefined, options: AddKeyOptions): Promise<void> {
  const { recoveryKeyFile, passphraseFile } = options;
  if (recoveryKeyFile !== undefined && passphraseFile !== undefined)
    throw fail('USAGE', { message: '--recovery-key-file and --passphrase-file are two kinds of keys', hint: 'Give one of them.' });
  const { host, spec, opener } = await open(context, 'repositories');
  const repository = choose(spec, name);
  if (passphraseFile === undefined && recoveryKeyFile === undefined && !context.wiring.terminal.interactive)
    throw fail('KEY_NOT_PROVEN', {
      subject: repository.name,
      message: 'the recovery key has to be shown to somebody, and nobody is there',
      hint: 'Run this in a terminal, or give --recovery-key-file PATH and bring that file to a safe place.',
    });
  const passphrase = passphraseFile === undefined ? undefined : await host.secrets.fromFile(passphraseFile);
  const { repository: opened } = await opener.open(repository);
  try {
    const slot = await opened.addSlot(passphrase ? { kind: 'passphrase', passphrase } : { kind: 'recovery' }, (key) =>
      confirmKey(context, host, key, recoveryKeyFile),
    );
    context.answer(`${slot} opens ${repository.name} from now on`, { repository: repository.name, slot });
  } finally {
    await opened.close();
  }
}

export async function revokeKey(context: CommandContext, slot: string, name: string | undefined): Promise<void> {
  const { spec, opener } = await open(context, 'repositories');
  const repository = choose(spec, name);
  const { repository: opened } = await opener.open(repository);
  try {
    await opened.revokeSlot(slot);
    const left = (await opened.slots()).map((each) => each.slot);
    context.answer(`${slot} opens ${repository.name} no more; these do: ${left.join(', ')}`, { repository: repository.name, slot, left });
  } finally {
    await opened.close();
  }
}
