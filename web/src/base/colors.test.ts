import { expect, test } from "vitest";

import { colorOf, RUN_COLORS, styleRuns } from "./colors";
import { ciede2000, contrast, distance, type Sight } from "./colorDistance";

const PAIRS = RUN_COLORS.flatMap((left, i) => RUN_COLORS.slice(i + 1).map((right) => [left, right] as const));

// Pairs 1, 7 and 17 of the test data that Sharma, Wu and Dalal publish with the formula.
test.each([
  [[50, 2.6772, -79.7751], [50, 0, -82.7485], 2.0425],
  [[50, 0, 0], [50, -1, 2], 2.3669],
  [[50, 2.5, 0], [73, 25, -18], 27.1492],
] as const)("the colour distance of %j and %j is the published %d", (left, right, expected) => {
  expect(ciede2000(left, right)).toBeCloseTo(expected, 4);
});

test.each([
  ["normal", 11],
  ["protanopia", 7],
  ["deuteranopia", 7],
  ["tritanopia", 7],
] as const)("any two run colours are told apart with %s sight", (sight: Sight, least) => {
  const closest = Math.min(...PAIRS.map(([left, right]) => distance(left, right, sight)));

  expect(closest).toBeGreaterThan(least);
});

// The surfaces of tokens.css, light and dark, as sRGB.
test.each(["#fdfdfe", "#111419"])("every run colour stands out on %s", (surface) => {
  const weakest = Math.min(...RUN_COLORS.map((color) => contrast(color, surface)));

  expect(weakest).toBeGreaterThan(3);
});

test("a run keeps its colour whatever runs beside it", () => {
  const alone = styleRuns(["a1b2c3d4"]).get("a1b2c3d4");
  const crowd = styleRuns(["zzzzzzzz", "a1b2c3d4", "q0q0q0q0"]).get("a1b2c3d4");

  expect(crowd?.color).toBe(alone?.color);
  expect(colorOf("a1b2c3d4")).toBe(alone?.color);
});

test("runs that share a colour differ in their dashes", () => {
  const ids = Array.from({ length: 64 }, (_, i) => `run-${i}`);
  const styles = [...styleRuns(ids).values()];
  const firstTwoOfAColor = RUN_COLORS.map((color) =>
    styles.filter((style) => style.color === color).slice(0, 2),
  );

  for (const pair of firstTwoOfAColor.filter((found) => found.length === 2)) {
    expect(pair[0]?.dash).not.toEqual(pair[1]?.dash);
  }
});
