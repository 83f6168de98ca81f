import { expect, test } from "vitest";

import type { Series } from "@/wire/series";

import type { Place } from "./drawLines";
import { tooltipContent } from "./hover";
import { lineOf, type LineStyle, nearestBucket, unshownOf, viewOf } from "./lines";

interface Bucket {
  readonly x: readonly [number, number];
  readonly low: number;
  readonly high: number;
  readonly mean: number;
  readonly nNan?: number;
}

function series(run: string, buckets: readonly Bucket[]): Series {
  const floats = (of: (bucket: Bucket) => number) => Float64Array.from(buckets, of);
  const counts = (of: (bucket: Bucket) => number) => Int32Array.from(buckets, of);
  const isExact = buckets.every(({ x }) => x[0] === x[1]);
  return {
    run,
    key: "loss",
    nPoints: buckets.length,
    isExact,
    lastStep: null,
    buckets: {
      x: floats(({ x }) => x[0]),
      xLast: floats(({ x }) => x[1]),
      first: floats(({ mean }) => mean),
      last: floats(({ mean }) => mean),
      low: floats(({ low }) => low),
      high: floats(({ high }) => high),
      mean: floats(({ mean }) => mean),
      nPoints: counts(({ x }) => x[1] - x[0] + 1),
      nNan: counts(({ nNan = 0 }) => nNan),
      nPosInf: counts(() => 0),
      nNegInf: counts(() => 0),
    },
  };
}

/** A series of raw points. */
function points(run: string, values: readonly (readonly [number, number])[]): Series {
  return series(
    run,
    values.map(([x, y]) => ({ x: [x, x], low: y, high: y, mean: y, nNan: Number.isNaN(y) ? 1 : 0 })),
  );
}

const style = (runId: string): LineStyle => ({
  runId,
  label: runId,
  color: "#156aad",
  dash: [],
  isAlive: false,
});
const line = (each: Series) => lineOf(each, style(each.run), 0, 1);
const options = { xKind: "step", xLabel: "Step" } as const;

test("a spike of one point in a bucket of a thousand is inside the view", () => {
  const spike = series("a", [
    { x: [0, 999], low: 0, high: 80, mean: 0.08 },
    { x: [1000, 1999], low: 0, high: 0.1, mean: 0.05 },
  ]);

  expect(viewOf([line(spike)], null, false).y[1]).toBeGreaterThan(80);
});

test("a zoomed view is as high as what lies in its range, and as wide as was asked for", () => {
  const run = points("a", [
    [0, 100],
    [10, 1],
    [20, 2],
  ]);

  const view = viewOf([line(run)], [5, 25], false);

  expect(view.x).toEqual([5, 25]);
  expect(view.y[1]).toBeLessThan(10);
});

test("values at or below zero do not bend a logarithmic view, and are counted", () => {
  const lines = [
    line(
      points("a", [
        [0, -1],
        [1, 0],
        [2, 0.01],
        [3, 100],
      ]),
    ),
  ];

  const { y } = viewOf(lines, null, true);

  expect(y[0]).toBeGreaterThan(0.001);
  expect(y[1]).toBeGreaterThan(100);
  expect(unshownOf(lines, true).nNotPositive).toBe(2);
});

test("on a logarithmic axis a bucket with zeros keeps its mean in view", () => {
  const lines = [line(series("a", [{ x: [0, 9], low: 0, high: 100, mean: 4 }]))];
  const view = viewOf(lines, null, true);

  expect(view.y[0]).toBeLessThanOrEqual(4);
  expect(unshownOf(lines, true).nNotPositive).toBe(1);
});

test("values as far apart as numbers go have a view with ends", () => {
  const lines = [
    line(
      points("a", [
        [0, -1.7e308],
        [1, 1.7e308],
      ]),
    ),
  ];

  expect(viewOf(lines, null, false).y.every(Number.isFinite)).toBe(true);
});

test("a series of NaN alone has a view, and its points are counted", () => {
  const lines = [line(points("a", [[0, Number.NaN]]))];

  expect(viewOf(lines, null, false).y).toEqual([0, 1]);
  expect(unshownOf(lines, false).nNan).toBe(1);
});

test.each([
  [-5, 0],
  [4.9, 0],
  [5.1, 1],
  [14, 1],
  [99, 2],
])("the bucket nearest to x %d is number %d", (x, expected) => {
  const run = line(
    points("a", [
      [0, 1],
      [10, 1],
      [20, 1],
    ]),
  );

  expect(nearestBucket(run, x)).toBe(expected);
});

test("the tooltip is sorted by value, with NaN last and the line under the mouse marked", () => {
  const lines = [points("low", [[0, 1]]), points("gone", [[0, Number.NaN]]), points("high", [[0, 9]])].map(
    line,
  );
  const place: Place = { view: { x: [-1, 1], y: [0, 10], isLog: false }, width: 100, height: 100 };

  const { content, nearest } = tooltipContent(lines, place, 0, 88, options);

  expect(content.rows.map(({ label }) => label)).toEqual(["high", "low", "gone"]);
  expect(nearest).toBe("low");
  expect(content.rows.map(({ isNearest }) => isNearest)).toEqual([false, true, false]);
});

test("of a hundred lines the tooltip shows a dozen around the one under the mouse, and says how many more", () => {
  const lines = Array.from({ length: 100 }, (_, i) => line(points(`run-${i}`, [[0, i]])));
  const place: Place = { view: { x: [-1, 1], y: [0, 100], isLog: false }, width: 100, height: 1000 };

  const { content } = tooltipContent(lines, place, 0, 500, options);

  expect(content.rows).toHaveLength(12);
  expect(content.rows.some(({ isNearest }) => isNearest)).toBe(true);
  expect(content.nMore).toBe(88);
});

test("a line that ended long before the mouse has no row", () => {
  const lines = [
    line(points("short", [[0, 1]])),
    line(
      points("long", [
        [0, 1],
        [100, 1],
      ]),
    ),
  ];
  const place: Place = { view: { x: [0, 100], y: [0, 2], isLog: false }, width: 400, height: 100 };

  const { content } = tooltipContent(lines, place, 90, 50, options);

  expect(content.rows.map(({ label }) => label)).toEqual(["long"]);
});
