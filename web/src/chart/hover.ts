/** What lies under the mouse: the lines' values there, and the line that is nearest. */
import { describeX, type XKind } from "./axes";
import { type Place, xScale, yScale } from "./drawLines";
import { drawnValue, type Line, nearestBucket } from "./lines";
import type { TooltipContent, TooltipRow } from "./tooltip";

/** A line further away than this is not meant. */
const NEAR_PX = 48;
/** How far beyond its ends a line still has a value under the mouse. */
const BEYOND_PX = 12;
const MAX_ROWS = 12;

interface Hit {
  readonly line: Line;
  readonly bucket: number;
  readonly value: number;
  /** Vertical pixels from the mouse; infinite where nothing is drawn. */
  readonly distance: number;
}

/** Returns the tooltip for x at a height of the plot, and the run whose line is nearest. */
export function tooltipContent(
  lines: readonly Line[],
  place: Place,
  x: number,
  topPx: number,
  { xKind, xLabel }: { readonly xKind: XKind; readonly xLabel: string },
): { readonly content: TooltipContent; readonly nearest: string | null } {
  const hits = lines.flatMap((line) => hitOf(line, place, x, topPx));
  const nearest = hits.reduce<Hit | null>(
    (best, hit) => (hit.distance < (best?.distance ?? NEAR_PX) ? hit : best),
    null,
  );
  hits.sort((left, right) => rank(right.value) - rank(left.value));
  const shown = around(hits, nearest);
  const [low, high] = bucketRange(nearest ?? hits[0], x);
  return {
    content: {
      title: describeX(xKind, xLabel, low, high),
      rows: shown.map((hit) => rowOf(hit, hit === nearest)),
      nMore: hits.length - shown.length,
    },
    nearest: nearest?.line.runId ?? null,
  };
}

function hitOf(line: Line, place: Place, x: number, topPx: number): Hit[] {
  const bucket = nearestBucket(line, x);
  if (bucket < 0) return [];
  const toX = xScale(place);
  const { buckets } = line.series;
  const end = line.x.length - 1;
  const isBeyond =
    toX(x) < toX(buckets.x[0] ?? 0) - BEYOND_PX || toX(x) > toX(buckets.xLast[end] ?? 0) + BEYOND_PX;
  if (isBeyond) return [];
  const value = drawnValue(line, bucket);
  const y = yScale(place)(value);
  return [{ line, bucket, value, distance: Number.isFinite(y) ? Math.abs(y - topPx) : Infinity }];
}

/** NaN sorts last. */
function rank(value: number): number {
  return Number.isNaN(value) ? -Infinity : value;
}

/** As many hits as there is room for, with the nearest among them. */
function around(hits: readonly Hit[], nearest: Hit | null): readonly Hit[] {
  if (hits.length <= MAX_ROWS) return hits;
  const at = nearest === null ? 0 : hits.indexOf(nearest);
  const from = Math.min(Math.max(at - MAX_ROWS / 2, 0), hits.length - MAX_ROWS);
  return hits.slice(from, from + MAX_ROWS);
}

function bucketRange(hit: Hit | undefined, x: number): readonly [number, number] {
  if (hit === undefined) return [x, x];
  const { buckets } = hit.line.series;
  return [buckets.x[hit.bucket] ?? x, buckets.xLast[hit.bucket] ?? x];
}

function rowOf({ line, bucket, value }: Hit, isNearest: boolean): TooltipRow {
  const { low, high, nPoints } = line.series.buckets;
  const spread = [low[bucket] ?? Number.NaN, high[bucket] ?? Number.NaN] as const;
  return {
    label: line.label,
    color: line.color,
    dash: line.dash,
    value: notFinite(line, bucket) ?? value,
    spread: (nPoints[bucket] ?? 1) > 1 && spread[0] !== spread[1] ? spread : null,
    original: line.smoothed === null ? null : (line.y[bucket] ?? Number.NaN),
    isNearest,
  };
}

/** A bucket with nothing finite in it shows what it has: an infinity rather than NaN. */
function notFinite(line: Line, bucket: number): number | null {
  const { mean, nPosInf, nNegInf } = line.series.buckets;
  if (Number.isFinite(mean[bucket])) return null;
  if ((nPosInf[bucket] ?? 0) > 0) return Infinity;
  return (nNegInf[bucket] ?? 0) > 0 ? -Infinity : Number.NaN;
}
