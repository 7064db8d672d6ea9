/** So many at a time: whoever comes later waits until one of those before has left. The bound on memory. */
export class Lanes {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  async enter(): Promise<void> {
    if (this.#free > 0) {
      this.#free -= 1;
      return;
    }
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  leave(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free += 1;
    else next();
  }
}

/**
 * Results in the order of the input, with up to `ahead` of them under way. The consumer's pace is the pace: nothing is begun that is not within `ahead` of what it has taken.
 * Whoever stops early waits for what is under way, so that nothing goes on behind its back.
 */
export async function* inOrder<Input, Output>(
  inputs: AsyncIterable<Input>,
  ahead: number,
  work: (input: Input) => Promise<Output>,
): AsyncGenerator<Output> {
  const underWay: Promise<Output>[] = [];
  try {
    for await (const input of inputs) {
      const begun = work(input);
      // Looked at in its turn; until then its failure is nobody's surprise.
      begun.catch(() => undefined);
      underWay.push(begun);
      if (underWay.length >= ahead) yield await (underWay.shift() as Promise<Output>);
    }
    while (underWay.length > 0) yield await (underWay.shift() as Promise<Output>);
  } finally {
    await Promise.allSettled(underWay);
  }
}
