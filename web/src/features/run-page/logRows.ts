/** Where the lines of a log stand, in rows of one height: one each, or as many as a wrapped line takes. */

export interface RowMap {
  readonly nLines: number;
  readonly nRows: number;
  /** Rows above a line. */
  readonly rowOf: (line: number) => number;
  /** The line that a row belongs to. */
  readonly lineAt: (row: number) => number;
}

/** One row a line. */
export function singleRows(nLines: number): RowMap {
  return {
    nLines,
    nRows: nLines,
    rowOf: (line) => line,
    lineAt: (row) => clamp(Math.floor(row), nLines),
  };
}

/** As many rows as each line takes; `rowsOf` gives at least 1. */
export function wrappedRows(nLines: number, rowsOf: (line: number) => number): RowMap {
  const before = new Float64Array(nLines + 1);
  for (let line = 0; line < nLines; line++) before[line + 1] = (before[line] ?? 0) + rowsOf(line);
  return {
    nLines,
    nRows: before[nLines] ?? 0,
    rowOf: (line) => before[Math.max(0, Math.min(line, nLines))] ?? 0,
    lineAt: (row) => {
      let low = 0;
      let high = nLines;
      while (low < high) {
        const middle = (low + high) >> 1;
        if ((before[middle + 1] ?? 0) <= row) low = middle + 1;
        else high = middle;
      }
      return clamp(low, nLines);
    },
  };
}

function clamp(line: number, nLines: number): number {
  return Math.max(0, Math.min(line, nLines - 1));
}

/** Browsers lay out no more than this in one piece: Firefox about 17.8 million px, Chromium 33.5. */
const MAX_HEIGHT_PX = 12_000_000;

/** How content that may be too high for a browser is scrolled. */
export interface Scroll {
  /** What the scrollbar is told. */
  readonly heightPx: number;
  /** Content px that one px of the scrollbar stands for. */
  readonly scale: number;
}

export function scrollOf(contentPx: number, viewPx: number): Scroll {
  const heightPx = Math.min(contentPx, MAX_HEIGHT_PX);
  const room = heightPx - viewPx;
  return { heightPx, scale: room > 0 ? (contentPx - viewPx) / room : 1 };
}
