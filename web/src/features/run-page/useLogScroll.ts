import {
  type KeyboardEvent,
  type RefObject,
  useCallback,
  useEffect,
  useLayoutEffect,
  useRef,
  useState,
} from "react";

import { type RowMap, scrollOf } from "./logRows";

/** The height of a row of the log, as in logs.css. */
const ROW_PX = 18;
/** Rows made ready above and below what is in sight. */
const SPARE_ROWS = 24;
/** So near to the end it is the end: browsers round. */
const END_PX = 4;

interface LogScroll {
  readonly host: RefObject<HTMLDivElement | null>;
  readonly handleScroll: () => void;
  readonly handleKey: (event: KeyboardEvent) => void;
  /** Height of the whole, for the scrollbar. */
  readonly heightPx: number;
  /** Where the first line that is drawn stands. */
  readonly topPx: number;
  /** Indices of the lines to draw: from `first`, before `last`. */
  readonly first: number;
  readonly last: number;
  readonly isAtEnd: boolean;
  readonly goToEnd: () => void;
  readonly show: (line: number) => void;
}

interface Place {
  readonly scrollTop: number;
  readonly viewPx: number;
}

/**
 * Scrolls lines that may be too many for a browser to lay out.
 *
 * @param start the line to begin at; null for the end.
 */
export function useLogScroll(rows: RowMap, start: number | null): LogScroll {
  const host = useRef<HTMLDivElement>(null);
  const [place, setPlace] = useState<Place>({ scrollTop: 0, viewPx: 0 });
  const [isAtEnd, setAtEnd] = useState(start === null);
  const isFollowing = useRef(start === null);
  /** The line on top and how far it is scrolled out, in rows: what stays when lines above change. */
  const anchor = useRef({ line: start ?? 0, rows: 0 });
  const contentPx = rows.nRows * ROW_PX;
  const { heightPx, scale } = scrollOf(contentPx, place.viewPx);

  const read = useCallback(() => {
    const element = host.current;
    if (element === null) return;
    const viewPx = element.clientHeight;
    const top = (element.scrollTop * scrollOf(rows.nRows * ROW_PX, viewPx).scale) / ROW_PX;
    const line = rows.lineAt(top);
    anchor.current = { line, rows: top - rows.rowOf(line) };
    isFollowing.current = element.scrollTop + viewPx >= element.scrollHeight - END_PX;
    setAtEnd(isFollowing.current);
    setPlace({ scrollTop: element.scrollTop, viewPx });
  }, [rows]);

  const moveTo = useCallback(
    (row: number) => {
      const element = host.current;
      if (element === null) return;
      element.scrollTop = (row * ROW_PX) / scrollOf(rows.nRows * ROW_PX, element.clientHeight).scale;
      read();
    },
    [rows, read],
  );

  // After each change of the lines: the end stays the end, and any other place stays where it is.
  useLayoutEffect(() => {
    if (isFollowing.current) moveTo(rows.nRows);
    else moveTo(rows.rowOf(anchor.current.line) + anchor.current.rows);
  }, [rows, moveTo, heightPx]);

  const latest = useRef(moveTo);
  useEffect(() => {
    latest.current = moveTo;
  });
  const rowsNow = useRef(rows);
  useEffect(() => {
    rowsNow.current = rows;
  });
  useEffect(() => {
    const element = host.current;
    if (element === null) return;
    const observer = new ResizeObserver(() => {
      const { line, rows: part } = anchor.current;
      latest.current(isFollowing.current ? rowsNow.current.nRows : rowsNow.current.rowOf(line) + part);
    });
    observer.observe(element);
    return () => observer.disconnect();
  }, []);

  const topRow = (place.scrollTop * scale) / ROW_PX;
  const nInSight = Math.ceil(place.viewPx / ROW_PX) + 1;
  const first = rows.nLines === 0 ? 0 : rows.lineAt(topRow - SPARE_ROWS);
  const last = place.viewPx === 0 || rows.nLines === 0 ? 0 : rows.lineAt(topRow + nInSight + SPARE_ROWS) + 1;

  return {
    host,
    handleScroll: read,
    handleKey: (event) => {
      const target = targetOf(event.key, topRow, Math.max(1, nInSight - 3), rows.nRows);
      if (target === null || event.altKey || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      moveTo(target);
    },
    heightPx,
    topPx: place.scrollTop + (rows.rowOf(first) - topRow) * ROW_PX,
    first,
    last,
    isAtEnd,
    goToEnd: () => moveTo(rows.nRows),
    show: (line) => {
      const row = rows.rowOf(Math.max(line, 0));
      const isInSight = row >= topRow + 1 && row < topRow + nInSight - 3;
      if (!isInSight) moveTo(Math.max(0, row - Math.floor(nInSight / 3)));
    },
  };
}

/** The browser's own keys would go by px of the scrollbar, which in a very long log skip lines. */
function targetOf(key: string, topRow: number, page: number, nRows: number): number | null {
  if (key === "Home") return 0;
  if (key === "End") return nRows;
  if (key === "PageUp") return Math.max(0, topRow - page);
  return key === "PageDown" ? topRow + page : null;
}
