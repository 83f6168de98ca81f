import "uplot/dist/uPlot.min.css";
import "./chart.css";

import { type KeyboardEvent, useEffect, useRef } from "react";

import type { ReadableStore } from "@/base/store";

import type { XKind } from "./axes";
import { LinePlot, type PlotData, type PlotTools } from "./LinePlot";
import type { Range } from "./lines";

interface LineChartProps {
  readonly title: string;
  readonly data: PlotData;
  readonly xKind: XKind;
  readonly xLabel: string;
  readonly isLog: boolean;
  /** Charts with the same key share one crosshair. */
  readonly cursorKey: string;
  /** The run that stands out; moving the mouse renders nothing in React. */
  readonly highlight: ReadableStore<string | null>;
  readonly tools: PlotTools;
  readonly onZoom: (range: Range | null) => void;
  readonly onHover: (runId: string | null) => void;
}

/** Draws lines.  React decides which lines exist; drawing, hovering and resizing are the plot's. */
export function LineChart(props: LineChartProps) {
  const { title, data, xKind, xLabel, isLog, cursorKey, highlight, tools } = props;
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<LinePlot | undefined>(undefined);
  const latest = useRef(props);
  useEffect(() => {
    latest.current = props;
  });
  useEffect(() => {
    const element = host.current;
    if (element === null) return;
    const made = new LinePlot(
      element,
      {
        xKind,
        xLabel,
        isLog,
        cursorKey,
        onZoom: (range) => latest.current.onZoom(range),
        onHover: (runId) => latest.current.onHover(runId),
      },
      tools,
    );
    plot.current = made;
    made.setData(latest.current.data);
    made.setHighlight(highlight.get());
    const stop = highlight.subscribe(() => made.setHighlight(highlight.get()));
    const sizes = new ResizeObserver(() => made.resize(element.clientWidth, element.clientHeight));
    sizes.observe(element);
    return () => {
      stop();
      sizes.disconnect();
      made.destroy();
      plot.current = undefined;
    };
  }, [xKind, xLabel, isLog, cursorKey, highlight, tools]);
  useEffect(() => plot.current?.setData(data), [data]);
  const handleKey = (event: KeyboardEvent) => {
    const range = zoomByKey(event.key, data.view.x);
    if (range === undefined) return;
    event.preventDefault();
    props.onZoom(range);
  };
  return (
    <div
      ref={host}
      className="ep-line-chart"
      role="img"
      aria-label={title}
      tabIndex={0}
      aria-keyshortcuts="+ - ArrowLeft ArrowRight 0"
      onKeyDown={handleKey}
    />
  );
}

/** The range that a key asks for, the twin of dragging: + and - zoom, the arrows move, 0 shows all. */
function zoomByKey(key: string, [low, high]: Range): Range | null | undefined {
  const width = high - low;
  if (key === "+" || key === "=") return [low + width / 4, high - width / 4];
  if (key === "-") return [low - width / 2, high + width / 2];
  if (key === "ArrowLeft") return [low - width / 4, high - width / 4];
  if (key === "ArrowRight") return [low + width / 4, high + width / 4];
  return key === "0" ? null : undefined;
}
