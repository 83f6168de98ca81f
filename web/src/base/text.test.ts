import { expect, test } from "vitest";

import { own } from "./own";
import { visibleName, visibleText } from "./text";

test.each([
  ["a\u0000b\u001b[31m", "a\ufffdb\ufffd[31m"],
  ["\u202etxt.exe", "\ufffdtxt.exe"],
  ["a\u0085b\u2028c\ufeffd", "a\ufffdb\ufffdc\ufffdd"],
])("what could disturb the page around %j is seen as a sign", (text, seen) => {
  expect(visibleText(text)).toBe(seen);
});

test.each(["می\u200cخواهم", "👩\u200d👩\u200d👧 run", "loss/größe"])(
  "%s is left as it was written",
  (text) => {
    expect(visibleText(text)).toBe(text);
  },
);

test("a name that cannot be seen is named by something else", () => {
  expect(visibleName(" \t", "a1b2c3d4")).toBe("a1b2c3d4");
  expect(visibleName("sunny-river-1", "a1b2c3d4")).toBe("sunny-river-1");
});

test("a name that every object knows is not in a record unless it was put there", () => {
  expect(own({}, "constructor")).toBeUndefined();
  expect(own({ constructor: 2 }, "constructor")).toBe(2);
});
