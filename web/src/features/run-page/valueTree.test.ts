import { describe, expect, test } from "vitest";

import { type JsonMap, parseJson } from "@/base/json";
import { searchFor } from "@/base/search";

import { countLeaves, fullText, isLong, leafText, treeRows } from "./valueTree";

const mapOf = (text: string) => parseJson(text) as JsonMap;

const CONFIG = mapOf(
  '{"lr": 0.0003, "model": {"width": 64, "layers": [{"n": 1}, {"n": 2}], "act": "gelu"}, "sizes": [1, 2, 3]}',
);

const pathsOf = (search: string, toggled: string[] = []) =>
  treeRows(CONFIG, {
    search: searchFor(search),
    isEverything: search === "",
    toggled: new Set(toggled),
  }).map((row) => row.path);

describe("a tree of values", () => {
  test("a small one is open, in its own order", () => {
    expect(pathsOf("")).toEqual([
      "lr",
      "model",
      "model.width",
      "model.layers",
      "model.layers.0",
      "model.layers.0.n",
      "model.layers.1",
      "model.layers.1.n",
      "model.act",
      "sizes",
    ]);
  });

  test("what is folded is left out", () => {
    expect(pathsOf("", ["model"])).toEqual(["lr", "model", "sizes"]);
  });

  test("a search keeps what matches by key or value, and what leads there", () => {
    expect(pathsOf("gelu")).toEqual(["model", "model.act"]);
    expect(pathsOf("layers.1")).toEqual(["model", "model.layers", "model.layers.1", "model.layers.1.n"]);
    expect(pathsOf("nothing like it")).toEqual([]);
  });

  test("a search looks into what is folded", () => {
    expect(pathsOf("gelu", ["model"])).toEqual(["model", "model.act"]);
  });

  test("a large one is folded at first", () => {
    const inner = Array.from({ length: 500 }, (_, index) => `"k${index}": ${index}`).join(",");
    const large = mapOf(`{"a": {${inner}}, "b": {${inner}}}`);
    const options = { search: searchFor(""), isEverything: true };
    expect(treeRows(large, { ...options, toggled: new Set() })).toHaveLength(2);
    expect(treeRows(large, { ...options, toggled: new Set(["a"]) })).toHaveLength(502);
    expect(countLeaves(large)).toBe(1000);
  });
});

describe("a leaf", () => {
  const leaf = (json: string) => mapOf(`{"x": ${json}}`).get("x") ?? null;

  test.each([
    ["0.123456789", "0.1235", "0.123456789"],
    ["1234567890123456789", "1234567890123456789", "1234567890123456789"],
    ["-3", "−3", "-3"],
    ["1e-07", "1e−7", "1e-07"],
    ["NaN", "NaN", "NaN"],
    ["-Infinity", "−∞", "-Infinity"],
    ["null", "null", "null"],
    ["true", "true", "true"],
    ['"a\\nb"', "a\nb", "a\nb"],
    ["{}", "{}", "{}"],
    ["[0.5, 1]", "[0.5, 1]", "[\n  0.5,\n  1\n]"],
  ])("%s is read as %s and copied in full", (json, shown, copied) => {
    expect(leafText(leaf(json))).toBe(shown);
    expect(fullText(leaf(json))).toBe(copied);
  });

  test("a logged object is one value, in a few words", () => {
    expect(leafText(leaf('{"_type": "histogram", "values": [1, 2], "bins": [0, 1, 2]}'))).toBe(
      "histogram of 2 bins",
    );
    expect(leafText(leaf('{"_type": "image-file", "path": "media/a.png"}'))).toBe("image-file media/a.png");
  });

  test("a long one can be opened", () => {
    expect(isLong(leaf(`"${"x".repeat(65)}"`))).toBe(true);
    expect(isLong(leaf('"two\\nlines"'))).toBe(true);
    expect(isLong(leaf('"short"'))).toBe(false);
  });
});
