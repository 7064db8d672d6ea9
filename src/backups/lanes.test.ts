import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { inOrder, Lanes } from './lanes.ts';

const tick = () => new Promise<void>((resolve) => setImmediate(resolve));

describe('lanes', () => {
  it('let in so many at a time, in the order in which they came', async () => {
    const lanes = new Lanes(2);
    const entered: number[] = [];
    const all = [0, 1, 2, 3].map(async (number) => {
      await lanes.enter();
      entered.push(number);
    });
    await tick();
    expect(entered).toEqual([0, 1]);
    lanes.leave();
    await tick();
    expect(entered).toEqual([0, 1, 2]);
    lanes.leave();
    await Promise.all(all);
    expect(entered).toEqual([0, 1, 2, 3]);
  });
});

async function* numbers(count: number, begun: { value: number }): AsyncGenerator<number> {
  for (let number = 0; number < count; number += 1) {
    begun.value = number + 1;
    yield number;
  }
}

describe('inOrder', () => {
  it('gives results in order, with no more than so many under way, however long each takes', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 20 }),
        fc.integer({ min: 1, max: 5 }),
        async (waits, ahead) => {
          let underWay = 0;
          let most = 0;
          const work = async (index: number) => {
            underWay += 1;
            most = Math.max(most, underWay);
            for (let wait = 0; wait < (waits[index] ?? 0); wait += 1) await tick();
            underWay -= 1;
            return index;
          };
          const seen: number[] = [];
          for await (const result of inOrder(numbers(waits.length, { value: 0 }), ahead, work)) seen.push(result);
          expect(seen).toEqual(waits.map((_, index) => index));
          expect(most).toBeLessThanOrEqual(ahead);
        },
      ),
    );
  });

  it('begins nothing that the consumer has not come near to', async () => {
    const begun = { value: 0 };
    for await (const result of inOrder(numbers(100, begun), 3, async (index) => index)) if (result === 4) break;
    expect(begun.value).toBeLessThanOrEqual(8);
  });

  it('fails with the first failure in order, after what is under way has ended', async () => {
    let ended = 0;
    const work = async (index: number) => {
      await tick();
      ended += 1;
      if (index >= 2) throw new Error(`number ${index}`);
      return index;
    };
    const seen: number[] = [];
    const reading = (async () => {
      for await (const result of inOrder(numbers(10, { value: 0 }), 4, work)) seen.push(result);
    })();
    await expect(reading).rejects.toThrow('number 2');
    expect(seen).toEqual([0, 1]);
    const endedThen = ended;
    await tick();
    await tick();
    expect(ended).toBe(endedThen);
  });
});
