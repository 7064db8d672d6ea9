/** Hands on this machine and nothing more: for tests of drivers, which must not depend on how hands are chosen or reached. */
import type { Hands } from '../../src/contracts/hands.ts';
import type { Host } from '../../src/host/host.ts';

export function plainHands(host: Host): Hands {
  return {
    name: 'local',
    run: (command) => host.processes.run(command),
    check: async (signal) => {
      await host.processes.run({ program: 'true', args: [], timeoutMs: 5_000, signal });
    },
    close: async () => {},
  };
}
