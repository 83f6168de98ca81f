/** What a chart draws: lines made of series, and the ranges that hold them. */
import { smooth } from "@/base/smoothing";
import type { Series } from "@/wire/series";

/** How one series is to be drawn. */
export interface LineStyle {
  readonly runId: string;
  readonly label: string;
  readonly color: string;
  readonly dash: readonly number[];
  /** The run may go on: its line ends in a dot that breathes. */
  readonly isAlive: boolean;
}

/** One line.  All arrays have one entry per bucket of its series. */
export interface Line extends LineStyle {
  readonly series: Series;
  /** Where a bucket's value is drawn: its middle. */
  readonly x: Float64Array;
  /** What is drawn: the mean of the finite points; NaN where there are none. */
  readonly y: Float64Array;
  /** `y` smoothed; null without smoothing. */
  readonly smoothed: Float64Array | null;
}

export type Range = readonly [number, number];

/** The part of the plane that a chart shows. */
export interface View {
  readonly x: Range;
  readonly y: Range;
  readonly isLog: boolean;
}

/** Points that no line can show, by kind. */
export interface Unshown {
  readonly nNan: number;
  readonly nInf: number;
  /** Buckets with points at or below zero, on a logarithmic axis. */
  readonly nNotPositive: number;
}

/** Returns the line of a series; `xWidth` is the width of x on screen, for the smoothing. */
export function lineOf(series: Series, style: LineStyle, smoothing: number, xWidth: number): Line {
  const { buckets } = series;
  const n = buckets.x.length;
  const x = new Float64Array(n);
  for (let i = 0; i < n; i++) x[i] = ((buckets.x[i] ?? 0) + (buckets.xLast[i] ?? 0)) / 2;
  const y = buckets.mean;
  const smoothed = smoothing > 0 ? smooth(x, y, smoothing, xWidth) : null;
  return { ...style, series, x, y, smoothed };
}

/** The x range of all series; null if none has a point. */
export function xExtent(all: readonly Series[]): Range | null {
  let low = Infinity;
  let high = -Infinity;
  for (const { buckets } of all) {
    if (buckets.x.length === 0) continue;
    low = Math.min(low, buckets.x[0] ?? low);
    high = Math.max(high, buckets.xLast[buckets.xLast.length - 1] ?? high);
  }
  return low <= high ? [low, high] : null;
}

/** The view that holds all lines, or the part of them within a range of x. */
export function viewOf(lines: readonly Line[], zoom: Range | null, isLog: boolean): View {
  const x = zoom ?? widened(xExtent(lines.map((line) => line.series)) ?? [0, 1]);
  let low = Infinity;
  let high = -Infinity;
  for (const { series } of lines) {
    const { buckets } = series;
    for (let i = 0; i < buckets.x.length; i++) {
      if ((buckets.xLast[i] ?? 0) < x[0] || (buckets.x[i] ?? 0) > x[1]) continue;
      const bottom = buckets.low[i] ?? Number.NaN;
      const top = buckets.high[i] ?? Number.NaN;
      // Comparisons with NaN are false, so a bucket without finite points moves nothing.
      if (bottom < low && (!isLog || bottom > 0)) low = bottom;
      if (isLog && bottom <= 0 && top > 0) {
        const mean = buckets.mean[i] ?? Number.NaN;
        low = Math.min(low, mean > 0 ? mean : top);
      }
      if (top > high && (!isLog || top > 0)) high = top;
    }
  }
  if (low > high) return { x, y: isLog ? [0.1, 10] : [0, 1], isLog };
  return { x, y: isLog ? paddedLog(low, high) : padded(low, high), isLog };
}

/** A range of one point gets room on both sides. */
function widened([low, high]: Range): Range {
  return low < high ? [low, high] : [low - 0.5, high + 0.5];
}

function padded(low: number, high: number): Range {
  if (low === high) {
    const room = Math.abs(low) * 0.1 || 1;
    return [low - room, high + room];
  }
  // Not high - low, which is infinite for the largest numbers there are.
  const room = high * 0.06 - low * 0.06;
  const [bottom, top] = [low - room, high + room];
  return [Math.max(bottom, -Number.MAX_VALUE), Math.min(top, Number.MAX_VALUE)];
}

function paddedLog(low: number, high: number): Range {
  const room = low === high ? 2 : Math.exp((Math.log(high) - Math.log(low)) * 0.06);
  return [Math.max(low / room, Number.MIN_VALUE), Math.min(high * room, Number.MAX_VALUE)];
}

/** Counts what no line can show. */
export function unshownOf(lines: readonly Line[], isLog: boolean): Unshown {
  let nNan = 0;
  let nInf = 0;
  let nNotPositive = 0;
  for (const { series } of lines) {
    const { buckets } = series;
    for (let i = 0; i < buckets.x.length; i++) {
      nNan += buckets.nNan[i] ?? 0;
      nInf += (buckets.nPosInf[i] ?? 0) + (buckets.nNegInf[i] ?? 0);
      if (isLog && (buckets.low[i] ?? 0) <= 0) nNotPositive += 1;
    }
  }
  return { nNan, nInf, nNotPositive };
}

/** The bucket nearest to x; -1 for a line without points. */
export function nearestBucket(line: Line, x: number): number {
  const n = line.x.length;
  if (n === 0) return -1;
  let low = 0;
  let high = n - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((line.x[middle] ?? 0) < x) low = middle + 1;
    else high = middle;
  }
  const before = low - 1;
  if (before >= 0 && x - (line.x[before] ?? 0) < (line.x[low] ?? 0) - x) return before;
  return low;
}

/** The value that is drawn for a bucket: smoothed where the line is. */
export function drawnValue(line: Line, bucket: number): number {
  return (line.smoothed ?? line.y)[bucket] ?? Number.NaN;
}
