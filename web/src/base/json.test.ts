import { describe, expect, test } from "vitest";

import { isMap, type JsonMap, JsonNumber, type JsonValue, parseJson, writeJson } from "./json";

function mapOf(text: string): JsonMap {
  const value = parseJson(text);
  if (!isMap(value)) throw new Error("not a map");
  return value;
}

/** What plain JSON would have made of it. */
function plain(value: JsonValue): unknown {
  if (value instanceof JsonNumber) return value.value;
  if (isMap(value)) return Object.fromEntries([...value].map(([key, item]) => [key, plain(item)]));
  return Array.isArray(value) ? value.map(plain) : value;
}

describe("JSON as Python writes it", () => {
  test.each([
    '{"a": [1, -2.5, 3e-7], "b": {"c": null, "d": true, "e": false}, "f": ""}',
    "[]",
    "{}",
    ' [ { } , [ ] , "" ] ',
    '"a \\"quoted\\" \\u00e9 \\ud83d\\ude00 \\\\ \\n"',
    "0",
  ])("reads %s as any JSON reader does", (text) => {
    expect(plain(parseJson(text))).toEqual(JSON.parse(text));
  });

  test("NaN and infinities are numbers", () => {
    expect(plain(parseJson("[NaN, Infinity, -Infinity]"))).toEqual([NaN, Infinity, -Infinity]);
  });

  test("a number keeps every digit it was logged with", () => {
    const map = mapOf('{"big": 9223372036854775807, "float": 0.30000000000000004, "one": 1.0}');
    expect([...map.values()].map((value) => (value as JsonNumber).text)).toEqual([
      "9223372036854775807",
      "0.30000000000000004",
      "1.0",
    ]);
    expect([...map.values()].map((value) => (value as JsonNumber).isInteger)).toEqual([true, false, false]);
  });

  test("keys keep their order and none is special", () => {
    expect([...mapOf('{"10": 1, "2": 2, "__proto__": 3, "constructor": 4}').keys()]).toEqual([
      "10",
      "2",
      "__proto__",
      "constructor",
    ]);
  });

  test.each(["", "{", '{"a" 1}', "[1,]", "[1 2]", '{"a": 1,}', '"a', '"\n"', "01", "nul", "1 2", "- 1"])(
    "%j is refused",
    (text) => {
      expect(() => parseJson(text)).toThrow(SyntaxError);
    },
  );

  test("what is written is read back the same", () => {
    const text = '{"a": [1, {"b": NaN}], "c": {}, "d": [], "e": "\\"\\n"}';
    expect(parseJson(writeJson(parseJson(text)))).toEqual(parseJson(text));
  });
});
