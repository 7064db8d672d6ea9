/**
 * repository add-key, revoke-key: who may open an encrypted repository. Only key slots are written; the repository's own key, and with it every backup, stays as it is. A new key counts only
 * once it was read back and has opened the repository.
 */
import { fail } from '../../base/errors.ts';
import { Secret } from '../../base/secret.ts';
import type { RepositoryOpener } from '../../control/backups/repository-opener.ts';
import type { Host } from '../../host/host.ts';
import type { RepositorySpec } from '../../spec/repository-spec.ts';
import type { CommandContext } from './context.ts';
import { choose, confirmKey, open } from './repository.ts';

export interface AddKeyOptions {
  readonly recoveryKeyFile?: string;
  readonly passphraseFile?: string;
  /** Of the key management service that the spec names. */
  readonly keyService?: boolean;
}

export async function addKey(context: CommandContext, name: string | undefined, options: AddKeyOptions): Promise<void> {
  const { recoveryKeyFile, passphraseFile } = options;
  if ([recoveryKeyFile, passphraseFile, options.keyService].filter((given) => given !== undefined).length > 1)
    throw fail('USAGE', {
      message: '--recovery-key-file, --passphrase-file and --key-service are three kinds of keys',
      hint: 'Give one of them.',
    });
  const { host, spec, opener } = await open(context, 'repositories');
  const repository = choose(spec, name);
  if (options.keyService) return addServiceKey(context, opener, repository, host);
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

/** The spec names the service already, and it does not open the repository yet: it is opened by its recovery key or a passphrase, which is asked for. */
async function addServiceKey(context: CommandContext, opener: RepositoryOpener, repository: RepositorySpec, host: Host): Promise<void> {
  const { keyVault } = opener.openersOf(repository);
  if (keyVault === undefined)
    throw fail('USAGE', {
      message: `the spec names no key management service for ${repository.name}`,
      hint: 'Write encryption: { key-service: KEY }.',
    });
  try {
    const secret = await readOpeningKey(context, host);
    const { repository: opened } = await opener.open({ ...repository, encryption: { kind: 'key', secret } });
    try {
      const slot = await opened.addVaultSlot(keyVault);
      context.answer(`${slot} opens ${repository.name} from now on, by ${keyVault.name}`, { repository: repository.name, slot });
    } finally {
      await opened.close();
    }
  } finally {
    await keyVault.close();
  }
}

async function readOpeningKey({ wiring }: CommandContext, host: Host): Promise<Secret> {
  if (wiring.environment.HOLDFAST_KEY !== undefined) return host.secrets.fromEnvironment('HOLDFAST_KEY');
  const typed = wiring.terminal.interactive ? await wiring.terminal.ask('Recovery key or passphrase of the repository: ') : undefined;
  if (typed === undefined || typed.trim() === '')
    throw fail('KEY_MISSING', {
      message: 'the repository has to be opened before another key can open it',
      hint: 'Give its recovery key or passphrase in HOLDFAST_KEY, or run this in a terminal.',
    });
  return new Secret(typed.trim(), 'typed');
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
