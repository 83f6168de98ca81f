import { describe, expect, test } from "vitest";

import { renderLine, textWidth } from "./terminal";

const ESC = "\u001b";
const textOf = (raw: string) => renderLine(raw).text;

describe("a console line is what a terminal would show", () => {
  test.each([
    ["a plain line", "epoch 1", "epoch 1"],
    ["nothing", "", ""],
    ["a progress bar is its last state", "  0%|   |\r 50%|█▌ |\r100%|███|", "100%|███|"],
    ["a shorter redraw leaves the end of a longer one", "abcdef\rxyz", "xyzdef"],
    ["unless it erases it", `abcdef\rxyz${ESC}[K`, "xyz"],
    ["erasing the whole line", `abcdef${ESC}[2K\rxyz`, "xyz"],
    ["erasing the beginning", `abcdef\rab${ESC}[1K`, "   def"],
    ["a carriage return at the end keeps what was written", "done\r", "done"],
    ["Windows line ends", "done\r\r", "done"],
    ["backspace", "ab\b\bxy", "xy"],
    ["a tab goes to the next column of eight", "a\tb", "a       b"],
    ["moving the cursor", `abc${ESC}[2Dx${ESC}[5Gy`, "axc y"],
    ["a window title is not text", `${ESC}]0;title\u0007text`, "text"],
    ["a link is its text", `${ESC}]8;;https://x.org${ESC}\\here${ESC}]8;;${ESC}\\`, "here"],
    ["an unknown sequence is skipped", `${ESC}[?25lspin${ESC}[?25h`, "spin"],
    ["a cut sequence is skipped", `text${ESC}[3`, "text"],
    ["a bell is silent", "ding\u0007", "ding"],
    ["half of a wide character that is overwritten is blank", "漢字\rx", "x 字"],
    ["an accent stays on its letter", "cafe\u0301\rC", "Cafe\u0301"],
  ])("%s", (_, raw, expected) => {
    expect(textOf(raw)).toBe(expected);
  });

  test("a progress bar of a million redraws is its last state, quickly", () => {
    const redraws = Array.from({ length: 1_000_000 }, (_, index) => `\rstep ${index}`).join("");
    expect(textOf(redraws)).toBe("step 999999");
  });

  test("a cursor sent far away does not fill the memory", () => {
    expect(renderLine(`${ESC}[999999999Gx`).width).toBeLessThan(200_000);
  });
});

describe("colours", () => {
  const stylesOf = (raw: string) => renderLine(raw).spans.map(({ text, style }) => [text, style]);

  test("are kept for the text they were set for", () => {
    expect(stylesOf(`a${ESC}[1;31mb${ESC}[0mc`)).toEqual([
      ["a", {}],
      ["b", { isBold: true, color: 1 }],
      ["c", {}],
    ]);
  });

  test.each([
    ["92", { color: 10 }],
    ["44", { background: 4 }],
    ["103", { background: 11 }],
    ["38;5;9", { color: 9 }],
    ["38;5;196", { color: "#ff0000" }],
    ["48;5;244", { background: "#808080" }],
    ["38;2;1;2;300", { color: "#0102ff" }],
    ["2;3;4;7;9", { isDim: true, isItalic: true, isUnderlined: true, isInverse: true, isStruck: true }],
  ])("code %s", (codes, style) => {
    expect(stylesOf(`${ESC}[${codes}mx`)).toEqual([["x", style]]);
  });

  test("are taken back one by one", () => {
    expect(stylesOf(`${ESC}[31;42mx${ESC}[39my${ESC}[49mz`)).toEqual([
      ["x", { color: 1, background: 2 }],
      ["y", { background: 2 }],
      ["z", {}],
    ]);
  });
});

test("a wide character takes two columns, an accent none", () => {
  expect([textWidth("abc"), textWidth("漢字"), textWidth("e\u0301"), textWidth("🚀")]).toEqual([3, 4, 1, 2]);
});
