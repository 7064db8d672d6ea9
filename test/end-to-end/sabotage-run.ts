/** Backs a system up, damages copies of it in every way it knows, and says which of them its proofs noticed. Everything that is started is stopped, also on failure. */
import type { ControlOutcome, Damage } from '../../src/backups/sabotage.ts';
import type { SubjectKind } from './sabotage-subjects.ts';
import { SabotageWorld } from './sabotage-world.ts';

export interface SabotageOptions {
  readonly seed: number;
  /** Which of the system's damages; all unless told. */
  readonly choose?: (damage: Damage) => boolean;
  say(line: string): void;
}

export async function sabotage(kind: SubjectKind, options: SabotageOptions): Promise<readonly ControlOutcome[]> {
  const subject = await kind.start();
  try {
    const world = await SabotageWorld.open();
    try {
      const archive = await subject.startArchive?.(world.repository);
      try {
        const backup = await world.backUp(subject);
        await archive?.afterBackup();
        const damages = subject.damages.filter(options.choose ?? (() => true));
        return await world.runControls(subject, backup, damages, options.seed, options.say);
      } finally {
        await archive?.end();
      }
    } finally {
      await world.close();
    }
  } finally {
    await subject.stop();
  }
}
