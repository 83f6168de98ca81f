import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { expect, test } from "vitest";

import { decodeSeries } from "./series";

/**
 * An answer as the server writes it (`epochal.server.arrow.series_stream`): three queries, of which
 * the first has a series without rows and the second has no rows at all.
 */
function golden(): ArrayBuffer {
  const bytes = readFileSync(fileURLToPath(new URL("series.golden.arrow", import.meta.url)));
  return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
}

test("the server's answer is read query by query and series by series", () => {
  const read = decodeSeries(golden()).map(({ series }) =>
    series.map(({ run, key, nPoints, isExact, lastStep, buckets }) => ({
      name: `${run} ${key}`,
      nPoints,
      isExact,
      lastStep,
      x: [...buckets.x],
      xLast: [...buckets.xLast],
      mean: [...buckets.mean],
      nNan: [...buckets.nNan],
      nPosInf: [...buckets.nPosInf],
    })),
  );

  const none = { x: [], xLast: [], mean: [], nNan: [], nPosInf: [] };
  expect(read).toEqual([
    [
      {
        name: "a loss",
        nPoints: 4,
        isExact: false,
        lastStep: 3,
        x: [0, 2],
        xLast: [1, 3],
        mean: [1.5, 4],
        nNan: [0, 1],
        nPosInf: [0, 0],
      },
      { name: "b loss", nPoints: 0, isExact: true, lastStep: null, ...none },
      {
        name: "c loss",
        nPoints: 1,
        isExact: true,
        lastStep: 7,
        x: [7],
        xLast: [7],
        mean: [5],
        nNan: [0],
        nPosInf: [0],
      },
    ],
    [{ name: "a lr", nPoints: 0, isExact: true, lastStep: null, ...none }],
    [
      {
        name: "a acc",
        nPoints: 1,
        isExact: true,
        lastStep: 1,
        x: [1.5],
        xLast: [1.5],
        mean: [Number.NaN],
        nNan: [0],
        nPosInf: [1],
      },
    ],
  ]);
});

test("columns are read in place, without a copy", () => {
  const bytes = golden();

  expect(decodeSeries(bytes)[0]?.series[0]?.buckets.mean.buffer).toBe(bytes);
});
