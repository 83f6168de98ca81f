/**
 * A line chart on canvases.  uPlot draws axes and grid and follows the mouse; the lines are on a
 * canvas of our own, so that a highlight dims them by CSS and draws one line on a second canvas,
 * and moving the mouse redraws nothing else.
 */
import uPlot from "uplot";

import { axesOf, type XKind } from "./axes";
import { drawLines, drawStrongLine, type Place, xScale, yScale } from "./drawLines";
import type { FrameQueue } from "./frames";
import { tooltipContent } from "./hover";
import { drawnValue, type Line, nearestBucket, type Range, type View } from "./lines";
import type { Tooltip } from "./tooltip";

export interface PlotData {
  readonly lines: readonly Line[];
  readonly view: View;
  /** The view belongs to a question (zoom, axis); another question's view applies even under the mouse. */
  readonly viewKey: string;
}

export interface PlotOptions {
  readonly xKind: XKind;
  /** What x is called, for the tooltip. */
  readonly xLabel: string;
  readonly isLog: boolean;
  /** Charts with the same key share one crosshair. */
  readonly cursorKey: string;
  readonly onZoom: (range: Range | null) => void;
  /** The run nearest to the mouse, null when it leaves. */
  readonly onHover: (runId: string | null) => void;
}

/** What all charts of a page share. */
export interface PlotTools {
  readonly frames: FrameQueue;
  readonly tooltip: Tooltip;
}

/** A drag shorter than this is a click. */
const MIN_DRAG_PX = 5;
/** Runs whose last point breathes at most; more would cost more than they tell. */
const MAX_BREATHING = 20;

const EMPTY: PlotData = { lines: [], view: { x: [0, 1], y: [0, 1], isLog: false }, viewKey: "" };

export class LinePlot {
  private readonly plot: uPlot;
  private readonly canvas = layer("ep-lines");
  private readonly overlay = layer("ep-overlay");
  private readonly point = document.createElement("i");
  private readonly dots: HTMLElement[] = [];
  private readonly themes: MutationObserver;
  private data = EMPTY;
  private view = EMPTY.view;
  private viewKey = "";
  private highlighted: string | null = null;
  private isUnderMouse = false;

  constructor(
    host: HTMLElement,
    private readonly options: PlotOptions,
    private readonly tools: PlotTools,
  ) {
    this.plot = new uPlot(
      this.plotOptions(host),
      [
        [0, 1],
        [null, null],
      ],
      host,
    );
    // Above uPlot's canvas with its grid, below its crosshair.
    this.plot.over.prepend(this.canvas, this.overlay, this.point);
    this.point.className = "ep-point";
    this.point.hidden = true;
    this.plot.over.addEventListener("mouseenter", this.handleEnter);
    this.plot.over.addEventListener("mouseleave", this.handleLeave);
    this.plot.over.addEventListener("dblclick", () => options.onZoom(null));
    // Axis colours are read when they are drawn.
    this.themes = new MutationObserver(() => this.tools.frames.add(this));
    this.themes.observe(document.documentElement, { attributeFilter: ["data-theme"] });
  }

  /** Draws other lines, in one of the next frames. */
  setData(data: PlotData): void {
    this.data = data;
    this.tools.frames.add(this);
  }

  /** Lets one run's line stand out; null for none. */
  setHighlight(runId: string | null): void {
    if (this.highlighted === runId) return;
    this.highlighted = runId;
    this.drawOverlay();
  }

  resize(width: number, height: number): void {
    if (width > 0 && height > 0) this.plot.setSize({ width, height });
  }

  destroy(): void {
    this.tools.frames.remove(this);
    this.themes.disconnect();
    if (this.isUnderMouse) this.handleLeave();
    this.plot.destroy();
  }

  readonly isHovered = (): boolean => this.isUnderMouse;

  /** Draws axes and lines. */
  readonly draw = (): void => {
    const { view, viewKey } = this.data;
    // The view never jumps while the mouse is on it: new points then wait beyond the edge.
    if (!this.isUnderMouse || viewKey !== this.viewKey) {
      this.view = view;
      this.viewKey = viewKey;
    }
    this.plot.batch(() => {
      this.plot.setScale("x", { min: this.view.x[0], max: this.view.x[1] });
      this.plot.setScale("y", { min: this.view.y[0], max: this.view.y[1] });
    });
    this.plot.redraw(false, true);
  };

  private plotOptions(host: HTMLElement): uPlot.Options {
    const { cursorKey, isLog, xKind } = this.options;
    const isShared = (type: string) => type === "mousemove" || type === "mouseleave";
    return {
      width: Math.max(host.clientWidth, 50),
      height: Math.max(host.clientHeight, 50),
      padding: [8, 12, 0, 0],
      legend: { show: false },
      scales: {
        x: { time: false, auto: false, range: () => [...this.view.x] as [number, number] },
        y: {
          auto: false,
          // eslint-disable-next-line @typescript-eslint/no-unsafe-enum-assignment -- its names are types only
          distr: isLog ? 3 : 1,
          range: () => [...this.view.y] as [number, number],
        },
      },
      axes: axesOf(xKind, isLog),
      series: [{}, { show: true, points: { show: false } }],
      cursor: {
        points: { show: false },
        y: false,
        drag: { x: true, y: false, setScale: false, dist: MIN_DRAG_PX },
        sync: { key: cursorKey, scales: ["x", null], filters: { pub: isShared, sub: isShared } },
      },
      hooks: {
        draw: [() => this.drawLayers()],
        setCursor: [() => this.handleCursor()],
        setSelect: [() => this.handleSelect()],
      },
    };
  }

