import { describe, expect, it } from 'vitest';
import { barrierSettings, readBarrier } from './write-barrier.ts';

const present = (minReplicasToWrite: number, minReplicasMaxLagSeconds = 10) => ({ minReplicasToWrite, minReplicasMaxLagSeconds });

describe('the write barrier', () => {
  it('keeps the setting from before, also when a freeze turns into a fence', () => {
    const [freeze] = barrierSettings('freeze', present(3));
    const frozen = Number(freeze?.[1]);
    expect(readBarrier(frozen)).toEqual({ barrier: 'freeze', former: 3 });
    const [fence] = barrierSettings('fence', present(frozen));
    expect(readBarrier(Number(fence?.[1]))).toEqual({ barrier: 'fence', former: 3 });
  });

  it('switches the counting of replicas on where it was off, and remembers that it was', () => {
    expect(barrierSettings('fence', present(2, 0))).toEqual([
      ['min-replicas-to-write', '1200000000'],
      ['min-replicas-max-lag', '10'],
    ]);
  });

  it('stays within what Redis takes', () => {
    expect(Number(barrierSettings('fence', present(1_000_000_000))[0]?.[1])).toBeLessThanOrEqual(2_147_483_647);
  });

  it('is not seen in ordinary settings', () => {
    expect(readBarrier(0)).toEqual({ barrier: 'none', former: 0 });
    expect(readBarrier(5)).toEqual({ barrier: 'none', former: 5 });
  });
});
