/**
 * Draws lines on a canvas: the envelope of what each bucket holds, the line, what cannot be drawn as
 * markers on the edge.  A hot path: plain loops over typed arrays, no objects per point.
 */
import type { Line, View } from "./lines";

/** Where a view lies on a canvas, in CSS pixels. */
export interface Place {
  readonly view: View;
  readonly width: number;
  readonly height: number;
}

const ENVELOPE_ALPHA = 0.14;
const ORIGINAL_ALPHA = 0.25;
const LINE_WIDTH = 1.5;
const STRONG_WIDTH = 2;
/** A point that has no neighbours is a dot of this radius. */
const DOT_RADIUS = 2.5;
const MARK = 3.5;

export function xScale({ view, width }: Place): (x: number) => number {
  const [low, high] = view.x;
  const unit = width / (high - low);
  return (x) => (x - low) * unit;
}

export function yScale({ view, height }: Place): (y: number) => number {
  const [low, high] = view.y;
  if (!view.isLog) {
    const unit = height / (high - low);
    return (y) => (high - y) * unit;
  }
  const top = Math.log(high);
  const unit = height / (top - Math.log(low));
  return (y) => (top - Math.log(y)) * unit;
}

/** Draws all lines, the later ones on top. */
export function drawLines(ctx: CanvasRenderingContext2D, lines: readonly Line[], place: Place): void {
  ctx.lineJoin = "round";
  for (const line of lines) {
    drawEnvelope(ctx, line, place);
    if (line.smoothed !== null) drawValues(ctx, line, line.y, place, LINE_WIDTH, ORIGINAL_ALPHA);
  }
  for (const line of lines) {
    drawValues(ctx, line, line.smoothed ?? line.y, place, LINE_WIDTH, 1);
    drawMarks(ctx, line, place);
  }
}

/** Draws one line so that it stands out. */
export function drawStrongLine(ctx: CanvasRenderingContext2D, line: Line, place: Place): void {
  ctx.lineJoin = "round";
  drawEnvelope(ctx, line, place);
  drawValues(ctx, line, line.smoothed ?? line.y, place, STRONG_WIDTH, 1);
  drawMarks(ctx, line, place);
}

/** Fills what lies between the lowest and the highest point of each bucket. */
function drawEnvelope(ctx: CanvasRenderingContext2D, line: Line, place: Place): void {
  if (line.series.isExact) return;
  const { low, high } = line.series.buckets;
  const toX = xScale(place);
  const toY = yScale(place);
  const floor = place.view.isLog ? place.view.y[0] : -Infinity;
  const at = (value: number) => toY(Math.max(value, floor));
  ctx.fillStyle = line.color;
  ctx.strokeStyle = line.color;
  ctx.setLineDash([]);
  forEachStretch(high, (from, to) => {
    ctx.beginPath();
    for (let i = from; i < to; i++) ctx.lineTo(toX(line.x[i] ?? 0), at(high[i] ?? 0));
    for (let i = to - 1; i >= from; i--) ctx.lineTo(toX(line.x[i] ?? 0), at(low[i] ?? 0));
    ctx.closePath();
    ctx.globalAlpha = ENVELOPE_ALPHA;
    ctx.fill();
    // A spike is one bucket wide: without an edge its tip would be too faint to be seen.
    ctx.globalAlpha = ORIGINAL_ALPHA;
    ctx.lineWidth = 0.75;
    ctx.stroke();
  });
  ctx.globalAlpha = 1;
}

