/** Where a search matches in a text, and spans of text split there. */
import type { TextSpan } from "./terminal";

export type TextRange = readonly [from: number, to: number];

/** More in one line would be drawn as one blur. */
const MAX_RANGES = 200;

/** Returns the places where a global expression matches; a match of nothing is none. */
export function rangesIn(text: string, expression: RegExp): TextRange[] {
  const found: TextRange[] = [];
  for (const match of text.matchAll(expression)) {
    if (match[0] !== "") found.push([match.index, match.index + match[0].length]);
    if (found.length >= MAX_RANGES) break;
  }
  return found;
}

export interface MarkedSpan extends TextSpan {
  readonly isMarked: boolean;
}

/** Splits spans so that each lies inside or outside of the ranges, which are sorted and apart. */
export function markSpans(spans: readonly TextSpan[], ranges: readonly TextRange[]): MarkedSpan[] {
  const marked: MarkedSpan[] = [];
  let start = 0;
  let next = 0;
  for (const { text, style } of spans) {
    const end = start + text.length;
    let at = start;
    while (at < end) {
      while ((ranges[next]?.[1] ?? Infinity) <= at) next++;
      const [from, to] = ranges[next] ?? [Infinity, Infinity];
      const isMarked = from <= at;
      const until = Math.min(end, isMarked ? to : from);
      marked.push({ text: text.slice(at - start, until - start), style, isMarked });
      at = until;
    }
    start = end;
  }
  return marked;
}
