/** A map that forgets what was set longest ago. */
export class LruMap<K, V> {
  readonly #map = new Map<K, V>();
  constructor(readonly limit: number) {}

  get(key: K): V | undefined {
    return this.#map.get(key);
  }
  has(key: K): boolean {
    return this.#map.has(key);
  }
  set(key: K, value: V): void {
    this.#map.delete(key);
    this.#map.set(key, value);
    if (this.#map.size > this.limit) {
      const oldest = this.#map.keys().next();
      if (!oldest.done) this.#map.delete(oldest.value);
    }
  }
  delete(key: K): boolean {
    return this.#map.delete(key);
  }
  get size(): number {
    return this.#map.size;
  }
  entries(): IterableIterator<[K, V]> {
    return this.#map.entries();
  }
}
