/** Metric keys sorted into the sections of a page. */

export interface Section<Key> {
  readonly name: string;
  readonly keys: readonly Key[];
}

/** The section of keys without a slash. */
export const UNSORTED_SECTION = "charts";

const NATURAL = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

/** Compares as a person sorts: layer.2 before layer.10. */
export function compareNatural(left: string, right: string): number {
  return NATURAL.compare(left, right) || (left < right ? -1 : left > right ? 1 : 0);
}

/** The first part of a key: `train/loss` belongs to `train`. */
export function sectionOf(key: string): string {
  const slash = key.indexOf("/");
  return slash > 0 ? key.slice(0, slash) : UNSORTED_SECTION;
}

/** Returns sections in natural order, those of keys without a slash first, each with its keys in natural order. */
export function sectionsOf<Key extends { readonly key: string }>(keys: readonly Key[]): Section<Key>[] {
  const byName = new Map<string, Key[]>();
  for (const item of keys) {
    const name = sectionOf(item.key);
    const section = byName.get(name);
    if (section === undefined) byName.set(name, [item]);
    else section.push(item);
  }
  const rank = (name: string) => (name === UNSORTED_SECTION ? 0 : 1);
  return [...byName.entries()]
    .sort(([left], [right]) => rank(left) - rank(right) || compareNatural(left, right))
    .map(([name, items]) => ({ name, keys: items.sort((a, b) => compareNatural(a.key, b.key)) }));
}
