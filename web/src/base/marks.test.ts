import { expect, test } from "vitest";

import { markSpans, rangesIn } from "./marks";
import { searchFor } from "./search";

const red = { color: 1 };
const spans = [
  { text: "loss=", style: {} },
  { text: "nan nan", style: red },
];
const marksOf = (search: string) => {
  const { expression } = searchFor(search);
  if (expression === null) return [];
  return markSpans(spans, rangesIn("loss=nan nan", expression)).map((span) =>
    span.isMarked ? `[${span.text}]` : span.text,
  );
};

test.each([
  ["nan", ["loss=", "[nan]", " ", "[nan]"]],
  ["S=N", ["los", "[s=]", "[n]", "an nan"]],
  ["[aeiou]", ["l", "[o]", "ss=", "n", "[a]", "n n", "[a]", "n"]],
  ["x*", ["loss=", "nan nan"]],
  ["loss=nan nan", ["[loss=]", "[nan nan]"]],
  [".", ["loss=", "nan nan"]],
  ["(", ["loss=", "nan nan"]],
])("%s is marked where it is, colours kept", (search, expected) => {
  expect(marksOf(search)).toEqual(expected);
});

test("splitting changes no text and no style", () => {
  const marked = markSpans(spans, [[3, 7]]);
  expect(marked.map((span) => span.text).join("")).toBe("loss=nan nan");
  expect(
    marked
      .filter((span) => span.style === red)
      .map((span) => span.text)
      .join(""),
  ).toBe("nan nan");
});
