import { useDeferredValue, useMemo } from "react";

import type { Search } from "@/base/search";
import type { ConsoleLog, LogLine, LogStatus } from "@/data/consoleLog";

const NONE: readonly number[] = [];

/**
 * The sequences of the fetched lines that match, in order.  A line is looked through once for a search,
 * so what a running script adds costs only itself.
 */
export function useMatches(log: ConsoleLog, status: LogStatus, search: Search): readonly number[] {
  const settled = useDeferredValue(search);
  const matches = useMemo(() => remembering(settled.matches), [settled]);
  return useMemo(() => {
    if (settled.expression === null || status.total === null) return NONE;
    const found: number[] = [];
    for (const line of log.loaded()) if (matches(line)) found.push(line.sequence);
    return found;
  }, [log, status, settled, matches]);
}

/** The same test, which looks at each line only once. */
function remembering(matches: (text: string) => boolean): (line: LogLine) => boolean {
  const known = new WeakMap<LogLine, boolean>();
  return (line) => {
    let isMatch = known.get(line);
    if (isMatch === undefined) {
      isMatch = matches(line.shown.text);
      known.set(line, isMatch);
    }
    return isMatch;
  };
}