  private place(): Place {
    const { width, height } = this.plot.bbox;
    const ratio = uPlot.pxRatio;
    return { view: this.view, width: width / ratio, height: height / ratio };
  }

  private drawLayers(): void {
    const place = this.place();
    const ctx = cleared(this.canvas, place);
    if (ctx !== null) drawLines(ctx, this.data.lines, place);
    this.drawOverlay();
    this.placeDots(place);
  }

  private drawOverlay(): void {
    const place = this.place();
    const ctx = cleared(this.overlay, place);
    const strong = this.data.lines.filter((line) => line.runId === this.highlighted);
    this.canvas.classList.toggle("ep-lines-dimmed", strong.length > 0);
    if (ctx === null) return;
    for (const line of strong) drawStrongLine(ctx, line, place);
    this.placePoint();
  }

  /** Puts a dot where the highlighted line meets the crosshair; moving it draws nothing anew. */
  private placePoint(): void {
    const { left = -1 } = this.plot.cursor;
    const line = this.data.lines.find((each) => each.runId === this.highlighted);
    const bucket = line === undefined || left < 0 ? -1 : nearestBucket(line, this.plot.posToVal(left, "x"));
    const value = line === undefined ? Number.NaN : drawnValue(line, bucket);
    const place = this.place();
    const [x, y] = [xScale(place)(line?.x[bucket] ?? Number.NaN), yScale(place)(value)];
    this.point.hidden = !Number.isFinite(x) || !Number.isFinite(y) || x < 0 || x > place.width;
    if (this.point.hidden || line === undefined) return;
    this.point.style.color = line.color;
    this.point.style.transform = `translate(${x}px, ${y}px)`;
  }

  /** Puts a breathing dot at the newest point of every run that goes on. */
  private placeDots(place: Place): void {
    const toX = xScale(place);
    const toY = yScale(place);
    const alive = this.data.lines.filter((line) => line.isAlive && line.x.length > 0).slice(0, MAX_BREATHING);
    while (this.dots.length > alive.length) this.dots.pop()?.remove();
    while (this.dots.length < alive.length) {
      const dot = document.createElement("i");
      dot.className = "ep-breath";
      this.overlay.after(dot);
      this.dots.push(dot);
    }
    alive.forEach((line, index) => {
      const dot = this.dots[index];
      if (dot === undefined) return;
      const { buckets } = line.series;
      const end = line.x.length - 1;
      const value = line.smoothed?.[end] ?? buckets.last[end] ?? Number.NaN;
      const [x, y] = [toX(buckets.xLast[end] ?? 0), toY(value)];
      dot.hidden = !Number.isFinite(y) || x < 0 || x > place.width + 1 || y < 0 || y > place.height;
      dot.style.color = line.color;
      dot.style.transform = `translate(${x}px, ${y}px)`;
    });
  }

  private handleCursor(): void {
    const { left = -1, top = -1 } = this.plot.cursor;
    if (!this.isUnderMouse || left < 0) {
      this.placePoint();
      return;
    }
    const place = this.place();
    const x = this.plot.posToVal(left, "x");
    const found = tooltipContent(this.data.lines, place, x, top, this.options);
    this.options.onHover(found.nearest);
    this.placePoint();
    if (found.content.rows.length === 0) {
      this.tools.tooltip.hide();
      return;
    }
    const bounds = this.plot.over.getBoundingClientRect();
    this.tools.tooltip.show(found.content, bounds.left + left, bounds.top + top);
  }

  private handleSelect(): void {
    const { left, width } = this.plot.select;
    if (width < MIN_DRAG_PX) return;
    this.options.onZoom([this.plot.posToVal(left, "x"), this.plot.posToVal(left + width, "x")]);
    this.plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  }

  private readonly handleEnter = () => {
    this.isUnderMouse = true;
  };

  private readonly handleLeave = () => {
    this.isUnderMouse = false;
    this.tools.tooltip.hide();
    this.options.onHover(null);
    this.tools.frames.add(this);
  };
}

function layer(className: string): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  canvas.className = className;
  return canvas;
}

/** The canvas's context at the size and sharpness of its place, with nothing on it. */
function cleared(canvas: HTMLCanvasElement, { width, height }: Place): CanvasRenderingContext2D | null {
  const ratio = uPlot.pxRatio;
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const ctx = canvas.getContext("2d");
  ctx?.setTransform(ratio, 0, 0, ratio, 0, 0);
  ctx?.clearRect(0, 0, width, height);
  return ctx;
}
