/** Delays between attempts: 0.5 s, doubling up to 30 s, each somewhere between its half and itself. */
export class Backoff {
  #next: number;
  constructor(
    readonly first = 500,
    readonly max = 30_000,
    readonly random: () => number = Math.random,
  ) {
    this.#next = first;
  }

  next(): number {
    const whole = this.#next;
    this.#next = Math.min(this.max, whole * 2);
    // the first one too is at least `first`: it is the lower bound of the whole row
    return Math.max(this.first, Math.round(whole * (0.5 + this.random() / 2)));
  }

  /** The other side refuses us: asking more often does not help. */
  giveWay(): void {
    this.#next = this.max;
  }

  reset(): void {
    this.#next = this.first;
  }
}
