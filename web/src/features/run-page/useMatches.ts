import { useDeferredValue, useMemo } from "react";

import type { Search } from "@/base/search";
import type { ConsoleLog, LogLine, LogStatus } from "@/data/consoleLog";

const NONE: readonly number[] = [];

/**
 * The sequences of the fetched lines that match, in order.  A piece of the log is looked through once for
 * a search, so what a running script adds costs only itself.
 */
export function useMatches(log: ConsoleLog, status: LogStatus, search: Search): readonly number[] {
  const settled = useDeferredValue(search);
  const matchesIn = useMemo(() => finder(settled.matches), [settled]);
  return useMemo(() => {
    if (settled.expression === null || status.total === null) return NONE;
    return log.pieces().flatMap(matchesIn);
  }, [log, status, settled, matchesIn]);
}

type Piece = readonly (LogLine | undefined)[];

/** Finds the sequences of the lines that match, and remembers what it found. */
function finder(matches: (text: string) => boolean): (piece: Piece) => number[] {
  const known = new WeakMap<Piece, number[]>();
  return (piece) => {
    let found = known.get(piece);
    if (found === undefined) {
      found = piece.flatMap((line) =>
        line !== undefined && matches(line.shown.text) ? [line.sequence] : [],
      );
      known.set(piece, found);
    }
    return found;
  };
}
