/**
 * Run colours: one palette for both themes, so a run looks the same by day and at night.
 *
 * The sixteen were found by maximising the smallest CIEDE2000 distance between any two, for normal
 * sight and under protanopia, deuteranopia and tritanopia, with a contrast of at least 3:1 on both
 * backgrounds.  `colors.test.ts` holds them to it.
 */
export const RUN_COLORS = [
  "#156aad",
  "#eb6b63",
  "#0d764e",
  "#aa81c3",
  "#a89200",
  "#c0029b",
  "#049b91",
  "#de0000",
  "#598ffe",
  "#527200",
  "#ca7a9c",
  "#7b66ea",
  "#b5636d",
  "#910fff",
  "#c81b4b",
  "#95507a",
] as const;

/** Dash patterns in pixels, for runs that share a colour: solid first. */
export const DASHES: readonly (readonly number[])[] = [[], [7, 4], [2, 3], [10, 3, 2, 3]];

export interface RunStyle {
  readonly color: string;
  /** Lengths of strokes and gaps in pixels; empty for a solid line. */
  readonly dash: readonly number[];
}

/** The colour of a run, from its id alone: it never changes. */
export function colorOf(runId: string): string {
  return RUN_COLORS[hash(runId) % RUN_COLORS.length] ?? RUN_COLORS[0];
}

/** Returns each run's style.  Runs that share a colour are told apart by dashes, in the order given. */
export function styleRuns(runIds: readonly string[]): Map<string, RunStyle> {
  const used = new Map<string, number>();
  return new Map(
    runIds.map((runId) => {
      const color = colorOf(runId);
      const before = used.get(color) ?? 0;
      used.set(color, before + 1);
      return [runId, { color, dash: DASHES[before % DASHES.length] ?? [] }];
    }),
  );
}

/** FNV-1a with a final mix, so that ids which differ in one character land far apart. */
function hash(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  }
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