function drawValues(
  ctx: CanvasRenderingContext2D,
  line: Line,
  values: Float64Array,
  place: Place,
  width: number,
  alpha: number,
): void {
  const toX = xScale(place);
  const toY = yScale(place);
  const isLog = place.view.isLog;
  const isDrawn = (value: number) => Number.isFinite(value) && (!isLog || value > 0);
  const { x, xLast, last } = line.series.buckets;
  ctx.strokeStyle = line.color;
  ctx.fillStyle = line.color;
  ctx.globalAlpha = alpha;
  ctx.lineWidth = width;
  ctx.lineCap = line.dash.length > 0 ? "butt" : "round";
  ctx.setLineDash(line.dash as number[]);
  ctx.beginPath();
  forEachStretch(
    values,
    (from, to) => {
      if (to - from === 1 && (x[from] ?? 0) === (xLast[from] ?? 0)) return;
      ctx.moveTo(toX(line.x[from] ?? 0), toY(values[from] ?? 0));
      for (let i = from + 1; i < to; i++) ctx.lineTo(toX(line.x[i] ?? 0), toY(values[i] ?? 0));
      // The line goes on to the last point itself, so that its end is the newest value.
      const end = last[to - 1] ?? Number.NaN;
      if (line.smoothed === null && isDrawn(end)) ctx.lineTo(toX(xLast[to - 1] ?? 0), toY(end));
    },
    isDrawn,
  );
  ctx.stroke();
  forEachStretch(
    values,
    (from, to) => {
      if (to - from > 1) return;
      ctx.beginPath();
      ctx.arc(toX(line.x[from] ?? 0), toY(values[from] ?? 0), DOT_RADIUS, 0, 2 * Math.PI);
      ctx.fill();
    },
    isDrawn,
  );
  ctx.globalAlpha = 1;
}

/** Marks on the edge: crosses at the bottom for NaN, triangles up and down for the infinities. */
function drawMarks(ctx: CanvasRenderingContext2D, line: Line, place: Place): void {
  const { nNan, nPosInf, nNegInf } = line.series.buckets;
  const toX = xScale(place);
  const bottom = place.height - MARK - 1;
  ctx.strokeStyle = line.color;
  ctx.fillStyle = line.color;
  ctx.lineWidth = LINE_WIDTH;
  ctx.setLineDash([]);
  for (let i = 0; i < line.x.length; i++) {
    if ((line.x[i] ?? 0) < place.view.x[0] || (line.x[i] ?? 0) > place.view.x[1]) continue;
    // Marks of the first and the last point stay whole.
    const x = Math.min(Math.max(toX(line.x[i] ?? 0), MARK), place.width - MARK);
    if ((nNan[i] ?? 0) > 0) cross(ctx, x, bottom);
    if ((nPosInf[i] ?? 0) > 0) triangle(ctx, x, 1, MARK * 2);
    if ((nNegInf[i] ?? 0) > 0) triangle(ctx, x, place.height - 1, -MARK * 2);
  }
}

function cross(ctx: CanvasRenderingContext2D, x: number, y: number): void {
  ctx.beginPath();
  ctx.moveTo(x - MARK, y - MARK);
  ctx.lineTo(x + MARK, y + MARK);
  ctx.moveTo(x + MARK, y - MARK);
  ctx.lineTo(x - MARK, y + MARK);
  ctx.stroke();
}

/** A triangle whose tip is at (x, y) and whose base lies `height` further down. */
function triangle(ctx: CanvasRenderingContext2D, x: number, y: number, height: number): void {
  ctx.beginPath();
  ctx.moveTo(x, y);
  ctx.lineTo(x - MARK, y + height);
  ctx.lineTo(x + MARK, y + height);
  ctx.closePath();
  ctx.fill();
}

/** Calls back for every stretch of neighbouring values that can be drawn. */
function forEachStretch(
  values: Float64Array,
  visit: (from: number, to: number) => void,
  isDrawn: (value: number) => boolean = Number.isFinite,
): void {
  let from = -1;
  for (let i = 0; i < values.length; i++) {
    if (isDrawn(values[i] ?? Number.NaN)) {
      if (from < 0) from = i;
    } else if (from >= 0) {
      visit(from, i);
      from = -1;
    }
  }
  if (from >= 0) visit(from, values.length);
}
