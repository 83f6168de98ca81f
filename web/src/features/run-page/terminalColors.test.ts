import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { expect, test } from "vitest";

type Oklch = readonly [lightness: number, chroma: number, hue: number];

/** Relative luminance.  Source: Ottosson, "A perceptual color space for image processing"; WCAG 2.2. */
function luminance([lightness, chroma, hue]: Oklch): number {
  const a = chroma * Math.cos((hue * Math.PI) / 180);
  const b = chroma * Math.sin((hue * Math.PI) / 180);
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  const shown = (part: number) => Math.min(Math.max(part, 0), 1);
  return (
    0.2126 * shown(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s) +
    0.7152 * shown(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s) +
    0.0722 * shown(-0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s)
  );
}

function contrast(left: Oklch, right: Oklch): number {
  const [dark = 0, light = 0] = [luminance(left), luminance(right)].sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
}

/** The colours of a style sheet whose name matches, for the light or the dark theme. */
function colorsIn(file: string, name: RegExp, isDark: boolean): Oklch[] {
  const css = readFileSync(fileURLToPath(new URL(file, import.meta.url)), "utf8");
  const at = css.indexOf(':root[data-theme="dark"]');
  const part = isDark ? css.slice(at) : css.slice(0, at);
  const found = part.matchAll(/--([\w-]+): oklch\(([\d.]+) ([\d.]+) ([\d.]+)\)/g);
  return [...found]
    .filter(([, each = ""]) => name.test(each))
    .map(([, , lightness, chroma, hue]) => [Number(lightness), Number(chroma), Number(hue)]);
}

test.each([false, true])("a terminal's colours can be read on the log, dark: %s", (isDark) => {
  const colors = colorsIn("./terminalColors.css", /^ansi-\d+$/, isDark);
  // The log's own ground, and that of the line under the mouse.
  const grounds = colorsIn("../../ui/tokens.css", /^n-[13]$/, isDark);
  expect([colors.length, grounds.length]).toEqual([16, 2]);
  for (const ground of grounds) {
    for (const color of colors) expect(contrast(color, ground)).toBeGreaterThanOrEqual(4.5);
  }
});
