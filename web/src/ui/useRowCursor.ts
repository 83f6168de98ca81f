import { type KeyboardEvent, useState } from "react";

/** Rows that Page up and Page down go. */
const PAGE = 15;

interface RowCursor {
  /** Index of the row that keys act on; -1 where there are no rows. */
  readonly at: number;
  readonly setAt: (index: number) => void;
  /** Moves by arrows, Home, End and pages; returns whether the key was one of them. */
  readonly handleMove: (event: KeyboardEvent) => boolean;
}

/** A place in a list of rows, moved by keys; `onMove` brings the row into sight. */
export function useRowCursor(nRows: number, onMove: (index: number) => void): RowCursor {
  const [chosen, setAt] = useState(0);
  const at = Math.min(chosen, nRows - 1);
  const handleMove = (event: KeyboardEvent): boolean => {
    const target = targetOf(event.key, at, nRows - 1);
    if (target === null || event.altKey || event.ctrlKey || event.metaKey) return false;
    event.preventDefault();
    const next = Math.max(0, Math.min(target, nRows - 1));
    setAt(next);
    if (nRows > 0) onMove(next);
    return true;
  };
  return { at, setAt, handleMove };
}

function targetOf(key: string, at: number, last: number): number | null {
  if (key === "ArrowDown") return at + 1;
  if (key === "ArrowUp") return at - 1;
  if (key === "PageDown") return at + PAGE;
  if (key === "PageUp") return at - PAGE;
  if (key === "Home") return 0;
  return key === "End" ? last : null;
}
