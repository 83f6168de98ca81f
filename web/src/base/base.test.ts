import { expect, test } from "vitest";

import { formatAgo, formatDuration, formatTick, formatValue } from "./format";
import { searchFor, serverSearch } from "./search";
import { sectionsOf } from "./sections";
import { smooth } from "./smoothing";

test.each([
  [0.42131, "0.4213"],
  [12345, "12,345"],
  [0.00001234, "1.234e−5"],
  [-3.5, "−3.5"],
  [1e9, "1e9"],
  [Number.NaN, "NaN"],
  [Number.NEGATIVE_INFINITY, "−∞"],
])("a value of %d reads as %s", (value, text) => {
  expect(formatValue(value)).toBe(text);
});

test.each([
  [0.25, 0.25, "0.25"],
  [0.075, 0.025, "0.075"],
  [500_000, 100_000, "500k"],
  [2_500_000, 500_000, "2.5M"],
  [0.25, 0.05, "0.25"],
  [0.0002, 0.0001, "2e−4"],
  [2000, 500, "2000"],
  [1e300, 2e299, "1e300"],
  [-2.5e18, 5e17, "−2.5e18"],
  [1.00001e-5, 1e-10, "1.00001e−5"],
])("a tick at %d, %d apart, reads as %s", (value, increment, text) => {
  expect(formatTick(value, increment)).toBe(text);
});

test.each([
  [8040, "2 h 14 m"],
  [45, "45 s"],
  [0.12, "120 ms"],
  [90_000, "1 d 1 h"],
  [3600, "1 h"],
])("a duration of %d seconds reads as %s", (seconds, text) => {
  expect(formatDuration(seconds)).toBe(text);
});

test("a moment an hour and a half back was one hour ago", () => {
  expect(formatAgo(new Date(0), new Date(5_400_000))).toBe("1 h ago");
});

test("a search is plain text until it has a metacharacter, and then a regular expression", () => {
  expect(searchFor("a.b").matches("axb")).toBe(false);
  expect(searchFor("/a.b/").matches("AxB")).toBe(true);
  expect(searchFor("^train/").matches("train/loss")).toBe(true);
  expect(searchFor("^train/").matches("pretrain/loss")).toBe(false);
});

test("an expression that does not compile is looked for as it stands, and says why", () => {
  const search = searchFor("loss(");

  expect(search.matches("loss(x)")).toBe(true);
  expect(search.problem).not.toBeNull();
});

test("the server gets a regular expression between slashes and plain text as it is", () => {
  expect(serverSearch("^run-1")).toBe("/^run-1/");
  expect(serverSearch("run-1")).toBe("run-1");
  expect(serverSearch("  ")).toBeNull();
});

test("keys fall into sections by their first part, in natural order", () => {
  const keys = ["val/loss", "layer/10", "lr", "layer/2", "/odd"].map((key) => ({ key }));

  expect(sectionsOf(keys).map((s) => [s.name, s.keys.map((k) => k.key)])).toEqual([
    ["charts", ["/odd", "lr"]],
    ["layer", ["layer/2", "layer/10"]],
    ["val", ["val/loss"]],
  ]);
});

test("smoothing a constant changes nothing, and a gap neither moves nor spoils its neighbours", () => {
  const smoothed = smooth([0, 1, 2, 3], [5, 5, Number.NaN, 5], 0.9, 3);

  expect([...smoothed].map((value) => Number(value.toFixed(9)))).toEqual([5, 5, Number.NaN, 5]);
});

test("smoothing weighs by distance, so a doubled density looks the same", () => {
  const sparse = smooth([0, 500, 1000], [0, 1, 1], 0.99 ** 2, 1000);
  const w = 0.99;

  const d = w ** 500;
  expect(sparse[2]).toBeCloseTo((0 * d * d + 1 * d + 1) / (d * d + d + 1), 12);
});
