import { describe, expect, test } from "vitest";

import { scrollOf, singleRows, wrappedRows } from "./logRows";

describe("rows of a log", () => {
  const heights = [1, 3, 1, 2];
  const rows = wrappedRows(heights.length, (line) => heights[line] ?? 1);

  test("a wrapped line takes its rows, and every row belongs to its line", () => {
    expect(rows.nRows).toBe(7);
    expect(heights.map((_, line) => rows.rowOf(line))).toEqual([0, 1, 4, 5]);
    expect(Array.from({ length: 7 }, (_, row) => rows.lineAt(row))).toEqual([0, 1, 1, 1, 2, 3, 3]);
  });

  test("a place outside is the line nearest to it", () => {
    expect([rows.lineAt(-1), rows.lineAt(99)]).toEqual([0, 3]);
    expect([singleRows(5).lineAt(-1), singleRows(5).lineAt(99), singleRows(5).lineAt(2.7)]).toEqual([
      0, 4, 2,
    ]);
  });

  test("a million wrapped lines are arranged in an instant", () => {
    const many = wrappedRows(1_000_000, (line) => 1 + (line % 3));
    expect(many.nRows).toBe(1_999_999);
    for (const line of [0, 1, 499_999, 999_999]) expect(many.lineAt(many.rowOf(line))).toBe(line);
  });
});

describe("scrolling", () => {
  test("content of any height is reached to its last row", () => {
    for (const contentPx of [100, 5000, 12_000_000, 18_000_000, 900_000_000]) {
      const { heightPx, scale } = scrollOf(contentPx, 700);
      expect(heightPx).toBeLessThanOrEqual(12_000_000);
      const bottom = Math.max(heightPx - 700, 0) * scale;
      expect(bottom).toBeCloseTo(Math.max(contentPx - 700, 0), 3);
    }
  });

  test("what a browser can lay out is scrolled px by px", () => {
    expect(scrollOf(5000, 700)).toEqual({ heightPx: 5000, scale: 1 });
  });
});
