/** The axes of a line chart: where ticks stand and what they say. */
import type uPlot from "uplot";

import {
  formatCount,
  formatDateTime,
  formatDuration,
  formatTick,
  formatTimeTick,
  formatValue,
} from "@/base/format";

/** What the x axis counts. */
export type XKind = "step" | "relative" | "time" | "metric";

const SECONDS = [
  0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800,
  3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800, 2_592_000,
];
const WHOLE = Array.from({ length: 16 }, (_, power) => [1, 2, 5].map((unit) => unit * 10 ** power)).flat();

/** How a tick of the x axis reads. */
function xTick(kind: XKind, value: number, increment: number): string {
  if (kind === "relative") return formatDuration(value);
  if (kind === "time") return formatTimeTick(value, increment);
  return formatTick(value, increment);
}

/** How a place on the x axis reads where it is pointed at: to the full. */
export function describeX(kind: XKind, label: string, low: number, high: number): string {
  const one = (value: number) => {
    if (kind === "relative") return formatDuration(value);
    if (kind === "time") return formatDateTime(new Date(value * 1000));
    return kind === "step" ? formatCount(value) : formatValue(value, 6);
  };
  const [first, last] = [one(low), one(high)];
  const place = first === last ? first : `${first} – ${last}`;
  return kind === "time" ? place : `${label} ${place}`;
}

/** A CSS custom property of the page as it is now. */
function token(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** The font of tick labels, as a canvas wants it. */
function axisFont(): string {
  return `${token("--text-axis")} ${token("--font-sans")}`;
}

const CHARACTER_PX = 6.4;

/** Returns the two axes; colours are read when they are drawn, so a change of theme needs only a redraw. */
export function axesOf(kind: XKind): uPlot.Axis[] {
  const common = {
    stroke: () => token("--text-faint"),
    font: axisFont(),
    ticks: { show: false },
    grid: { stroke: () => token("--grid"), width: 1 },
    border: { show: false },
  };
  const increments = kind === "relative" ? SECONDS : kind === "step" ? WHOLE : undefined;
  return [
    {
      ...common,
      size: 22,
      gap: 4,
      space: 48,
      grid: { show: false },
      ...(increments === undefined ? {} : { incrs: increments }),
      values: (_plot, splits, _axis, _space, increment) =>
        splits.map((value) => xTick(kind, value, increment)),
    },
    {
      ...common,
      gap: 6,
      space: 30,
      size: (_plot, values) => {
        const longest = (values as (string | null)[] | null)?.reduce(
          (n, text) => Math.max(n, text?.length ?? 0),
          0,
        );
        return Math.ceil((longest ?? 4) * CHARACTER_PX) + 12;
      },
      values: (_plot, splits, _axis, _space, increment) =>
        // On a logarithmic axis the ticks that are only there for the grid come as null.
        splits.map((value: number | null) => (value === null ? "" : formatTick(value, increment))),
    },
  ];
}
