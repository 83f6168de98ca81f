import { expect, test } from "vitest";

import { evenTicks, logTicks } from "./ticks";

test.each([
  ["some decades, each", 0.87, 1150, 6, [1, 10, 100, 1000]],
  ["two decades, their parts too", 0.9, 120, 7, [1, 2, 5, 10, 20, 50, 100]],
  ["many decades, a few of them", 5e-13, 2e10, 6, [1e-12, 1e-8, 1e-4, 1, 1e4, 1e8]],
  ["part of a decade, even ones", 3.1, 3.9, 4, [3.2, 3.4, 3.6, 3.8]],
  ["the smallest numbers", 1e-24, 1e-22, 7, [1e-24, 2e-24, 5e-24, 1e-23, 2e-23, 5e-23, 1e-22]],
] as const)("a logarithmic axis over %s", (_what, low, high, most, ticks) => {
  expect(logTicks(low, high, most)).toEqual(ticks);
});

test.each([
  [1e-320, 1e300],
  [1, 1 + Number.EPSILON],
  [1e9, 1e9 + 1e-6],
  [5, 5],
  [1e307, Number.MAX_VALUE],
])("an axis from %d to %d has few ticks, all on it", (low, high) => {
  const ticks = logTicks(low, high, 5);

  expect(ticks.length).toBeLessThanOrEqual(6);
  expect(ticks.every((tick) => tick >= low && tick <= high)).toBe(true);
});

test.each([
  [-0.05, 1.05, 0.25, [0, 0.25, 0.5, 0.75, 1]],
  [0.05, 0.35, 0.1, [0.1, 0.2, 0.3]],
  [-3, 1, 2, [-2, 0]],
])("the ticks from %d to %d that are %d apart are its multiples", (low, high, distance, ticks) => {
  expect(evenTicks(low, high, distance).map((tick) => tick + 0)).toEqual(ticks);
});

test.each([
  [1e17, 1e17 + 32, 1],
  [1, 1 + 4 * Number.EPSILON, 1e-16],
  [-1.7e308, 1.7e308, 1e-3],
])(
  "ticks from %d to %d that are %d apart end, although no number tells them apart",
  (low, high, distance) => {
    expect(evenTicks(low, high, distance).length).toBeLessThanOrEqual(1000);
  },
);
