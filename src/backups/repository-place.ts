import type { RepositoryBackend } from '../contracts/repository-backend.ts';
import type { Host } from '../host/host.ts';

/** Where a repository is, or is to be, and whose it is. */
export interface RepositoryPlace {
  readonly backend: RepositoryBackend;
  readonly platform: string;
  readonly host: Pick<Host, 'clock' | 'random' | 'log'>;
  /** How long the store itself keeps what is written, against everybody. */
  readonly lockMs?: number;
  /** Another size of pieces than the usual one. */
  readonly pieceBytes?: number;
}
