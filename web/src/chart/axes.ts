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

import { evenTicks, logTicks } from "./ticks";

/** What the x axis counts. */
export type XKind = "step" | "relative" | "time" | "metric";

const SECONDS = [
  0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800,
  3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800, 2_592_000,
];
const WHOLE = roundNumbers([1, 2, 5], 0, 19);
/** Up to the largest number there is; uPlot's own list ends at 1e32 and leaves larger ones without a tick. */
const ANY = roundNumbers([1, 2, 2.5, 5], -32, 308);
/** How far apart ticks of the x axis may stand. */
const INCREMENTS = { step: WHOLE, relative: SECONDS, time: SECONDS, metric: ANY } as const;

/** The units times the powers of ten from one to before another, ascending. */
function roundNumbers(units: readonly number[], from: number, to: number): number[] {
  const powers = Array.from({ length: to - from }, (_, n) => from + n);
  return powers.flatMap((power) => units.map((unit) => Number(`${unit}e${power}`)));
}

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

/** Room for a tick of the y axis. */
const TICK_PX = 30;
const TICK_GAP_PX = 6;
/** Between the labels of the y axis and the edge of the panel's body. */
const MARGIN_PX = 8;

/** How wide the widest of the labels is, in CSS pixels.  uPlot has none yet when it first asks. */
function widestOf(ctx: CanvasRenderingContext2D, texts: readonly string[] | null): number {
  ctx.save();
  ctx.font = axisFont();
  const widest = texts?.reduce((most, text) => Math.max(most, ctx.measureText(text).width), 0) ?? 0;
  ctx.restore();
  return Math.ceil(widest);
}

/** Returns the two axes; colours are read when they are drawn, so a change of theme needs only a redraw. */
export function axesOf(kind: XKind, isLog: boolean): uPlot.Axis[] {
  const common = {
    stroke: () => token("--text-faint"),
    font: axisFont(),
    ticks: { show: false },
    grid: { stroke: () => token("--grid"), width: 1 },
    border: { show: false },
  };
  const splits: uPlot.Axis.Splits = (_plot, _axis, low, high, increment) => evenTicks(low, high, increment);
  return [
    {
      ...common,
      size: 22,
      gap: 4,
      space: 48,
      grid: { show: false },
      incrs: [...INCREMENTS[kind]],
      splits,
      values: (_plot, splits, _axis, _space, increment) =>
        splits.map((value) => xTick(kind, value, increment)),
    },
    {
      ...common,
      gap: TICK_GAP_PX,
      space: TICK_PX,
      incrs: ANY,
      size: (plot, values) => widestOf(plot.ctx, values) + TICK_GAP_PX + MARGIN_PX,
      ...(isLog
        ? {
            splits: (plot: uPlot, _axis: number, low: number, high: number) =>
              logTicks(
                low,
                high,
                Math.max(2, Math.floor(plot.bbox.height / window.devicePixelRatio / TICK_PX)),
              ),
            filter: (_plot: uPlot, splits: number[]) => splits,
            values: (_plot: uPlot, splits: number[]) => splits.map((value) => formatTick(value, value)),
          }
        : {
            splits,
            values: (_plot: uPlot, splits: number[], _axis: number, _space: number, increment: number) =>
              splits.map((value) => formatTick(value, increment)),
          }),
    },
  ];
}
